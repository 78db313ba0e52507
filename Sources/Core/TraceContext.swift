/// W3C trace context (level 2): which trace a piece of work belongs to and which span caused it.
public struct TraceContext: Sendable, Hashable {
    /// 16 bytes, never all zero.
    public var traceHigh: UInt64
    public var traceLow: UInt64
    /// 8 bytes, never zero: the span that caused the work.
    public var span: UInt64
    /// Bit 0: sampled. Bit 1: the trace id is random.
    public var flags: UInt8
    /// Vendor list as received, at most `stateBytesMax` bytes; passed on unread.
    public var state: String

    public static let stateBytesMax = 512

    public init(traceHigh: UInt64, traceLow: UInt64, span: UInt64, flags: UInt8 = 3, state: String = "") {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.span = span
        self.flags = flags
        self.state = state
    }

    /// A new root: random trace and span, sampled.
    public static func root() -> TraceContext {
        var generator = SystemRandomNumberGenerator()
        return root(using: &generator)
    }

    /// A new root with random bits from `generator`.
    public static func root(using generator: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(traceHigh: generator.next() | 1, traceLow: generator.next(), span: generator.next() | 1, flags: 3)
    }

    /// A new span in the same trace.
    public func child() -> TraceContext {
        var copy = self
        copy.span = FastRandom.sharedWord()
        return copy
    }

    /// Parses a `traceparent` header. Returns nil for anything the specification calls invalid; the caller then starts a new trace.
    /// Versions above 00 are read by their first four fields, `ff` is invalid.
    public init?(traceparent: some StringProtocol, state: String = "") {
        let text = Array(traceparent.utf8)
        guard text.count >= 55, text[2] == 0x2D, text[35] == 0x2D, text[52] == 0x2D else { return nil }
        guard let version = Self.word(text[0..<2]), version != 0xFF else { return nil }
        guard version == 0 ? text.count == 55 : text.count == 55 || text[55] == 0x2D else { return nil }
        guard let high = Self.word(text[3..<19]), let low = Self.word(text[19..<35]),
            let span = Self.word(text[36..<52]), let flags = Self.word(text[53..<55])
        else { return nil }
        guard high | low != 0, span != 0 else { return nil }
        self.init(
            traceHigh: high, traceLow: low, span: span, flags: UInt8(flags) & 3,
            state: state.utf8.count <= Self.stateBytesMax ? state : "")
    }

    /// The `traceparent` header of this context, version 00.
    public var traceparent: String { "00-\(traceID)-\(spanID)-\(hexString([flags]))" }
    /// 32 lower-case hex digits.
    public var traceID: String { hexString(traceHigh) + hexString(traceLow) }
    /// 16 lower-case hex digits.
    public var spanID: String { hexString(span) }

    /// Lower-case hex only, as the specification demands.
    private static func word(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var word: UInt64 = 0
        for digit in digits {
            guard !(0x41...0x46).contains(digit), let value = hexDigitValue(digit) else { return nil }
            word = word << 4 | UInt64(value)
        }
        return word
    }
}
