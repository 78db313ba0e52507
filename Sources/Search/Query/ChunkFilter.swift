internal import Core

/// The chunks of a segment that a query may find: live, within its filters, with its phrases and without its exclusions.
struct ChunkFilter {
    let query: LexicalQuery
    let parsed: ParsedQuery

    /// The allowed chunks; nil for all of them.
    func chunks(of view: SegmentView) throws -> BitSet? {
        let segment = view.segment
        var allowed = view.liveChunks
        if let documents = try documents(of: segment) {
            var chunks = BitSet(capacity: segment.chunkCount)
            for ordinal in 0..<segment.documentCount where documents.contains(ordinal) {
                chunks.insert(try segment.document(ordinal).chunks)
            }
            Self.intersect(&allowed, chunks)
        }
        for phrase in parsed.required {
            Self.intersect(&allowed, try PhraseMatcher.chunks(matching: phrase, in: segment))
        }
        for phrase in parsed.excluded {
            var remaining = allowed ?? BitSet(capacity: segment.chunkCount, filled: true)
            remaining.subtract(try PhraseMatcher.chunks(matching: phrase, in: segment))
            allowed = remaining
        }
        return allowed
    }

    private static func intersect(_ allowed: inout BitSet?, _ chunks: BitSet) {
        guard var both = allowed else {
            allowed = chunks
            return
        }
        both.formIntersection(chunks)
        allowed = both
    }

    /// The documents within the filters; nil for all of them.
    private func documents(of segment: Segment) throws -> BitSet? {
        var allowed: BitSet?
        if let collections = query.collections, let documents = try Self.documents(of: segment, in: collections) {
            Self.intersect(&allowed, documents)
        }
        if let wanted = query.documents {
            var documents = BitSet(capacity: segment.documentCount)
            for id in wanted {
                if let ordinal = try segment.ordinal(of: id) { documents.insert(ordinal) }
            }
            Self.intersect(&allowed, documents)
        }
        for pair in query.metadata {
            var documents = BitSet(capacity: segment.documentCount)
            if let entry = try segment.lookup(MetadataTerm.bytes(key: pair.key, value: pair.value)) {
                var cursor = try PostingCursor(entry, limit: segment.documentCount)
                while cursor.ordinal != PostingCursor.atEnd {
                    documents.insert(cursor.ordinal)
                    try cursor.advance()
                }
            }
            Self.intersect(&allowed, documents)
        }
        return allowed
    }

    /// The documents of some collections; nil when that is every document.
    private static func documents(of segment: Segment, in collections: Set<UUIDv7>) throws -> BitSet? {
        let isWanted = segment.collections.map(collections.contains)
        if isWanted.allSatisfy(\.self) { return nil }
        var documents = BitSet(capacity: segment.documentCount)
        guard isWanted.contains(true) else { return documents }
        for ordinal in 0..<segment.documentCount where isWanted[try segment.collectionOrdinal(ofDocument: ordinal)] {
            documents.insert(ordinal)
        }
        return documents
    }
}
