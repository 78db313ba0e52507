internal import CZstd
internal import Core

/// zstd frames with a declared size, so that nobody has to guess how much memory a frame will want.
public enum Zstd {
    /// Compresses into one frame that declares its size.
    /// - Parameter level: 1 (fast) to 19; 3 is zstd's own default.
    public static func compress(_ bytes: UnsafeRawBufferPointer, level: Int32 = 3) throws -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        return try [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            let written = ZSTD_compress(buffer.baseAddress, bound, bytes.baseAddress, bytes.count, level)
            guard ZSTD_isError(written) == 0 else {
                throw Failure(.resourceExhausted, reason: "ZSTD", "Compression failed: out of memory.")
            }
            count = written
        }
    }

    public static func compress(_ bytes: [UInt8], level: Int32 = 3) throws -> [UInt8] {
        try bytes.withUnsafeBytes { try compress($0, level: level) }
    }

    /// Decompresses exactly one frame. Throws DATA_LOSS when it is damaged, declares no size or declares more than `bytesMax`.
    public static func decompress(_ frame: UnsafeRawBufferPointer, bytesMax: Int) throws -> [UInt8] {
        let declared = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
        // Both error values are larger than any limit.
        guard declared <= UInt64(bytesMax) else { throw damaged("declares no size, or more than \(bytesMax) bytes") }
        guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else {
            throw damaged("is truncated or followed by something else")
        }
        let size = Int(declared)
        return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let written = ZSTD_decompress(buffer.baseAddress, size, frame.baseAddress, frame.count)
            guard ZSTD_isError(written) == 0, written == size else { throw damaged("does not decompress") }
            count = written
        }
    }

    public static func decompress(_ frame: [UInt8], bytesMax: Int) throws -> [UInt8] {
        try frame.withUnsafeBytes { try decompress($0, bytesMax: bytesMax) }
    }

    private static func damaged(_ what: String) -> Failure {
        Failure(
            .dataLoss, reason: "ZSTD_DAMAGED", "Stored compressed data \(what).",
            remedy: "Restore it from a backup; run `acp kb fsck` to see what else is affected.")
    }
}
