internal import Core
internal import RPC
internal import Storage

/// The extracted text of revisions, range by range.
struct RevisionText: Sendable {
    /// Bytes of text in one answer.
    static let rangeBytesMax = 1 << 20

    let database: Database

    /// The bytes `start ..< end` of a revision's text (`end` 0: to its end), at most `rangeBytesMax` of them.
    ///
    /// Both ends must lie between characters: a range that was widened or narrowed would no longer be the one that a citation's hash was
    /// made of, so it is refused. Only the end that the limit sets moves, back to the character before.
    ///
    /// - Throws: NOT_FOUND; FAILED_PRECONDITION while the revision has no text; OUT_OF_RANGE; INVALID_ARGUMENT inside a character.
    func range(revision id: UUIDv7, start: UInt64, end: UInt64) async throws -> GetTextResponse {
        let stored = try await database.run { try Self.load(id, on: $0) }
        let size = UInt64(stored.size)
        let end = end == 0 ? size : end
        guard start <= end else { throw Failure.invalid(field: "end", "is before start") }
        guard end <= size else {
            throw Failure(
                .outOfRange, reason: "TEXT_RANGE",
                "The text of revision \(id) has \(size) bytes; the range ends at \(end).",
                fields: [.init(field: "end", description: "must be at most \(size)")])
        }
        let text = try await offLoop { try Zstd.decompress(stored.frame, bytesMax: CanonicalText.textBytesMax) }
        guard text.count == stored.size else { throw Self.damaged(id) }
        let first = Int(start)
        var last = Int(end)
        try Self.requireBoundary("start", first, text)
        try Self.requireBoundary("end", last, text)
        if last - first > Self.rangeBytesMax {
            last = first + Self.rangeBytesMax
            while !Self.isBoundary(last, text) { last -= 1 }
        }
        return GetTextResponse(
            revisionID: id.description, documentID: stored.documentID.description, start: start, end: UInt64(last),
            text: String(decoding: text[first..<last], as: UTF8.self), textSha256: stored.sha256, textBytes: size)
    }

    private struct Stored: Sendable {
        var documentID: UUIDv7
        var frame: [UInt8]
        var sha256: [UInt8]
        var size: Int
    }

    private static func load(_ id: UUIDv7, on connection: isolated PostgresConnection) throws -> Stored {
        let rows = try connection.execute(
            "SELECT document_id, text_zstd, text_sha256, text_size, state FROM revisions WHERE id = $1", [.uuid(id)])
        guard let row = rows.first else {
            throw Failure(
                .notFound, reason: "REVISION_NOT_FOUND", "There is no revision \(id).",
                remedy: "A document names its current revision.")
        }
        guard let frame = try row.optionalBytes(1) else {
            throw Failure(
                .failedPrecondition, reason: "NO_TEXT", "Revision \(id) has no text: it is \(try row.text(4)).",
                remedy: "Its job tells whether it is still being processed or why it failed.")
        }
        return Stored(documentID: try row.uuid(0), frame: frame, sha256: try row.bytes(2), size: try row.int(3))
    }

    private static func isBoundary(_ offset: Int, _ text: [UInt8]) -> Bool {
        offset == text.count || text[offset] & 0xC0 != 0x80
    }

    private static func requireBoundary(_ field: String, _ offset: Int, _ text: [UInt8]) throws {
        guard isBoundary(offset, text) else {
            throw Failure.invalid(
                field: field, "byte \(offset) is inside a character; ranges begin and end between characters")
        }
    }

    private static func damaged(_ id: UUIDv7) -> Failure {
        Failure(
            .dataLoss, reason: "TEXT_DAMAGED", "The stored text of revision \(id) does not have its recorded size.",
            remedy: "Restore the database from a backup.")
    }
}
