internal import Core
internal import Search
internal import Storage

/// A stretch of the index log with everything that the index needs to apply it.
struct IndexBatch: Sendable {
    /// Log entries, and bytes of text, in one batch; a single larger revision is a batch of its own.
    private static let entriesMax = 512
    private static let textBytesMax = 8 << 20

    /// In the order of their sequence, one per document.
    var changes: [IndexChange] = []
    /// Sequence of each change.
    var sequences: [Int64] = []
    /// Position after the changes.
    var sequence: Int64 = 0
    /// What the log says at that position, to recognise it by.
    var lastRevisionID: UUIDv7

    /// The entries after `sequence`; nil when there are none.
    static func load(after sequence: Int64, on connection: isolated PostgresConnection) throws -> IndexBatch? {
        let entries = try IndexLog.read(after: sequence, limit: entriesMax, on: connection)
        guard !entries.isEmpty else { return nil }
        let documents = try documents(of: entries, on: connection)
        // The last entry of a document says what becomes of it.
        var taken: [UUIDv7: IndexLog.Entry] = [:]
        var bytes = 0
        var last = entries[0]
        for (place, entry) in entries.enumerated() {
            let size = entry.kind == .publish ? documents[entry.revisionID]?.textBytes ?? 0 : 0
            if place > 0, bytes + size > textBytesMax { break }
            bytes += size
            last = entry
            // An embedding changes nothing here; the vectors' own segment will follow it.
            if entry.kind != .embedded { taken[entry.documentID] = entry }
        }
        var batch = IndexBatch(sequence: last.sequence, lastRevisionID: last.revisionID)
        let published = taken.values.filter { $0.kind == .publish && documents[$0.revisionID] != nil }
        let chunks = try chunks(of: published.map(\.revisionID), documents, on: connection)
        for entry in taken.values.sorted(by: { $0.sequence < $1.sequence }) {
            batch.sequences.append(entry.sequence)
            if let chunks = chunks[entry.revisionID], entry.kind == .publish {
                batch.changes.append(.publish(document: entry.documentID, chunks: chunks))
            } else {
                batch.changes.append(.retract(document: entry.documentID))
            }
        }
        return batch
    }

    private struct Document {
        var id: UUIDv7
        var collectionID: UUIDv7
        var title: String
        var metadata: [String: String]
        var textBytes: Int
    }

    /// By revision; deleted documents are absent.
    private static func documents(
        of entries: [IndexLog.Entry], on connection: isolated PostgresConnection
    ) throws -> [UUIDv7: Document] {
        let rows = try connection.execute(
            """
            SELECT r.id, d.id, d.collection_id, d.title,
                ARRAY(SELECT m.key FROM jsonb_each_text(d.metadata) AS m ORDER BY m.key),
                ARRAY(SELECT m.value FROM jsonb_each_text(d.metadata) AS m ORDER BY m.key), coalesce(r.text_size, 0)
            FROM revisions r JOIN documents d ON d.id = r.document_id
            WHERE r.id = ANY($1) AND d.deleted_at IS NULL
            """, [.uuidArray(entries.filter { $0.kind == .publish }.map(\.revisionID))])
        return Dictionary(
            try rows.map { row in
                (
                    try row.uuid(0),
                    Document(
                        id: try row.uuid(1), collectionID: try row.uuid(2), title: try row.text(3),
                        metadata: Dictionary(
                            zip(try row.textArray(4), try row.textArray(5)), uniquingKeysWith: { first, _ in first }),
                        textBytes: try row.int(6))
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    private static func chunks(
        of revisions: [UUIDv7], _ documents: [UUIDv7: Document], on connection: isolated PostgresConnection
    ) throws -> [UUIDv7: [IndexedChunk]] {
        guard !revisions.isEmpty else { return [:] }
        var chunks: [UUIDv7: [IndexedChunk]] = [:]
        for revision in revisions { chunks[revision] = [] }
        let rows = try connection.execute(
            """
            SELECT revision_id, id, span_start, span_end, coalesce(page, 0), heading_path, hash, text
            FROM chunks WHERE revision_id = ANY($1) ORDER BY revision_id, ordinal
            """, [.uuidArray(revisions)])
        for row in rows {
            let revision = try row.uuid(0)
            guard let document = documents[revision] else { continue }
            chunks[revision]?.append(
                IndexedChunk(
                    id: try row.uuid(1), documentID: document.id, revisionID: revision,
                    collectionID: document.collectionID, title: document.title, headingPath: try row.textArray(5),
                    text: try row.text(7), span: ByteSpan(start: try row.int(2), end: try row.int(3)),
                    page: try row.int(4), hash: try row.bytes(6), metadata: document.metadata))
        }
        return chunks
    }
}
