internal import Core

/// Reads the stored fields of the chunks that were found and marks what matched.
struct HitReader: ~Copyable {
    private var terms = TermTable()
    private var scanner = TokenScanner()
    private var blocks = BlockReader()

    init(terms queried: [QueryTerm]) {
        for term in queried { term.bytes.withUnsafeBufferPointer { _ = terms.number(of: $0) } }
    }

    consuming func hits(_ chunks: [ScoredChunk], _ views: [SegmentView]) throws -> [LexicalHit] {
        var hits: [LexicalHit] = []
        hits.reserveCapacity(chunks.count)
        for chunk in chunks { hits.append(try hit(chunk, views[chunk.view].segment)) }
        return hits
    }

    private mutating func hit(_ scored: ScoredChunk, _ segment: Segment) throws -> LexicalHit {
        let document = try segment.fields(ofDocument: scored.document)
        let chunk = try segment.fields(ofChunk: scored.chunk)
        var headings: [String] = []
        var text = ""
        try blocks.withEntry(of: scored.chunk, in: segment) { entry in
            var cursor = try ByteCursor(entry)
            for _ in 0..<(try cursor.varint()) { headings.append(try cursor.string()) }
            text = try cursor.string()
        }
        return LexicalHit(
            chunkID: chunk.id, documentID: document.id, revisionID: document.revision,
            collectionID: document.collection, span: chunk.span, page: Int(chunk.page), hash: chunk.hash,
            score: scored.score, title: document.title, headingPath: headings, text: text,
            highlights: highlights(in: text), metadata: document.metadata)
    }

    /// Spans of the query's terms in a text, without overlap: an identifier covers its parts.
    private mutating func highlights(in text: String) -> [ByteSpan] {
        var spans: [ByteSpan] = []
        var text = text
        let terms = terms
        text.withUTF8 { bytes in
            _ = scanner.scan(bytes) { token in
                guard terms.contains(token.term) else { return }
                if let last = spans.last, token.start < last.end {
                    spans[spans.count - 1].end = max(last.end, token.end)
                } else {
                    spans.append(ByteSpan(start: token.start, end: token.end))
                }
            }
        }
        return spans
    }
}
