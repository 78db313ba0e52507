import Core
import NIOCore

@testable import RPC

/// What a connection end writes must be right whatever it reads: the other half of being robust.
struct OutputCheck {
    let isServer: Bool
    private var isGreeted = false
    private var goAwayCode: UInt32?
    private var opened: Set<UInt32> = []
    private var ended: Set<UInt32> = []
    private var cancelled: Set<UInt32> = []
    private var hasHeaders: Set<UInt32> = []
    private var hasData: Set<UInt32> = []
    private var lastOpened: UInt32 = 0

    init(isServer: Bool) { self.isServer = isServer }

    /// - Parameter frameBytesMax: what the peer takes.
    mutating func take(_ frames: [WireFrame], frameBytesMax: Int) throws {
        for frame in frames { try take(frame, frameBytesMax) }
    }

    private mutating func take(_ frame: WireFrame, _ frameBytesMax: Int) throws {
        try expect(goAwayCode == nil || goAwayCode == 0, "\(frame) was written after a GOAWAY with an error")
        try expect(isGreeted == (frame.type != .hello), "\(frame) was written instead of, or after, HELLO")
        isGreeted = true
        try expect(frame.flags.isSubset(of: .known), "\(frame) has unknown flags")
        try expect(!frame.flags.isSuperset(of: [.endMessage, .noMessage]), "\(frame) contradicts itself")
        // What was written before the peer's HELLO goes by the default.
        try expect(
            frame.meta.count + frame.payload.count <= max(65_536, frameBytesMax),
            "\(frame) is larger than the peer takes")
        switch frame.type {
        case .hello: _ = try WireHello.decode(ByteBuffer(bytes: frame.meta))
        case .ping, .pong: try expect(frame.stream == 0 && sized(frame, 8), "\(frame) is not right")
        case .window:
            try expect(sized(frame, 4) && (frame.credit ?? 0) > 0, "\(frame) is not right")
        case .goAway:
            goAwayCode = try WireGoAway.decode(ByteBuffer(bytes: frame.meta)).code
            try expect(frame.stream == 0, "\(frame) is on a stream")
        case .request:
            try expect(!isServer && frame.stream & 1 == 1 && frame.stream > lastOpened, "\(frame) opens no stream")
            lastOpened = frame.stream
            opened.insert(frame.stream)
        case .cancel:
            try expect(!isServer && cancelled.insert(frame.stream).inserted, "\(frame) is too much")
        case .headers:
            try expect(isServer && !hasData.contains(frame.stream), "\(frame) comes after a message")
            try expect(hasHeaders.insert(frame.stream).inserted, "\(frame) comes twice")
        case .data:
            let isOver = ended.contains(frame.stream) || cancelled.contains(frame.stream)
            try expect(frame.stream & 1 == 1 && !isOver, "\(frame) is on no open stream")
            hasData.insert(frame.stream)
            if !isServer, frame.flags.contains(.endStream) { ended.insert(frame.stream) }
        case .status:
            try expect(isServer && ended.insert(frame.stream).inserted, "\(frame) comes twice")
            _ = try frame.statusMeta
        }
    }

    private func sized(_ frame: WireFrame, _ count: Int) -> Bool {
        frame.meta.isEmpty && frame.payload.count == count + (frame.flags.contains(.crc32c) ? Checksum.bytes : 0)
    }
}
