internal import Core

/// Builds a segment in memory from published documents.
struct SegmentBuilder: ~Copyable {
    /// One term in one chunk, with the weight of its field.
    private struct Occurrence {
        var term: UInt32
        var chunk: UInt32
        var position: UInt32
        var weight: UInt32
    }

    /// What scanning fills; apart from the scanner, so that both can change at once.
    private struct Inverted {
        var terms = TermTable()
        var occurrences: [Occurrence] = []

        /// Records the terms of one field; returns the position after its last token.
        mutating func scan(
            _ text: String, _ weight: UInt32, chunk: UInt32, from position: Int, length: inout UInt32,
            with scanner: inout TokenScanner
        ) -> Int {
            var text = text
            return text.withUTF8 { bytes in
                scanner.scan(bytes, firstPosition: position) { token in
                    let term = terms.number(of: token.term)
                    occurrences.append(
                        Occurrence(term: term, chunk: chunk, position: UInt32(token.position), weight: weight))
                    // Identifiers and single characters stand beside what is counted already; stop words would only blur lengths.
                    if token.kind == .word, !token.isStop { length += weight }
                }
            }
        }
    }

    private var scanner = TokenScanner()
    private var inverted = Inverted()

    init() {}

    /// Documents with their chunks to the bytes of a segment. Ids are unique, every document has a chunk, and chunks of a document agree on
    /// everything but text, place and headings.
    consuming func build(_ documents: [(id: UUIDv7, chunks: [IndexedChunk])]) throws -> [UInt8] {
        let documents = documents.sorted { $0.id < $1.id }
        let collections = Set(documents.compactMap { $0.chunks.first?.collectionID })
        var writer = SegmentWriter(sink: ByteSink(), collections: collections)
        var metadata: [[UInt8]: [UInt32]] = [:]
        var entry: [UInt8] = []
        for (ordinal, document) in documents.enumerated() {
            guard let first = document.chunks.first else { continue }
            try writer.add(
                document: DocumentFields(
                    id: document.id, revision: first.revisionID, collection: first.collectionID, title: first.title,
                    metadata: first.metadata))
            for (key, value) in first.metadata {
                metadata[MetadataTerm.bytes(key: key, value: value), default: []].append(UInt32(ordinal))
            }
            for chunk in document.chunks {
                let length = analyze(chunk, number: writer.chunkCount)
                Self.encode(chunk, into: &entry)
                let fields = ChunkFields(
                    id: chunk.id, span: chunk.span, page: UInt32(clamping: chunk.page), hash: chunk.hash, length: length
                )
                try entry.withUnsafeBytes { try writer.add(chunk: fields, stored: $0) }
            }
        }
        try writer.endDocuments()
        try Self.write(metadata, to: &writer)
        try writeTerms(to: &writer)
        return try writer.finish()
    }

    /// The stored form of a chunk: heading path, then text.
    private static func encode(_ chunk: IndexedChunk, into entry: inout [UInt8]) {
        entry.removeAll(keepingCapacity: true)
        entry.append(varint: UInt32(chunk.headingPath.count))
        for heading in chunk.headingPath { entry.append(string: heading) }
        entry.append(string: chunk.text)
    }

    /// Records the terms of a chunk's fields; returns its weighted length in half tokens.
    private mutating func analyze(_ chunk: IndexedChunk, number: UInt32) -> UInt32 {
        var length: UInt32 = 0
        var position = inverted.scan(
            chunk.title, FieldWeight.title, chunk: number, from: 0, length: &length, with: &scanner)
        for heading in chunk.headingPath {
            position = inverted.scan(
                heading, FieldWeight.heading, chunk: number, from: position + FieldWeight.positionGap, length: &length,
                with: &scanner)
        }
        _ = inverted.scan(
            chunk.text, FieldWeight.body, chunk: number, from: position + FieldWeight.positionGap, length: &length,
            with: &scanner)
        return length
    }

    private static func write(_ metadata: [[UInt8]: [UInt32]], to writer: inout SegmentWriter) throws {
        var encoder = PostingsEncoder()
        for term in metadata.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            encoder.reset()
            for ordinal in metadata[term] ?? [] { encoder.add(ordinal, frequency: FieldWeight.body) }
            try term.withUnsafeBytes { try writer.add(term: $0, encoder) }
        }
    }

    private mutating func writeTerms(to writer: inout SegmentWriter) throws {
        let (grouped, starts) = groupByTerm()
        var encoder = PostingsEncoder()
        var positions: [UInt8] = []
        try inverted.terms.forEachSorted { number, term in
            encoder.reset()
            var index = starts[number]
            while index < starts[number + 1] {
                let chunk = grouped[index].chunk
                var frequency: UInt32 = 0
                var last: UInt32 = 0
                positions.removeAll(keepingCapacity: true)
                while index < starts[number + 1], grouped[index].chunk == chunk {
                    frequency += grouped[index].weight
                    positions.append(varint: grouped[index].position - last)
                    last = grouped[index].position
                    index += 1
                }
                encoder.add(chunk, frequency: frequency)
                positions.withUnsafeBytes { encoder.add(positions: $0) }
            }
            try writer.add(term: term, encoder)
        }
    }

    /// A counting sort: stable, so that chunks and positions of each term stay ascending.
    private mutating func groupByTerm() -> (occurrences: [Occurrence], starts: [Int]) {
        let terms = inverted.terms.count
        let occurrences = inverted.occurrences
        inverted.occurrences = []
        var starts = [Int](repeating: 0, count: terms + 1)
        for occurrence in occurrences { starts[Int(occurrence.term) + 1] += 1 }
        for term in 0..<terms { starts[term + 1] += starts[term] }
        var next = starts
        let grouped = [Occurrence](unsafeUninitializedCapacity: occurrences.count) { target, count in
            for occurrence in occurrences {
                let term = Int(occurrence.term)
                target[next[term]] = occurrence
                next[term] += 1
            }
            count = occurrences.count
        }
        return (grouped, starts)
    }
}
