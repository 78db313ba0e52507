/// What the peer still lets us send: one for each stream, one for the connection.
struct SendWindow {
    /// Credit beyond this is a protocol violation (as in HTTP/2).
    static let bytesMax = Int(Int32.max)

    private(set) var available: Int

    init(bytes: Int) { available = bytes }

    mutating func consume(_ bytes: Int) {
        available -= bytes
    }

    /// Adds credit from a WINDOW frame.
    mutating func replenish(_ bytes: Int) throws(ProtocolViolation) {
        guard bytes > 0, available + bytes <= Self.bytesMax else {
            throw ProtocolViolation("a WINDOW frame raises the window by \(bytes) bytes beyond its bounds")
        }
        available += bytes
    }

    /// The peer announced another window than was assumed before its HELLO.
    mutating func adjust(by bytes: Int) { available += bytes }
}

/// What we still let the peer send, and how much of it to give back.
///
/// Credit is gathered and returned when half of the window waits, so that WINDOW frames stay rare.
struct ReceiveWindow {
    private let bytes: Int
    /// What a peer may send beyond `bytes` because it has not read our HELLO yet and goes by the defaults.
    private let excessMax: Int
    private(set) var available: Int
    private var pending = 0

    init(bytes: Int, excessMax: Int = 0) {
        self.bytes = bytes
        self.excessMax = max(0, excessMax)
        available = bytes
    }

    /// Nothing is under way or waits to be taken.
    var isWhole: Bool { available + pending == bytes }

    /// The peer has sent `count` payload bytes.
    mutating func consume(_ count: Int) throws(ProtocolViolation) {
        available -= count
        guard available >= -excessMax else {
            throw ProtocolViolation("\(-available) bytes were sent beyond the flow-control window")
        }
    }

    /// `count` bytes were taken. Returns the credit to send now; 0 for none yet.
    mutating func credit(_ count: Int) -> Int {
        pending += count
        guard pending * 2 >= bytes else { return 0 }
        defer { pending = 0 }
        available += pending
        return pending
    }
}
