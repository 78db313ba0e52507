/// Reads the postings of a term forward.
struct PostingCursor {
    private var bytes: ByteCursor
    private var remaining: Int
    private let limit: Int64
    /// The current chunk (document, for metadata); `Int.max` at the end.
    private(set) var ordinal: Int
    /// Its weighted term frequency in halves.
    private(set) var frequency: UInt32 = 0

    static let atEnd = Int.max

    /// - Parameter limit: ordinals must lie below it; the segment's count of chunks (documents, for metadata).
    init(_ entry: TermEntry, limit: Int) throws {
        bytes = try ByteCursor(entry.postings)
        remaining = entry.count
        self.limit = Int64(limit)
        ordinal = -1
        try advance()
    }

    /// Moves to the next posting.
    @inline(__always)
    mutating func advance() throws {
        guard remaining > 0 else {
            ordinal = Self.atEnd
            return
        }
        remaining -= 1
        let head = try bytes.varint()
        let next = Int64(ordinal) + Int64(head >> 1)
        guard head > 1, next < limit else { throw IndexDamage("postings are out of order") }
        ordinal = Int(next)
        frequency = head & 1 == 0 ? FieldWeight.body : try bytes.varint()
    }
}

/// Reads the positions of a term forward, beside its postings.
struct PositionCursor {
    private var bytes: ByteCursor

    init(_ entry: TermEntry) throws { bytes = try ByteCursor(entry.positions) }

    /// The encoded positions of the next posting.
    mutating func next() throws -> UnsafeRawBufferPointer {
        try bytes.bytes(Int(try bytes.varint()))
    }

    /// Appends the positions of the next posting to `positions`.
    mutating func next(into positions: inout [UInt32]) throws {
        var cursor = try ByteCursor(try next())
        var position: UInt32 = 0
        while cursor.remaining > 0 {
            position = position &+ (try cursor.varint())
            positions.append(position)
        }
    }
}
