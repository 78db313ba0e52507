internal import Core

/// A scored chunk of a snapshot.
struct ScoredChunk {
    var score: Double
    var documentID: UUIDv7
    /// Index of the segment in the snapshot.
    var view: Int
    /// Ordinals in the segment.
    var document: Int
    var chunk: Int

    /// Best first: score, then document id, then place in the document.
    func precedes(_ other: ScoredChunk) -> Bool {
        if score != other.score { return score > other.score }
        if documentID != other.documentID { return documentID < other.documentID }
        return chunk < other.chunk
    }
}

/// The best `limit` chunks with at most `perDocumentMax` of one document.
///
/// All live chunks of a document lie next to each other in one segment, so its best ones are known when the next document begins, and only they
/// compete: exact, without a second pass.
struct TopHits {
    private let limit: Int
    private let perDocumentMax: Int
    /// Best first.
    private(set) var best: [ScoredChunk] = []
    /// The best of the current document, best first.
    private var pending: [ScoredChunk] = []

    init(limit: Int, perDocumentMax: Int) {
        self.limit = limit
        self.perDocumentMax = min(perDocumentMax, limit)
        best.reserveCapacity(limit + 1)
    }

    /// Chunks that score less cannot enter.
    var threshold: Double {
        guard best.count == limit, let last = best.last else { return 0 }
        return last.score
    }

    /// Whether `document` of segment `view` is the one being collected.
    @inline(__always)
    func isCurrent(view: Int, document: Int) -> Bool {
        guard let first = pending.first else { return false }
        return first.view == view && first.document == document
    }

    /// Offers a chunk. Chunks of one document must come one after the other.
    mutating func offer(_ chunk: ScoredChunk) {
        if !isCurrent(view: chunk.view, document: chunk.document) { finishDocument() }
        Self.insert(chunk, into: &pending, limit: perDocumentMax)
    }

    mutating func finishDocument() {
        for chunk in pending { Self.insert(chunk, into: &best, limit: limit) }
        pending.removeAll(keepingCapacity: true)
    }

    private static func insert(_ chunk: ScoredChunk, into list: inout [ScoredChunk], limit: Int) {
        if list.count == limit, let last = list.last, !chunk.precedes(last) { return }
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle].precedes(chunk) { low = middle + 1 } else { high = middle }
        }
        list.insert(chunk, at: low)
        if list.count > limit { list.removeLast() }
    }
}
