/// Bounds of an index. The defaults suit a machine with 2 GB of memory and a few hundred thousand chunks.
public struct IndexOptions: Sendable, Hashable {
    /// Bytes of a chunk's heading path.
    public static let headingPathBytesMax = 64 << 10

    /// Chunks in memory before they are flushed to a file. One call to `apply` may exceed it by its own chunks.
    public var memoryChunksMax: Int
    /// Bytes of segments in memory before they are flushed to a file. One call to `apply` may exceed it by its own chunks.
    public var memoryBytesMax: Int
    /// Segments of similar size that are merged into one.
    public var mergeFanout: Int
    /// Segment files; beyond it the smallest are merged.
    public var segmentsMax: Int
    /// Live chunks of a merged segment; bounds the memory of a merge (about 150 bytes per chunk) and the time it takes.
    public var segmentChunksMax: Int
    /// UTF-8 bytes of one chunk's text, at most 2 MiB.
    public var chunkTextBytesMax: Int

    public init(
        memoryChunksMax: Int = 16_384, memoryBytesMax: Int = 16 << 20, mergeFanout: Int = 8, segmentsMax: Int = 12,
        segmentChunksMax: Int = 250_000, chunkTextBytesMax: Int = 1 << 20
    ) {
        self.memoryChunksMax = max(1, memoryChunksMax)
        self.memoryBytesMax = max(1, memoryBytesMax)
        self.mergeFanout = max(2, mergeFanout)
        self.segmentsMax = max(2, segmentsMax)
        self.segmentChunksMax = max(1, segmentChunksMax)
        self.chunkTextBytesMax = min(max(1, chunkTextBytesMax), 2 << 20)
    }
}

/// What opening an index found.
public struct IndexOpenReport: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        /// There was no index.
        case created
        /// The index is as it was left at `sequence`.
        case opened
        /// What was there could not be used and is gone; the index starts empty at sequence 0. The reason is one clause for a log line.
        case discarded(reason: String)
    }

    public var outcome: Outcome
    /// The sequence to continue after.
    public var sequence: Int64
    /// Files that a crash had left behind and that were removed.
    public var leftoversRemoved: Int
}

/// Size and state of an index.
public struct IndexStatistics: Sendable, Hashable {
    /// Live documents and chunks.
    public var documents: Int
    public var chunks: Int
    /// Chunks that are retracted but still take space.
    public var deadChunks: Int
    /// Segment files, and segments in memory.
    public var segments: Int
    public var memorySegments: Int
    /// Bytes of the segment files, and of the segments in memory.
    public var bytes: Int
    public var memoryBytes: Int
    /// The last applied sequence, and the last one that survives a crash.
    public var sequence: Int64
    public var durableSequence: Int64
    /// Why the last merge of segment files failed; the index works on, with more files than it should have.
    public var mergeFailure: String?
}
