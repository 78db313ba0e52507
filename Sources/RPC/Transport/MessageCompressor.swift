internal import CZstd
internal import Core
internal import NIOCore

/// zstd for single messages: each is a frame of its own, so that no message depends on another.
///
/// Not thread-safe: one per event loop.
final class MessageCompressor {
    /// Messages below this are sent as they are.
    static let messageBytesMin = 1024
    /// A compressed message must be smaller than this part of the original to be sent.
    private static let savingPercentMin = 10
    private static let level: CInt = 1
    /// A message may not unpack to more than this times its size: an honest sender gains little beyond, and sends it as it is.
    static let ratioMax = 200

    private let compression: OpaquePointer?
    private let decompression: OpaquePointer?

    init() {
        compression = ZSTD_createCCtx()
        decompression = ZSTD_createDCtx()
    }

    deinit {
        ZSTD_freeCCtx(compression)
        ZSTD_freeDCtx(decompression)
    }

    /// The message as one zstd frame with its size declared; nil when that saves too little, so much that a receiver would take it for a
    /// bomb, or there is no memory for it.
    func compress(_ message: ByteBuffer) -> ByteBuffer? {
        let count = message.readableBytes
        guard count >= Self.messageBytesMin, let compression else { return nil }
        let room = count - count * Self.savingPercentMin / 100
        var compressed = ByteBufferAllocator().buffer(capacity: room)
        var written = 0
        message.withUnsafeReadableBytes { source in
            _ = compressed.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
                written = ZSTD_compressCCtx(
                    compression, target.baseAddress, room, source.baseAddress, count, Self.level)
                // Running out of room is an error too: it saves too little.
                if ZSTD_isError(written) != 0 { written = 0 }
                return written
            }
        }
        return written > 0 && count <= written * Self.ratioMax ? compressed : nil
    }

    /// Size of the message in a zstd frame.
    /// - Throws: `Failure` RESOURCE_EXHAUSTED `TOO_LARGE` for one that would be larger than `messageBytesMax` or `ratioMax` times its
    ///   frame, INVALID_ARGUMENT `BAD_COMPRESSION` for bytes that are no frame or declare no size.
    static func declaredBytes(_ frame: ByteBuffer, messageBytesMax: Int) throws -> Int {
        let count = frame.readableBytes
        let declared = frame.withUnsafeReadableBytes { ZSTD_getFrameContentSize($0.baseAddress, count) }
        // The two largest values mean "unknown" and "not a frame".
        guard declared < UInt64.max - 1 else { throw damaged }
        guard declared <= UInt64(messageBytesMax), declared <= UInt64(count) * UInt64(ratioMax) else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "A compressed message of \(count) bytes declares \(declared) bytes; the limits are \(messageBytesMax) bytes and \(ratioMax) times its size.",
                remedy: "Send large things as a stream of smaller messages.")
        }
        return Int(declared)
    }

    /// The message in a zstd frame.
    /// - Throws: as `declaredBytes`.
    func decompress(_ frame: ByteBuffer, messageBytesMax: Int) throws -> ByteBuffer {
        let count = frame.readableBytes
        let size = try Self.declaredBytes(frame, messageBytesMax: messageBytesMax)
        var message = ByteBufferAllocator().buffer(capacity: size)
        var written = 0
        frame.withUnsafeReadableBytes { source in
            _ = message.writeWithUnsafeMutableBytes(minimumWritableBytes: max(size, 1)) { target in
                written = ZSTD_decompressDCtx(decompression, target.baseAddress, size, source.baseAddress, count)
                return ZSTD_isError(written) != 0 ? 0 : written
            }
        }
        guard written == size else { throw Self.damaged }
        return message
    }

    private static let damaged = Failure(
        .invalidArgument, reason: "BAD_COMPRESSION",
        "A message is marked as compressed and is not one zstd frame that declares its size.")
}
