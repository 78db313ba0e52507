import Core
import NIOCore

@testable import RPC

/// What one simulated call does, on both sides. It travels in the call's metadata.
struct CallScript {
    enum Kind: UInt8, CaseIterable {
        case unary, serverStream, clientStream, chat

        var streamsRequests: Bool { self == .clientStream || self == .chat }
    }

    var id: UInt32 = 0
    var kind = Kind.unary
    /// The method with a limit of calls at once.
    var isLimited = false
    var requests = 1
    var requestBytes = 0
    var replies = 1
    var replyBytes = 0
    /// Time the handler takes before each reply.
    var pauseMs: UInt16 = 0
    /// Code with which the handler fails after its last message; 0 for none.
    var failsWith: UInt8 = 0
    /// The handler waits until it is cancelled.
    var hangs = false
    /// The handler goes on for this long after it was cancelled.
    var stubbornMs: UInt16 = 0
    /// After its replies the handler of a server stream begins one more and gives it up after this long; 0 for none.
    var givesUpMs: UInt16 = 0
    /// Messages after which the handler of a client stream answers.
    var requestsTaken = Int(UInt16.max)
    /// Not sent: messages after which the caller of a server stream has enough.
    var repliesTaken = Int.max
    /// Not sent.
    var timeoutMs: Int64?
    var cancelAfterMs: Int64?
    var startMs: Int64 = 0
    var link = 0

    private static let sizes = [0, 1, 30, 900, 1500, 6000, 30_000, 70_000, 150_000]

    init(id: UInt32, links: Int, random: inout SeededGenerator) {
        self.id = id
        link = Int.random(in: 0..<links, using: &random)
        kind = Kind.allCases.randomElement(using: &random) ?? .unary
        isLimited = kind == .unary && random.oneIn(3)
        startMs = random.oneIn(4) ? 0 : Int64.random(in: 0...500, using: &random)
        requestBytes = Self.size(&random)
        replyBytes = Self.size(&random)
        if kind.streamsRequests { requests = Int.random(in: 0...12, using: &random) }
        if kind == .serverStream { replies = Int.random(in: 0...12, using: &random) }
        if random.oneIn(2) { pauseMs = UInt16.random(in: 0...80, using: &random) }
        if random.oneIn(6) { failsWith = UInt8.random(in: 1...16, using: &random) }
        if random.oneIn(3) { timeoutMs = Int64.random(in: 1...900, using: &random) }
        if random.oneIn(4) { cancelAfterMs = Int64.random(in: 0...400, using: &random) }
        hangs = timeoutMs != nil && random.oneIn(4)
        if random.oneIn(4) { stubbornMs = UInt16.random(in: 1...300, using: &random) }
        if kind == .clientStream, random.oneIn(4) { requestsTaken = Int.random(in: 0...3, using: &random) }
        if kind == .serverStream, random.oneIn(4) { repliesTaken = Int.random(in: 0...3, using: &random) }
        if kind == .serverStream, random.oneIn(2) { givesUpMs = UInt16.random(in: 1...40, using: &random) }
    }

    private static func size(_ random: inout SeededGenerator) -> Int {
        let size = sizes.randomElement(using: &random) ?? 0
        return size > 10_000 && random.oneIn(2) ? size / 100 : size
    }

    var path: String { isLimited ? "/sim.Control/limited" : "/sim.Control/\(kind)" }

    // MARK: On the wire

    init?(_ bytes: [UInt8]) {
        var buffer = ByteBuffer(bytes: bytes)
        guard let id = buffer.readInteger(as: UInt32.self), let kind = buffer.readInteger(as: UInt8.self),
            let requests = buffer.readInteger(as: UInt16.self), let requestBytes = buffer.readInteger(as: UInt32.self),
            let replies = buffer.readInteger(as: UInt16.self), let replyBytes = buffer.readInteger(as: UInt32.self),
            let pauseMs = buffer.readInteger(as: UInt16.self), let failsWith = buffer.readInteger(as: UInt8.self),
            let hangs = buffer.readInteger(as: UInt8.self), let stubbornMs = buffer.readInteger(as: UInt16.self),
            let requestsTaken = buffer.readInteger(as: UInt16.self),
            let givesUpMs = buffer.readInteger(as: UInt16.self), let kind = Kind(rawValue: kind)
        else { return nil }
        self.id = id
        self.kind = kind
        self.requests = Int(requests)
        self.requestBytes = Int(requestBytes)
        self.replies = Int(replies)
        self.replyBytes = Int(replyBytes)
        self.pauseMs = pauseMs
        self.failsWith = failsWith
        self.hangs = hangs != 0
        self.stubbornMs = stubbornMs
        self.requestsTaken = Int(requestsTaken)
        self.givesUpMs = givesUpMs
    }

    var bytes: [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeInteger(id)
        buffer.writeInteger(kind.rawValue)
        buffer.writeInteger(UInt16(requests))
        buffer.writeInteger(UInt32(requestBytes))
        buffer.writeInteger(UInt16(replies))
        buffer.writeInteger(UInt32(replyBytes))
        buffer.writeInteger(pauseMs)
        buffer.writeInteger(failsWith)
        buffer.writeInteger(UInt8(hangs ? 1 : 0))
        buffer.writeInteger(stubbornMs)
        buffer.writeInteger(UInt16(requestsTaken))
        buffer.writeInteger(givesUpMs)
        return Array(buffer.readableBytesView)
    }

    // MARK: Messages

    func request(_ index: Int) -> RawMessage { Self.message(id, index, requestBytes) }
    func reply(_ index: Int) -> RawMessage { Self.message(~id, index, replyBytes) }
    /// The answer of a client stream: how many messages its handler read.
    static func count(_ count: Int) -> RawMessage { RawMessage(ByteBuffer(integer: UInt64(count))) }

    /// Bytes that no other message has; those of even calls compress well.
    private static func message(_ id: UInt32, _ index: Int, _ count: Int) -> RawMessage {
        var word = (UInt64(id) << 32 | UInt64(index)) &* 0x9E37_79B9_7F4A_7C15
        var buffer = ByteBuffer()
        buffer.reserveCapacity(count + 8)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            var offset = 0
            while offset + 8 <= count {
                target.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
                if id & 1 == 1 { word = (word ^ word >> 29) &* 0xBF58_476D_1CE4_E5B9 &+ 1 }
                offset += 8
            }
            while offset < count {
                target[offset] = UInt8(truncatingIfNeeded: word >> UInt64(offset & 7 * 8))
                offset += 1
            }
            return count
        }
        return RawMessage(buffer)
    }
}
