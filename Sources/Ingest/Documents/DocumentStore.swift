internal import Core
internal import RPC
internal import Storage

/// Documents, revisions, originals and chunks in PostgreSQL.
struct DocumentStore: Sendable {
    /// Kind of the jobs that process a revision.
    static let jobKind = "ingest"
    /// Separates collection and origin in the name of their lock. Two origins that share a lock only wait for each other.
    private static let lockSeparator = "\u{1F}"

    let database: Database

    /// What became of an upload.
    struct StoredUpload: Sendable {
        var document: RPC.Document
        var job: RPC.Job?
        /// The same bytes are there already, published or about to be.
        var isUnchanged: Bool
        /// A new job waits: wake the workers.
        var hasWork: Bool
    }

    /// What is known of an origin before its upload is stored.
    private struct Known {
        var collectionID: UUIDv7
        var documentID: UUIDv7?
        /// Newest sequence of the document's revisions, 0 without any.
        var lastSequence: Int
        /// The newest revision that is published or about to be.
        var revision: (id: UUIDv7, sha256: [UInt8], jobID: UUIDv7?)?
    }

    private struct Stored {
        var documentID: UUIDv7
        var jobID: UUIDv7?
        var isUnchanged = false
        var hasWork = false
    }

    /// Stores an original, its revision and its job in one transaction; when this returns they are committed.
    ///
    /// - Throws: `Failure` ALREADY_EXISTS with reason IDEMPOTENCY_KEY_REUSED when the key was used for something else; what the database throws.
    func store(
        _ original: SpooledOriginal, _ description: UploadDescription, mediaType: MediaType, idempotencyKey: String
    ) async throws -> StoredUpload {
        var job = NewJob(kind: Self.jobKind, payload: Self.payload(description))
        job.idempotencyKey = idempotencyKey.isEmpty ? nil : idempotencyKey
        let newJob = job
        return try await database.transaction { connection in
            let stored = try Self.store(original, description, mediaType, newJob, on: connection)
            guard let document = try DocumentQueries.load([stored.documentID], on: connection).first else {
                throw Self.conflict
            }
            let jobs = try stored.jobID.map { try JobView.load([$0], on: connection) }
            return StoredUpload(
                document: document, job: jobs?.first, isUnchanged: stored.isUnchanged, hasWork: stored.hasWork)
        }
    }

    /// What the worker needs besides the revision: applied when the revision is published, so that text and description change together.
    private static func payload(_ description: UploadDescription) -> String {
        var json = JSONWriter()
        json.object { json in
            json.member("title", description.title)
            json.object("metadata", description.metadata)
        }
        return json.text
    }

    private static func store(
        _ original: SpooledOriginal, _ description: UploadDescription, _ mediaType: MediaType, _ job: NewJob,
        on connection: isolated PostgresConnection
    ) throws -> Stored {
        let (known, earlier) = try lookUp(description, job, on: connection)
        if let earlier {
            guard earlier.sha256 == original.sha256, earlier.documentID == known.documentID else {
                throw Failure(
                    .alreadyExists, reason: "IDEMPOTENCY_KEY_REUSED",
                    "The idempotency key was used before for another document or other bytes.",
                    remedy: "Use a new key for every upload, and the same one only to repeat it.")
            }
            return Stored(documentID: earlier.documentID, jobID: earlier.jobID)
        }
        if let documentID = known.documentID, let revision = known.revision, revision.sha256 == original.sha256 {
            return Stored(documentID: documentID, jobID: revision.jobID, isUnchanged: true)
        }
        let documentID = known.documentID ?? UUIDv7()
        let revisionID = UUIDv7()
        try insertOriginal(original, after: documentStatement(documentID, known, description), on: connection)
        try connection.execute(
            """
            INSERT INTO revisions (id, document_id, sequence, original_sha256, size, media_type, file_name)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """,
            [
                .uuid(revisionID), .uuid(documentID), .int(known.lastSequence + 1), .bytes(original.sha256),
                .int(original.size), .text(mediaType.rawValue),
                .text(UploadDescription.lastComponent(of: description.origin)),
            ])
        var job = job
        job.documentID = documentID
        job.revisionID = revisionID
        let queued = try JobQueue.enqueue(job, on: connection)
        // A call with the same key committed since `lookUp`: again, to find what it stored.
        guard !queued.alreadyExisted else { throw conflict }
        return Stored(documentID: documentID, jobID: job.id, hasWork: true)
    }

