/// What reading one document may use.
public struct ExtractionLimits: Sendable, Hashable {
    /// Mapped memory of the parser of any document, in bytes.
    public var memoryBytesBase: UInt64 = 512 << 20
    /// More of it for each byte of the original.
    public var memoryBytesPerByte: UInt64 = 16
    /// For the largest document, in bytes.
    public var memoryBytesMax: UInt64 = 1 << 30
    /// CPU time for any document, in seconds.
    public var cpuSecondsBase: UInt32 = 8
    /// More CPU time for each started megabyte of the original, in seconds.
    public var cpuSecondsPerMegabyte: UInt32 = 2
    /// CPU time for the largest document, in seconds.
    public var cpuSecondsMax: UInt32 = 120
    /// Elapsed time, as a multiple of the CPU time: a parser waits for nothing, so only a busy machine makes a difference.
    public var wallTimeFactor: UInt32 = 4
    /// Bytes of blocks.
    public var outputBytesMax: UInt64 = 256 << 20
    public var pagesMax: UInt32 = 10_000
    public var blocksMax: UInt32 = 1_000_000
    /// Depth of elements, lists and quotes; what is deeper loses its structure, not its text.
    public var nestingMax: UInt32 = 512

    public init() {}

    /// The memory for an original of `byteCount` bytes, in bytes.
    public func memoryBytes(byteCount: Int) -> UInt64 {
        let (more, overflow) = UInt64(max(0, byteCount)).multipliedReportingOverflow(by: memoryBytesPerByte)
        return overflow ? memoryBytesMax : min(memoryBytesMax, memoryBytesBase + min(more, memoryBytesMax))
    }

    /// The CPU time for an original of `byteCount` bytes, in seconds.
    public func cpuSeconds(byteCount: Int) -> UInt32 {
        let megabytes = UInt32(clamping: byteCount / 1_000_000 + (byteCount.isMultiple(of: 1_000_000) ? 0 : 1))
        let (more, overflow) = megabytes.multipliedReportingOverflow(by: cpuSecondsPerMegabyte)
        return overflow ? cpuSecondsMax : min(cpuSecondsMax, cpuSecondsBase + min(more, cpuSecondsMax))
    }
}

/// The untouched bytes of a document.
public enum OriginalBytes: Sendable {
    /// In memory; handed to the parser without a file.
    case bytes([UInt8])
    /// An open regular file, read from its start whatever its position, that nobody changes. Borrowed: the caller closes it after the call.
    case file(Int32)
}
