import Core
import NIOCore

@testable import RPC

/// Frames as an input describes them: mostly sound, so that what follows a sound beginning is reached, and broken in every way that a few bytes can say.
///
/// Each frame is: an operation (low four bits), flags, a stream, a size, and what its kind needs.
struct FrameScript {
    enum Step {
        case bytes(ByteBuffer)
        case pass(milliseconds: Int64)
        case stall
        case takeAll
        case letGo
        /// The client begins a call.
        case call(UInt8)
        case lose
    }

    static let operations = 16
    /// What the operations from 10 on are.
    static let ignorable: UInt8 = 10
    static let pass: UInt8 = 11
    static let raw: UInt8 = 12
    static let socket: UInt8 = 13
    static let call: UInt8 = 14
    static let damaged: UInt8 = 15

    /// Frames carry checksums.
    var checksums = false

    func next(_ input: inout FuzzInput) -> Step? {
        guard !input.isAtEnd else { return nil }
        let operation = input.byte()
        switch operation & 0x0F {
        case Self.pass: return .pass(milliseconds: Int64(input.byte()) * (operation & 0x80 == 0 ? 1 : 200))
        case Self.socket:
            switch input.byte() & 3 {
            case 0: return .stall
            case 1: return .takeAll
            case 2: return .letGo
            default: return .lose
            }
        case Self.call: return .call(input.byte())
        case Self.raw: return .bytes(ByteBuffer(bytes: input.take(Int(input.byte()))))
        default: return .bytes(frame(operation, &input))
        }
    }

    private func frame(_ operation: UInt8, _ input: inout FuzzInput) -> ByteBuffer {
        let isDamaged = operation & 0x0F == Self.damaged
        let type = isDamaged ? operation >> 4 : operation & 0x0F
        var flags = FrameFlags(rawValue: input.byte())
        // Mostly flags that are known.
        if flags.rawValue & 0xC0 != 0xC0 { flags.formIntersection(.known) }
        let streamByte = input.byte()
        let stream = streamByte & 0x80 == 0 ? UInt32(streamByte) : UInt32(streamByte & 0x0F) << 4 | 1
        let size = input.byte()
        var meta: [UInt8] = []
        var payload: [UInt8] = []
        switch FrameType(rawValue: type) {
        case .hello, .headers, .status, .goAway:
            meta = input.take(Int(size))
            if type == FrameType.status.rawValue { payload = self.payload(input.byte(), &input) }
        case .request:
            meta = requestMeta(size, &input)
            payload = self.payload(input.byte(), &input)
        case .window: payload = size & 1 == 0 ? [0, 0, size, input.byte()] : input.take(Int(size & 7))
        case .ping, .pong: payload = size & 1 == 0 ? Array(repeating: size, count: 8) : input.take(Int(size & 15))
        case .data, nil: payload = self.payload(size, &input)
        case .cancel: break
        }
        return encoded(
            (type: type == Self.ignorable ? 0x8A : type, damage: isDamaged ? input.byte() : 0),
            flags, stream, meta, payload)
    }

    /// Small ones are in the input, large ones are repeated bytes.
    private func payload(_ size: UInt8, _ input: inout FuzzInput) -> [UInt8] {
        switch size {
        case 0..<128: input.take(Int(size))
        case 128..<192: Array(repeating: size, count: Int(size - 127) * 100)
        default: Array(repeating: size, count: Int(size - 191) * 1024)
        }
    }

    private static let paths = [
        EmbeddedService.echo, EmbeddedService.hold, EmbeddedService.collect, EmbeddedService.chat,
        EmbeddedService.count,
    ].map { Array($0.path.utf8) }

    /// One of the service's methods with a short deadline or none, or whatever the input says.
    private func requestMeta(_ choice: UInt8, _ input: inout FuzzInput) -> [UInt8] {
        guard choice & 7 < Self.paths.count else { return input.take(Int(choice >> 3)) }
        var meta = RequestMeta()
        meta.timeoutMicroseconds = UInt64(choice >> 3) * 1000
        var buffer = ByteBuffer()
        _ = meta.encode(path: Self.paths[Int(choice & 7)], into: &buffer)
        return Array(buffer.readableBytesView)
    }

    private func encoded(
        _ type: (type: UInt8, damage: UInt8), _ flags: FrameFlags, _ stream: UInt32, _ meta: [UInt8],
        _ payload: [UInt8]
    ) -> ByteBuffer {
        var flags = flags
        var buffer = ByteBuffer()
        if checksums, type.type != FrameType.hello.rawValue { flags.insert(.crc32c) } else { flags.remove(.crc32c) }
        let sum = flags.contains(.crc32c) ? Checksum.bytes : 0
        FrameHeader(
            length: meta.count + payload.count + sum, type: type.type, flags: flags, metaLength: meta.count,
            stream: stream
        ).write(to: &buffer)
        buffer.writeBytes(meta)
        buffer.writeBytes(payload)
        if sum > 0 { buffer.writeInteger(buffer.withUnsafeReadableBytes { Checksum.crc32c($0) }) }
        if type.damage != 0 {
            let at = Int(type.damage) % buffer.readableBytes
            buffer.setInteger((buffer.getInteger(at: at, as: UInt8.self) ?? 0) ^ type.damage, at: at)
        }
        return buffer
    }

    /// Cuts `bytes` into reads as `chunk` says: 0 for one.
    static func reads(_ bytes: ByteBuffer, chunk: UInt8) -> [ByteBuffer] {
        guard chunk > 0 else { return [bytes] }
        var rest = bytes
        var reads: [ByteBuffer] = []
        // Tiny reads of large frames take long and find nothing new.
        let count = max(Int(chunk), bytes.readableBytes / 64)
        while rest.readableBytes > 0, let part = rest.readSlice(length: min(count, rest.readableBytes)) {
            reads.append(part)
        }
        return reads
    }
}