    /// Makes the transaction run again from its start.
    private static let conflict = Failure(
        .aborted, reason: DatabaseReason.serialization, "The document was changed at the same time.",
        remedy: "Repeat the request.", retryAfterMs: 50)

    private struct EarlierCall {
        var jobID: UUIDv7
        var documentID: UUIDv7
        var sha256: [UInt8]
    }

    /// Locks the origin until the transaction ends, so that uploads of the same one follow each other, and reads what is there.
    private static func lookUp(
        _ description: UploadDescription, _ job: NewJob, on connection: isolated PostgresConnection
    ) throws -> (Known, EarlierCall?) {
        let results = try connection.pipeline([
            (
                "INSERT INTO collections (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                [.uuid(UUIDv7()), .text(description.collection)]
            ),
            (
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                [.text(description.collection + lockSeparator + description.origin)]
            ),
            (
                """
                SELECT c.id, d.id, coalesce((SELECT max(sequence) FROM revisions WHERE document_id = d.id), 0),
                    r.id, r.original_sha256, (SELECT id FROM jobs WHERE revision_id = r.id ORDER BY id DESC LIMIT 1)
                FROM collections c
                LEFT JOIN documents d ON d.collection_id = c.id AND d.origin = $2 AND d.deleted_at IS NULL
                LEFT JOIN LATERAL (
                    SELECT id, original_sha256 FROM revisions
                    WHERE document_id = d.id AND state IN ('pending', 'published') ORDER BY sequence DESC LIMIT 1
                ) r ON true
                WHERE c.name = $1
                """, [.text(description.collection), .text(description.origin)]
            ),
            (
                """
                SELECT j.id, r.document_id, r.original_sha256 FROM jobs j JOIN revisions r ON r.id = j.revision_id
                WHERE j.principal_id IS NOT DISTINCT FROM $1 AND j.idempotency_key = $2
                """, [.uuid(job.principalID), .text(job.idempotencyKey)]
            ),
        ])
        let row = try results[2].one()
        var known = Known(
            collectionID: try row.uuid(0), documentID: try row.optionalUUID(1), lastSequence: try row.int(2))
        if let id = try row.optionalUUID(3) { known.revision = (id, try row.bytes(4), try row.optionalUUID(5)) }
        let earlier = try results[3].first.map {
            EarlierCall(jobID: try $0.uuid(0), documentID: try $0.uuid(1), sha256: try $0.bytes(2))
        }
        return (known, earlier)
    }

    private static func documentStatement(
        _ id: UUIDv7, _ known: Known, _ description: UploadDescription
    ) -> (StaticString, [SQLValue]) {
        if known.documentID != nil {
            return (
                "UPDATE documents SET updated_at = now() WHERE id = $1 AND deleted_at IS NULL RETURNING id", [.uuid(id)]
            )
        }
        return (
            """
            INSERT INTO documents (id, collection_id, origin, title, metadata, created_by) VALUES ($1, $2, $3, $4, $5, $6)
            RETURNING id
            """,
            [
                .uuid(id), .uuid(known.collectionID), .text(description.origin), .text(description.provisionalTitle),
                .json(JSONWriter.object(description.metadata)), .uuid(CallContext.current?.principal?.id),
            ]
        )
    }

    /// Stores the document's row and the original; bytes that are there already are not stored again.
    private static func insertOriginal(
        _ original: SpooledOriginal, after document: (StaticString, [SQLValue]),
        on connection: isolated PostgresConnection
    ) throws {
        var statements: [(StaticString, [SQLValue])] = [
            document,
            (
                "INSERT INTO originals (sha256, size) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1",
                [.bytes(original.sha256), .int(original.size)]
            ),
        ]
        // One part is sent along; more only when it is known that they are wanted.
        let isSmall = original.partCount == 1
        if isSmall { statements.append(try partStatement(original, 0)) }
        let results = try connection.pipeline(statements)
        // The document was deleted after `lookUp`.
        guard !results[0].isEmpty else { throw conflict }
        guard !isSmall, !results[1].isEmpty else { return }
        for ordinal in 0..<original.partCount { _ = try connection.pipeline([try partStatement(original, ordinal)]) }
    }

    private static func partStatement(_ original: SpooledOriginal, _ ordinal: Int) throws -> (StaticString, [SQLValue])
    {
        let part = try original.part(ordinal)
        return (
            "INSERT INTO original_parts (sha256, ordinal, size, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            [.bytes(original.sha256), .int(ordinal), .int(part.size), .bytes(part.data)]
        )
    }
}
