internal import Core
internal import Storage

/// Makes revisions visible: each with its chunks, receipt, document, log entry and job result in one transaction, or not at all.
struct RevisionPublisher: Sendable {
    /// What became of a revision.
    enum Outcome: Sendable, Equatable {
        /// It is the document's current revision now.
        case published
        /// Stored for its receipt, but a newer revision is current already, or the document was deleted.
        case superseded
        /// The job belongs to someone else: nothing of it was stored.
        case leaseLost
    }

    struct Result: Sendable {
        /// By job.
        var outcomes: [UUIDv7: Outcome] = [:]
        var transitions: [JobTransition] = []
    }

    let database: Database

    /// Publishes a group in one transaction. Jobs whose lease was lost are left out; any other failure stores nothing of the whole group.
    func publish(_ group: [PreparedRevision]) async throws -> Result {
        try await database.transaction { try Self.publish(group, on: $0) }
    }

    private static func publish(
        _ group: [PreparedRevision], on connection: isolated PostgresConnection
    ) throws -> Result {
        let current = try lockDocuments(group.map(\.input.documentID), on: connection)
        // First the jobs: whoever lost theirs takes no further part.
        let transitions = try JobQueue.completeMany(group.map(\.completion), on: connection)
        let held = Set(transitions.map(\.id))
        var result = Result(transitions: transitions)
        for revision in group { result.outcomes[revision.input.lease.jobID] = .leaseLost }
        let stored = group.filter { held.contains($0.input.lease.jobID) }
        guard !stored.isEmpty else { return result }

        var newest: [UUIDv7: Int] = [:]
        for revision in stored {
            newest[revision.input.documentID] = max(newest[revision.input.documentID] ?? 0, revision.input.sequence)
        }
        func isCurrent(_ input: IngestInput) -> Bool {
            guard let sequence = current[input.documentID] else { return false }
            return input.sequence > sequence && newest[input.documentID] == input.sequence
        }
        try connection.copyIn(
            """
            COPY chunks (id, revision_id, ordinal, span_start, span_end, passage_start, passage_end, page, heading_path, hash, text)
            FROM STDIN (FORMAT binary)
            """, rows: stored.lazy.flatMap(chunkRows))
        let visible = stored.filter { isCurrent($0.input) }
        for revision in stored {
            result.outcomes[revision.input.lease.jobID] = isCurrent(revision.input) ? .published : .superseded
        }
        _ = try connection.pipeline([
            revisionStatement(stored, states: stored.map { isCurrent($0.input) ? "published" : "retracted" }),
            documentStatement(visible),
        ])
        try IndexLog.append(
            visible.map { .init(.publish, documentID: $0.input.documentID, revisionID: $0.input.revisionID) },
            on: connection)
        return result
    }

    /// Locks the documents in one order everywhere; returns the sequence of each one's current revision, 0 without any. Deleted ones are absent.
    private static func lockDocuments(
        _ ids: [UUIDv7], on connection: isolated PostgresConnection
    ) throws -> [UUIDv7: Int] {
        let results = try connection.pipeline([
            ("SELECT 1 FROM documents WHERE id = ANY($1) ORDER BY id FOR UPDATE", [.uuidArray(ids)]),
            // A statement of its own, so that it sees what was committed while the first one waited.
            (
                """
                SELECT d.id, coalesce(r.sequence, 0) FROM documents d LEFT JOIN revisions r ON r.id = d.current_revision_id
                WHERE d.id = ANY($1) AND d.deleted_at IS NULL
                """, [.uuidArray(ids)]
            ),
        ])
        return Dictionary(
            try results[1].map { (try $0.uuid(0), try $0.int(1)) }, uniquingKeysWith: { first, _ in first })
    }

    private static func chunkRows(_ revision: PreparedRevision) -> [[SQLValue]] {
        zip(revision.chunks, revision.chunkTexts).enumerated().map { ordinal, pair in
            let (chunk, text) = pair
            return [
                .uuid(UUIDv7()), .uuid(revision.input.revisionID), .int32(Int32(clamping: ordinal)),
                .int32(Int32(clamping: chunk.span.start)), .int32(Int32(clamping: chunk.span.end)),
                .int32(chunk.passage.map { Int32(clamping: $0.start) }),
                .int32(chunk.passage.map { Int32(clamping: $0.end) }),
                .int32(chunk.page > 0 ? Int32(clamping: chunk.page) : nil), .textArray(chunk.headingPath),
                .bytes(chunk.hash), .text(text),
            ]
        }
    }

    private static func revisionStatement(
        _ revisions: [PreparedRevision], states: [String]
    ) -> (StaticString, [SQLValue]) {
        (
            """
            UPDATE revisions SET state = p.state, reason = '', message = '', parser = p.parser,
                parser_version = p.parser_version, text_zstd = p.text_zstd, text_sha256 = p.text_sha256, text_size = p.text_size,
                structure = p.structure, receipt = p.receipt, published_at = now()
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[], $8::jsonb[],
                $9::jsonb[]) AS p (id, state, parser, parser_version, text_zstd, text_sha256, text_size, structure, receipt)
            WHERE revisions.id = p.id
            """,
            [
                .uuidArray(revisions.map(\.input.revisionID)), .textArray(states), .textArray(revisions.map(\.parser)),
                .textArray(revisions.map(\.parserVersion)), .bytesArray(revisions.map(\.textFrame)),
                .bytesArray(revisions.map(\.textSHA256)), .int64Array(revisions.map { Int64($0.textBytes) }),
                .jsonArray(revisions.map(\.structure)), .jsonArray(revisions.map(\.receipt)),
            ]
        )
    }

    /// The metadata that came with the upload becomes the document's together with its text.
    private static func documentStatement(_ revisions: [PreparedRevision]) -> (StaticString, [SQLValue]) {
        (
            """
            UPDATE documents SET current_revision_id = p.revision_id, title = p.title, updated_at = now(),
                metadata = coalesce(j.payload->'metadata', documents.metadata)
            FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) AS p (id, revision_id, title, job_id)
            JOIN jobs j ON j.id = p.job_id
            WHERE documents.id = p.id
            """,
            [
                .uuidArray(revisions.map(\.input.documentID)), .uuidArray(revisions.map(\.input.revisionID)),
                .textArray(revisions.map(\.title)), .uuidArray(revisions.map(\.input.lease.jobID)),
            ]
        )
    }
}
