import Core
import NIOCore

@testable import RPC

/// A frame as a test writes and reads it.
struct WireFrame: Hashable, CustomStringConvertible {
    var type: FrameType
    var flags: FrameFlags = []
    var stream: UInt32 = 0
    var meta: [UInt8] = []
    var payload: [UInt8] = []

    var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        FrameHeader(
            length: meta.count + payload.count, type: type.rawValue, flags: flags, metaLength: meta.count,
            stream: stream
        ).write(to: &buffer)
        buffer.writeBytes(meta)
        buffer.writeBytes(payload)
        return buffer
    }

    /// The whole frames at the front of `buffer`, consuming them. Checksums stay in the payload.
    static func read(_ buffer: inout ByteBuffer) throws -> [WireFrame] {
        var frames: [WireFrame] = []
        while let header = try buffer.withUnsafeReadableBytes({
            try FrameHeader.peek($0, frameBytesMax: RPCLimits.frameBytesRange.upperBound)
        }),
            buffer.readableBytes >= FrameHeader.bytes + header.length
        {
            buffer.moveReaderIndex(forwardBy: FrameHeader.bytes)
            guard let type = FrameType(rawValue: header.type), let meta = buffer.readBytes(length: header.metaLength),
                let payload = buffer.readBytes(length: header.length - header.metaLength)
            else { throw ProtocolViolation("a frame of type \(header.type) was written") }
            frames.append(
                WireFrame(type: type, flags: header.flags, stream: header.stream, meta: meta, payload: payload))
        }
        return frames
    }

    var description: String { "\(type)(\(flags.rawValue)) \(stream): \(meta.count)+\(payload.count)" }

    // MARK: What tests send

    static func hello(_ change: (inout WireHello) -> Void = { _ in }) -> WireFrame {
        var hello = WireHello()
        change(&hello)
        return WireFrame(type: .hello, meta: Array(hello.encoded().readableBytesView))
    }

    static func request(
        _ stream: UInt32, _ path: String, flags: FrameFlags = [.endMessage, .endStream], timeoutMs: UInt64 = 0,
        payload: [UInt8] = [], _ change: (inout RequestMeta) -> Void = { _ in }
    ) -> WireFrame {
        var meta = RequestMeta()
        meta.timeoutMicroseconds = timeoutMs * 1000
        change(&meta)
        var buffer = ByteBuffer()
        _ = meta.encode(path: Array(path.utf8), into: &buffer)
        return WireFrame(
            type: .request, flags: flags, stream: stream, meta: Array(buffer.readableBytesView), payload: payload)
    }

    static func data(_ stream: UInt32, _ count: Int, _ flags: FrameFlags = .endMessage) -> WireFrame {
        WireFrame(type: .data, flags: flags, stream: stream, payload: Array(repeating: 0x61, count: count))
    }

    static func status(
        _ stream: UInt32, _ failure: Failure? = nil, flags: FrameFlags = [.endStream, .noMessage],
        payload: [UInt8] = []
    ) -> WireFrame {
        var buffer = ByteBuffer()
        _ = StatusMeta(failure: failure).encode(into: &buffer)
        return WireFrame(
            type: .status, flags: flags, stream: stream, meta: Array(buffer.readableBytesView), payload: payload)
    }

    static func window(_ stream: UInt32, _ credit: UInt32) -> WireFrame {
        WireFrame(type: .window, stream: stream, payload: withUnsafeBytes(of: credit.bigEndian) { Array($0) })
    }

    static func cancel(_ stream: UInt32) -> WireFrame { WireFrame(type: .cancel, stream: stream) }

    static func ping(_ byte: UInt8 = 0) -> WireFrame {
        WireFrame(type: .ping, payload: Array(repeating: byte, count: 8))
    }

    // MARK: What tests look at

    var statusMeta: StatusMeta? {
        get throws { type == .status ? try meta.withUnsafeBytes { try StatusMeta.decode($0) } : nil }
    }

    var goAway: WireGoAway? {
        get throws { type == .goAway ? try WireGoAway.decode(ByteBuffer(bytes: meta)) : nil }
    }

    var credit: UInt32? { type == .window ? ByteBuffer(bytes: payload).getInteger(at: 0) : nil }
}
