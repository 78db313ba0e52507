/// A half-open range of UTF-8 bytes in a revision's extracted text.
public struct ByteSpan: Sendable, Hashable, Comparable {
    public var start: Int
    public var end: Int

    /// - Precondition: `0 <= start <= end`.
    public init(start: Int, end: Int) {
        precondition(start >= 0 && start <= end, "a span runs forward from a non-negative offset")
        self.start = start
        self.end = end
    }

    public var count: Int { end - start }
    public var range: Range<Int> { start..<end }

    public static func < (lhs: ByteSpan, rhs: ByteSpan) -> Bool {
        lhs.start != rhs.start ? lhs.start < rhs.start : lhs.end < rhs.end
    }
}
