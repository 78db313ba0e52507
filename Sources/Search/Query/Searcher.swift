internal import Core

/// Answers one query on one snapshot.
///
/// Chunks are scored in windows, term at a time within a window: the accumulators stay in the first-level cache, memory is bounded, and the sums
/// are formed in the order of the query's terms, so equal chunks have equal scores in every segment.
struct Searcher {
    /// Chunks scored together.
    private static let windowChunks = 4096

    /// A scored term with its postings in each segment.
    private struct Term {
        var term: QueryTerm
        var entries: [TermEntry?]
        /// Live chunks that hold it.
        var documentFrequency = 0
        var bound = 0.0
        var isMatched = false
    }

    private let views: [SegmentView]
    private let query: LexicalQuery
    private let sequence: Int64
    private let parsed: ParsedQuery
    private var candidates = 0
    private var top: TopHits

    init(_ snapshot: IndexSnapshot, _ query: LexicalQuery) throws {
        views = snapshot.views
        sequence = snapshot.sequence
        self.query = query
        parsed = try ParsedQuery(query.text)
        top = TopHits(limit: query.limit, perDocumentMax: query.perDocumentMax)
    }

    consuming func run() throws -> LexicalResult {
        let live = views.reduce(0) { $0 + $1.liveChunkCount }
        let scorer = BM25(chunkCount: live, length: views.reduce(0) { $0 + $1.liveLength })
        var terms = try lookup()
        for index in terms.indices {
            terms[index].bound = scorer.bound(idf: scorer.idf(documentFrequency: terms[index].documentFrequency))
        }
        if query.collections?.isEmpty != true, query.documents?.isEmpty != true {
            let filter = ChunkFilter(query: query, parsed: parsed)
            for view in views.indices {
                try score(view, &terms, allowed: try filter.chunks(of: views[view]), scorer)
            }
        }
        let best = top.best.first?.score ?? 0
        let attainable = terms.reduce(0) { $0 + $1.bound }
        return LexicalResult(
            hits: try HitReader(terms: parsed.terms).hits(top.best, views), sequence: sequence, candidates: candidates,
            matchedTerms: terms.filter(\.isMatched).map(\.term.surface),
            unmatchedTerms: terms.filter { !$0.isMatched }.map(\.term.surface),
            coverage: attainable > 0 ? min(1, best / attainable) : 0)
    }

    /// Finds the postings of the query's terms. A longer query keeps its rarest terms.
    private func lookup() throws -> [Term] {
        var terms: [Term] = []
        for term in parsed.terms {
            var found = Term(term: term, entries: [])
            for view in views {
                let entry = try view.segment.lookup(term.bytes)
                found.entries.append(entry)
                if let entry { found.documentFrequency += try Self.liveCount(entry, view) }
            }
            terms.append(found)
        }
        guard terms.count > ParsedQuery.termsMax else { return terms }
        let rarest = terms.indices
            .sorted { (terms[$0].documentFrequency, $0) < (terms[$1].documentFrequency, $1) }
            .prefix(ParsedQuery.termsMax)
        return rarest.sorted().map { terms[$0] }
    }

    /// Postings of chunks that are not retracted.
    private static func liveCount(_ entry: TermEntry, _ view: SegmentView) throws -> Int {
        guard let live = view.liveChunks else { return entry.count }
        var count = 0
        var cursor = try PostingCursor(entry, limit: view.segment.chunkCount)
        while cursor.ordinal != PostingCursor.atEnd {
            if live.contains(cursor.ordinal) { count += 1 }
            try cursor.advance()
        }
        return count
    }

    /// Scores one segment's allowed chunks and offers them.
    private mutating func score(_ view: Int, _ terms: inout [Term], allowed: BitSet?, _ scorer: BM25) throws {
        let segment = views[view].segment
        if let allowed, allowed.isEmpty { return }
        var cursors: [(term: Int, cursor: PostingCursor)] = []
        for index in terms.indices {
            guard let entry = terms[index].entries[view] else { continue }
            cursors.append((index, try PostingCursor(entry, limit: segment.chunkCount)))
        }
        let window = UnsafeMutableBufferPointer<Double>.allocate(capacity: Self.windowChunks)
        defer { window.deallocate() }
        window.initialize(repeating: 0)
        while let first = cursors.lazy.map(\.cursor.ordinal).min(), first != PostingCursor.atEnd {
            // Windows start where the next posting is: stretches without any cost nothing.
            let chunks = first..<min(first + Self.windowChunks, segment.chunkCount)
            for index in cursors.indices {
                let term = cursors[index].term
                let didMatch = try Self.accumulate(
                    &cursors[index].cursor, chunks, bound: terms[term].bound, allowed: allowed, segment, scorer, window)
                if didMatch { terms[term].isMatched = true }
            }
            try collect(window, chunks, view)
        }
        top.finishDocument()
    }

    /// Adds one term's contributions within a window; says whether there were any.
    private static func accumulate(
        _ cursor: inout PostingCursor, _ chunks: Range<Int>, bound: Double, allowed: BitSet?, _ segment: Segment,
        _ scorer: BM25, _ window: UnsafeMutableBufferPointer<Double>
    ) throws -> Bool {
        var local = cursor
        let lengths = segment.lengths
        var didMatch = false
        while local.ordinal < chunks.upperBound {
            let chunk = local.ordinal
            if allowed?.contains(chunk) ?? true {
                // In bounds: the cursor checks ordinals against the segment's chunk count, `init` the section's size against it.
                let length = lengths.loadUnaligned(fromByteOffset: chunk * 4, as: UInt32.self).littleEndian
                window[chunk - chunks.lowerBound] += scorer.score(
                    bound: bound, frequency: local.frequency, length: length)
                didMatch = true
            }
            try local.advance()
        }
        cursor = local
        return didMatch
    }

    /// Offers the scored chunks of a window and clears it.
    private mutating func collect(
        _ window: UnsafeMutableBufferPointer<Double>, _ chunks: Range<Int>, _ view: Int
    ) throws {
        let segment = views[view].segment
        for offset in 0..<chunks.count where window[offset] > 0 {
            let score = window[offset]
            window[offset] = 0
            candidates += 1
            guard score >= top.threshold else { continue }
            let chunk = chunks.lowerBound + offset
            let document = try segment.documentOrdinal(ofChunk: chunk)
            if !top.isCurrent(view: view, document: document) { top.finishDocument() }
            top.offer(
                ScoredChunk(
                    score: score, documentID: try segment.documentID(document), view: view, document: document,
                    chunk: chunk))
        }
    }
}
