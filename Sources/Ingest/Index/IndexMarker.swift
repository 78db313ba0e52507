internal import Core
internal import Glibc
internal import Storage

/// Remembers beside an index which database it was made from, and what that database's log said at the index's position.
///
/// An index that is used with another database, or with one that was restored to an earlier state, would answer from documents that do not
/// exist; its sequence number alone cannot tell.
struct IndexMarker: Equatable {
    /// Made once per database.
    var corpus: String
    var sequence: Int64
    /// Revision of the log entry with that sequence.
    var revision: UUIDv7

    /// Reads a marker; nil when there is none that can be used.
    static func read(_ path: String) -> IndexMarker? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 3, let sequence = Int64(words[1]), let revision = UUIDv7(words[2]) else { return nil }
        return IndexMarker(corpus: String(words[0]), sequence: sequence, revision: revision)
    }

    /// Replaces the marker as one step.
    /// - Throws: UNAVAILABLE with reason INDEX_IO.
    func write(_ path: String) throws {
        let temporary = path + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode_t(0o600))
        guard descriptor >= 0 else { throw Self.failure(path) }
        let line = Array("\(corpus) \(sequence) \(revision)\n".utf8)
        let written = Glibc.write(descriptor, line, line.count)
        let isWritten = written == line.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten, rename(temporary, path) == 0 else { throw Self.failure(path) }
    }

    private static func failure(_ path: String) -> Failure {
        Failure(
            .unavailable, reason: "INDEX_IO", "Could not write \(path) (error \(errno)).",
            remedy: "Check that the service may write to its data directory and that the disk is not full.")
    }

    /// The database's own name, made at first use.
    static func corpus(on connection: isolated PostgresConnection) throws -> String {
        let results = try connection.pipeline([
            (
                "INSERT INTO settings (key, value) VALUES ('corpus.id', to_jsonb($1::text)) ON CONFLICT DO NOTHING",
                [.text(UUIDv7().description)]
            ),
            ("SELECT value #>> '{}' FROM settings WHERE key = 'corpus.id'", []),
        ])
        return try results[1].one().text(0)
    }

    /// Why an index at `sequence` with this marker does not belong to the database; nil when it does.
    static func mismatch(
        _ marker: IndexMarker?, sequence: Int64, corpus: String, on connection: isolated PostgresConnection
    ) throws -> String? {
        guard sequence > 0 else { return nil }
        guard let marker else { return "nothing says which database it belongs to" }
        guard marker.corpus == corpus else { return "it belongs to another database" }
        let rows = try connection.execute(
            "SELECT revision_id FROM index_log WHERE sequence = $1", [.int64(sequence)])
        guard let row = rows.first else { return "it is ahead of the database's log" }
        // A crash may have come between the index's flush and its marker.
        let revision = try row.uuid(0)
        guard marker.sequence != sequence || marker.revision == revision else {
            return "the database's log says something else at its position"
        }
        return nil
    }
}
