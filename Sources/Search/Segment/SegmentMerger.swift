internal import Core

/// Merges segments into one, leaving out retracted documents. Terms are streamed; nothing is analysed again.
struct SegmentMerger {
    /// A document to keep: where it is and its id, by which the result is ordered.
    private struct Kept {
        var id: UUIDv7
        var source: Int
        var ordinal: Int
    }

    /// A posting on its way into the merged segment.
    private struct Moved {
        var ordinal: UInt32
        var frequency: UInt32
        var positions: UnsafeRawBufferPointer
    }

    private static let dropped = UInt32.max

    private let sources: [SegmentView]
    /// Per source: new numbers of its chunks and of its documents.
    private var chunkNumbers: [[UInt32]]
    private var documentNumbers: [[UInt32]]

    /// Writes the merged segment; returns the bytes of a memory sink.
    static func merge(_ sources: [SegmentView], into sink: consuming ByteSink) throws -> [UInt8] {
        var merger = SegmentMerger(sources)
        var writer = SegmentWriter(sink: sink, collections: Set(sources.flatMap { $0.segment.collections }))
        try merger.writeDocuments(to: &writer)
        try merger.writeTerms(to: &writer)
        return try writer.finish()
    }

    private init(_ sources: [SegmentView]) {
        self.sources = sources
        chunkNumbers = sources.map { Array(repeating: Self.dropped, count: $0.segment.chunkCount) }
        documentNumbers = sources.map { Array(repeating: Self.dropped, count: $0.segment.documentCount) }
    }

    private mutating func writeDocuments(to writer: inout SegmentWriter) throws {
        var kept: [Kept] = []
        for (index, source) in sources.enumerated() {
            for ordinal in 0..<source.segment.documentCount where !source.isDead(ordinal) {
                kept.append(Kept(id: try source.segment.documentID(ordinal), source: index, ordinal: ordinal))
            }
        }
        kept.sort { $0.id < $1.id }
        var reader = BlockReader()
        for (number, document) in kept.enumerated() {
            let segment = sources[document.source].segment
            documentNumbers[document.source][document.ordinal] = UInt32(number)
            try writer.add(document: try segment.fields(ofDocument: document.ordinal))
            for chunk in try segment.document(document.ordinal).chunks {
                chunkNumbers[document.source][chunk] = writer.chunkCount
                let fields = try segment.fields(ofChunk: chunk)
                try reader.withEntry(of: chunk, in: segment) { try writer.add(chunk: fields, stored: $0) }
            }
        }
        try writer.endDocuments()
    }

    private func writeTerms(to writer: inout SegmentWriter) throws {
        var next = Array(repeating: 0, count: sources.count)
        var heads: [UnsafeRawBufferPointer?] = try sources.map { source in
            source.segment.termCount > 0 ? try source.segment.termBytes(0) : nil
        }
        var encoder = PostingsEncoder()
        var moved: [Moved] = []
        while let term = Self.smallest(heads) {
            moved.removeAll(keepingCapacity: true)
            let isMetadata = term.first == MetadataTerm.prefix
            for index in sources.indices {
                guard let head = heads[index], compare(head, term) == 0 else { continue }
                try collect(next[index], of: index, isMetadata: isMetadata, into: &moved)
                let segment = sources[index].segment
                next[index] += 1
                heads[index] = next[index] < segment.termCount ? try segment.termBytes(next[index]) : nil
                if let following = heads[index], compare(following, term) <= 0 {
                    throw IndexDamage("terms are out of order")
                }
            }
            moved.sort { $0.ordinal < $1.ordinal }
            encoder.reset()
            for posting in moved {
                encoder.add(posting.ordinal, frequency: posting.frequency)
                if !isMetadata { encoder.add(positions: posting.positions) }
            }
            try writer.add(term: term, encoder)
        }
    }

    private static func smallest(_ heads: [UnsafeRawBufferPointer?]) -> UnsafeRawBufferPointer? {
        var smallest: UnsafeRawBufferPointer?
        for case let head? in heads {
            if let known = smallest, compare(known, head) <= 0 { continue }
            smallest = head
        }
        return smallest
    }

    /// Appends the kept postings of one term of one source.
    private func collect(_ term: Int, of index: Int, isMetadata: Bool, into moved: inout [Moved]) throws {
        let segment = sources[index].segment
        let entry = try segment.termEntry(term)
        let numbers = isMetadata ? documentNumbers[index] : chunkNumbers[index]
        var postings = try PostingCursor(entry, limit: numbers.count)
        var positions = try PositionCursor(entry)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        while postings.ordinal != PostingCursor.atEnd {
            let encoded = isMetadata ? none : try positions.next()
            let number = numbers[postings.ordinal]
            if number != Self.dropped {
                moved.append(Moved(ordinal: number, frequency: postings.frequency, positions: encoded))
            }
            try postings.advance()
        }
    }
}
