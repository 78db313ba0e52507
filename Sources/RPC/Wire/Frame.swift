internal import Core
internal import NIOCore

/// What a frame is. Numbers with bit 7 set may be ignored by a peer that does not know them.
enum FrameType: UInt8 {
    case hello = 0
    case request = 1
    case headers = 2
    case data = 3
    case status = 4
    case cancel = 5
    case window = 6
    case ping = 7
    case pong = 8
    case goAway = 9
}

struct FrameFlags: OptionSet, Hashable {
    let rawValue: UInt8

    /// The payload completes a message.
    static let endMessage = FrameFlags(rawValue: 1)
    /// The sender sends nothing more on this stream.
    static let endStream = FrameFlags(rawValue: 2)
    static let zstd = FrameFlags(rawValue: 4)
    static let crc32c = FrameFlags(rawValue: 8)
    /// There is no message in this frame, not even an empty one.
    static let noMessage = FrameFlags(rawValue: 16)

    /// Flags that version 1 defines.
    static let known: FrameFlags = [.endMessage, .endStream, .zstd, .crc32c, .noMessage]
}

/// The 12 bytes before every frame, big endian: length of what follows, type, flags, length of the meta part, stream.
struct FrameHeader: Hashable {
    static let bytes = 12

    var length: Int
    var type: UInt8
    var flags: FrameFlags
    var metaLength: Int
    var stream: UInt32

    /// Appends the header.
    func write(to buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.bytes) { target in
            target.storeBytes(of: UInt32(length).bigEndian, as: UInt32.self)
            target[4] = type
            target[5] = flags.rawValue
            target.storeBytes(of: UInt16(metaLength).bigEndian, toByteOffset: 6, as: UInt16.self)
            target.storeBytes(of: stream.bigEndian, toByteOffset: 8, as: UInt32.self)
            return Self.bytes
        }
    }

    /// The header at `raw`, which has at least 12 bytes.
    @inline(__always)
    init(_ raw: UnsafeRawPointer) {
        length = Int(UInt32(bigEndian: raw.loadUnaligned(as: UInt32.self)))
        type = raw.load(fromByteOffset: 4, as: UInt8.self)
        flags = FrameFlags(rawValue: raw.load(fromByteOffset: 5, as: UInt8.self))
        metaLength = Int(UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 6, as: UInt16.self)))
        stream = UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    init(length: Int, type: UInt8, flags: FrameFlags, metaLength: Int, stream: UInt32) {
        self.length = length
        self.type = type
        self.flags = flags
        self.metaLength = metaLength
        self.stream = stream
    }

    /// The header at the start of `bytes`; nil when fewer than 12 bytes are there.
    /// - Throws: `ProtocolViolation` for a length above `frameBytesMax` or parts that do not fit into it. Nothing is allocated before.
    @inline(__always)
    static func peek(_ bytes: UnsafeRawBufferPointer, frameBytesMax: Int) throws(ProtocolViolation) -> FrameHeader? {
        guard bytes.count >= Self.bytes else { return nil }
        let header = FrameHeader(bytes.baseAddress!)
        let checksum = header.flags.contains(.crc32c) ? Checksum.bytes : 0
        if header.length <= frameBytesMax, header.metaLength + checksum <= header.length,
            header.metaLength <= RPCLimits.metaBytesMax
        {
            return header
        }
        throw header.violation(frameBytesMax: frameBytesMax)
    }

    private func violation(frameBytesMax: Int) -> ProtocolViolation {
        if length > frameBytesMax {
            return ProtocolViolation("a frame of \(length) bytes is larger than the limit of \(frameBytesMax)")
        }
        return metaLength > RPCLimits.metaBytesMax
            ? ProtocolViolation("a meta part of \(metaLength) bytes is larger than \(RPCLimits.metaBytesMax)")
            : ProtocolViolation("a frame's meta part of \(metaLength) bytes is longer than its \(length) bytes")
    }
}

/// The peer broke the protocol: the connection cannot go on.
struct ProtocolViolation: Error, Hashable {
    /// What it did, for the GOAWAY frame and the log.
    let message: String
    /// INTERNAL for broken rules, RESOURCE_EXHAUSTED for used-up budgets, DATA_LOSS for damaged bytes.
    let code: StatusCode

    init(_ message: String, code: StatusCode = .internalError) {
        self.message = message
        self.code = code
    }

    var failure: Failure {
        Failure(
            code, reason: "PROTOCOL_ERROR",
            "The connection was closed because the peer broke ACP/1: \(message).")
    }
}

/// The 8 bytes that open a connection, client first: `AC "ACP" 0D 0A major minor`. The line ending catches transports that translate text.
enum Preface {
    static let bytes = 8
    static let major: UInt8 = 1
    static let minor: UInt8 = 0
    static let firstByte: UInt8 = 0xAC
    private static let magic: [UInt8] = [firstByte, 0x41, 0x43, 0x50, 0x0D, 0x0A]

    static func write(to buffer: inout ByteBuffer) {
        buffer.writeBytes(magic)
        buffer.writeInteger(major)
        buffer.writeInteger(minor)
    }

    /// The major version of the preface at the reader index, consuming it; nil when more bytes are needed.
    static func read(from buffer: inout ByteBuffer) throws(ProtocolViolation) -> UInt8? {
        let known = min(buffer.readableBytes, magic.count)
        guard buffer.readableBytesView.prefix(known).elementsEqual(magic.prefix(known)) else {
            throw ProtocolViolation("the first bytes are not the preface of ACP/1")
        }
        guard let preface = buffer.readBytes(length: bytes) else { return nil }
        return preface[6]
    }
}
