import NIOCore

@testable import RPC

/// A frame as bytes, right or wrong.
struct RawFrame {
    var type: UInt8
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var meta: [UInt8] = []
    var payload: [UInt8] = []
    /// What the header says instead of the truth.
    var claimedLength: UInt32?
    var claimedMetaLength: UInt16?
    /// Ends with a checksum, which may be wrong.
    var hasChecksum = false
    var checksumError: UInt32 = 0

    var bytes: [UInt8] {
        var bytes = ByteBuffer()
        let length = UInt32(meta.count + payload.count + (hasChecksum ? Checksum.bytes : 0))
        bytes.writeInteger(claimedLength ?? length)
        bytes.writeInteger(type)
        bytes.writeInteger(flags | (hasChecksum ? FrameFlags.crc32c.rawValue : 0))
        bytes.writeInteger(claimedMetaLength ?? UInt16(meta.count))
        bytes.writeInteger(stream)
        bytes.writeBytes(meta)
        bytes.writeBytes(payload)
        if hasChecksum {
            bytes.writeInteger(bytes.withUnsafeReadableBytes { Checksum.crc32c($0) } ^ checksumError)
        }
        return Array(bytes.readableBytesView)
    }

    static func bytes(of message: some WireMessage) -> [UInt8] { Array(message.encoded().readableBytesView) }
}
