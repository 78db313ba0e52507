internal import Core
internal import RPC
internal import Storage

/// Reads documents as callers see them.
enum DocumentQueries {
    /// The one place that lists what a document's row shows. In no particular order.
    static func load(_ ids: [UUIDv7], on connection: isolated PostgresConnection) throws -> [RPC.Document] {
        guard !ids.isEmpty else { return [] }
        return try connection.execute(
            """
            SELECT d.id, c.name, d.origin, d.title, coalesce(current.media_type, last.media_type, ''),
                ARRAY(SELECT m.key FROM jsonb_each_text(d.metadata) AS m ORDER BY m.key),
                ARRAY(SELECT m.value FROM jsonb_each_text(d.metadata) AS m ORDER BY m.key),
                d.current_revision_id, coalesce(last.sequence, 0), coalesce(current.size, last.size, 0),
                d.created_at, d.updated_at, d.deleted_at IS NOT NULL, coalesce(last.state, ''),
                coalesce(last.reason, ''), coalesce(last.message, '')
            FROM documents d JOIN collections c ON c.id = d.collection_id
            LEFT JOIN revisions current ON current.id = d.current_revision_id
            LEFT JOIN LATERAL (
                SELECT media_type, size, sequence, state, reason, message FROM revisions WHERE document_id = d.id ORDER BY sequence DESC LIMIT 1
            ) last ON true
            WHERE d.id = ANY($1)
            """, [.uuidArray(ids)]
        ).map(document)
    }

    private static func document(_ row: Row) throws -> RPC.Document {
        RPC.Document(
            id: try row.uuid(0).description, collection: try row.text(1), origin: try row.text(2),
            title: try row.text(3), mediaType: try row.text(4),
            metadata: Dictionary(
                zip(try row.textArray(5), try row.textArray(6)), uniquingKeysWith: { first, _ in first }),
            revisionID: try row.optionalUUID(7)?.description ?? "", revisions: UInt32(clamping: try row.int(8)),
            sizeBytes: UInt64(clamping: try row.int(9)), createdAt: Timestamp(try row.time(10)),
            updatedAt: Timestamp(try row.time(11)), deleted: try row.bool(12), state: state(try row.text(13)),
            reason: try row.text(14), message: try row.text(15))
    }

    /// The states of `revisions.state`, which are named alike.
    private static func state(_ name: String) -> RPC.Document.State {
        RPC.Document.State.knownCases.first { $0.protoName.lowercased() == name } ?? .unspecified
    }

    /// A page of documents by id. `collection` empty and `state` unspecified mean all.
    static func page(
        collection: String, state: RPC.Document.State, after: UUIDv7?, limit: Int, includeDeleted: Bool,
        on connection: isolated PostgresConnection
    ) throws -> [RPC.Document] {
        let ids = try connection.execute(
            """
            SELECT d.id FROM documents d
            WHERE ($1 = '' OR d.collection_id = (SELECT id FROM collections WHERE name = $1))
                AND ($2::uuid IS NULL OR d.id > $2) AND ($3 OR d.deleted_at IS NULL)
                AND ($5 = '' OR $5 = (
                    SELECT r.state FROM revisions r WHERE r.document_id = d.id ORDER BY r.sequence DESC LIMIT 1
                ))
            ORDER BY d.id LIMIT $4
            """,
            [
                .text(collection), .uuid(after), .bool(includeDeleted), .int(limit),
                .text(state == .unspecified ? "" : state.protoName.lowercased()),
            ]
        ).map { try $0.uuid(0) }
        return try load(ids, on: connection).sorted { $0.id < $1.id }
    }

    /// - Throws: NOT_FOUND.
    static func requireCollection(_ name: String, on connection: isolated PostgresConnection) throws {
        let rows = try connection.execute("SELECT 1 FROM collections WHERE name = $1", [.text(name)])
        guard !rows.isEmpty else { throw unknownCollection(name) }
    }

    static func unknownCollection(_ name: String) -> Failure {
        Failure(
            .notFound, reason: "UNKNOWN_COLLECTION", "There is no collection \"\(name)\".",
            remedy: "A collection exists from its first upload on; check the spelling.")
    }

    static func notFound(_ id: UUIDv7) -> Failure {
        Failure(
            .notFound, reason: "DOCUMENT_NOT_FOUND", "There is no document \(id).",
            remedy: "List the documents to see their ids.")
    }

    // MARK: Receipt

    /// What became of the newest revision that was extracted; nil when there is none yet.
    static func receipt(ofDocument id: UUIDv7, on connection: isolated PostgresConnection) throws -> RPC.Receipt? {
        let results = try connection.pipeline([
            (
                """
                SELECT id, original_sha256, size, text_sha256, text_size, parser, parser_version,
                    (receipt->>'pages')::bigint, (receipt->>'chunks')::bigint, (receipt->>'chunked_bytes')::bigint
                FROM revisions WHERE document_id = $1 AND receipt IS NOT NULL ORDER BY sequence DESC LIMIT 1
                """, [.uuid(id)]
            ),
            (
                """
                SELECT coalesce(x.page, 0), coalesce(x.start, 0), coalesce(x.end, 0), x.reason, coalesce(x.detail, '')
                FROM (
                    SELECT receipt FROM revisions WHERE document_id = $1 AND receipt IS NOT NULL ORDER BY sequence DESC LIMIT 1
                ) r, jsonb_to_recordset(r.receipt->'drops')
                    AS x (page bigint, start bigint, "end" bigint, reason text, detail text)
                """, [.uuid(id)]
            ),
        ])
        guard let row = results[0].first else { return nil }
        return RPC.Receipt(
            revisionID: try row.uuid(0).description, originalSha256: try row.bytes(1),
            originalBytes: UInt64(clamping: try row.int(2)), textSha256: try row.bytes(3),
            textBytes: UInt64(clamping: try row.int(4)), pages: UInt32(clamping: try row.int(7)),
            chunks: UInt32(clamping: try row.int(8)), parser: try row.text(5), parserVersion: try row.text(6),
            chunkedBytes: UInt64(clamping: try row.int(9)), drops: try results[1].map(drop))
    }

    private static func drop(_ row: Row) throws -> RPC.Drop {
        let name = try row.text(3)
        return RPC.Drop(
            page: UInt32(clamping: try row.int(0)), start: UInt64(clamping: try row.int(1)),
            end: UInt64(clamping: try row.int(2)),
            reason: RPC.Drop.Reason.knownCases.first { $0.protoName == name } ?? .unspecified, detail: try row.text(4))
    }
}
