internal import Core

/// A segment and what has been retracted from it since: one state of it, as a snapshot holds it.
struct SegmentView: Sendable {
    let segment: Segment
    /// The number in the file's name; nil for a segment in memory.
    let fileNumber: UInt64?
    /// Retracted documents.
    private(set) var deadDocuments: BitSet
    /// Chunks of documents that are not retracted; nil while nothing is.
    private(set) var liveChunks: BitSet?
    private(set) var liveChunkCount: Int
    private(set) var liveDocumentCount: Int
    /// Weighted length of the live chunks in half tokens.
    private(set) var liveLength: UInt64

    init(_ segment: Segment, fileNumber: UInt64? = nil) {
        self.segment = segment
        self.fileNumber = fileNumber
        deadDocuments = BitSet(capacity: segment.documentCount)
        liveChunkCount = segment.chunkCount
        liveDocumentCount = segment.documentCount
        liveLength = segment.lengthSum
    }

    /// A segment from a manifest with the documents retracted there.
    init(_ segment: Segment, fileNumber: UInt64, dead: BitSet) throws {
        self.init(segment, fileNumber: fileNumber)
        for ordinal in 0..<segment.documentCount where dead.contains(ordinal) { try kill(ordinal) }
    }

    func isDead(_ document: Int) -> Bool { deadDocuments.contains(document) }

    /// Retracts a document, if it is here and live.
    mutating func retract(_ id: UUIDv7) throws {
        if let ordinal = try segment.ordinal(of: id), !isDead(ordinal) { try kill(ordinal) }
    }

    private mutating func kill(_ ordinal: Int) throws {
        let chunks = try segment.document(ordinal).chunks
        var length: UInt64 = 0
        for chunk in chunks { length += UInt64(try segment.lengths.u32(at: chunk * 4)) }
        guard length <= liveLength, chunks.count <= liveChunkCount else {
            throw IndexDamage("a segment's lengths do not add up")
        }
        var live = liveChunks ?? BitSet(capacity: segment.chunkCount, filled: true)
        liveChunks = nil
        live.remove(chunks)
        liveChunks = live
        deadDocuments.insert(ordinal)
        liveLength -= length
        liveChunkCount -= chunks.count
        liveDocumentCount -= 1
    }
}

/// Everything a search sees: one position of `index_log`.
struct IndexSnapshot: Sendable {
    /// Segment files, then segments in memory.
    var files: [SegmentView] = []
    var memory: [SegmentView] = []
    /// The last applied sequence.
    var sequence: Int64 = 0
    /// The sequence that a crash would leave.
    var durableSequence: Int64 = 0
    /// Why the last merge of segment files failed.
    var mergeFailure: String?

    var views: [SegmentView] { files + memory }
    var memoryBytes: Int { memory.reduce(0) { $0 + $1.segment.byteCount } }
    var memoryChunks: Int { memory.reduce(0) { $0 + $1.segment.chunkCount } }
}
