internal import Core

/// What a segment stores about a document.
struct DocumentFields {
    var id: UUIDv7
    var revision: UUIDv7
    var collection: UUIDv7
    var title: String
    var metadata: [String: String]
}

/// What a segment stores about a chunk beside its text.
struct ChunkFields {
    var id: UUIDv7
    var span: ByteSpan
    var page: UInt32
    /// 32 bytes.
    var hash: [UInt8]
    /// Weighted length in half tokens.
    var length: UInt32
}

/// Encodes the postings of one term. Chunks (or documents, for metadata) come in ascending order.
struct PostingsEncoder {
    private(set) var postings: [UInt8] = []
    private(set) var positions: [UInt8] = []
    private(set) var count: UInt32 = 0
    private var last: Int64 = -1

    mutating func reset() {
        postings.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        count = 0
        last = -1
    }

    /// - Parameter frequency: weighted term frequency in halves. The common one, once in the body, costs no byte of its own.
    mutating func add(_ ordinal: UInt32, frequency: UInt32) {
        let delta = UInt32(Int64(ordinal) - last)
        last = Int64(ordinal)
        count += 1
        if frequency == FieldWeight.body {
            postings.append(varint: delta << 1)
        } else {
            postings.append(varint: delta << 1 | 1)
            postings.append(varint: frequency)
        }
    }

    /// Encoded positions of the posting just added.
    mutating func add(positions encoded: UnsafeRawBufferPointer) {
        positions.append(varint: UInt32(encoded.count))
        positions.append(contentsOf: encoded)
    }
}

/// Writes a segment front to back: documents with their chunks in order, then terms in order, then `finish`.
///
/// Only the tables of fixed records are held in memory, about 100 bytes per chunk and 40 per term.
struct SegmentWriter: ~Copyable {
    private var sink: ByteSink
    private var sections: [(offset: UInt64, count: UInt64)]
    private var blocks: BlockWriter
    private let collections: [UUIDv7]
    private var chunkDocuments: [UInt8] = []
    private var lengths: [UInt8] = []
    private var chunks: [UInt8] = []
    private var documents: [UInt8] = []
    private var attributes: [UInt8] = []
    private var dictionary: [UInt8] = []
    private var termBytes: [UInt8] = []
    private var documentCount: UInt32 = 0
    private(set) var chunkCount: UInt32 = 0
    private var termCount: UInt32 = 0
    private var lengthSum: UInt64 = 0
    /// Where the chunk count of the document being written stands in `documents`.
    private var openDocument: Int?

    /// - Parameter collections: all collections of the documents to come.
    init(sink: consuming ByteSink, collections: Set<UUIDv7>) {
        blocks = BlockWriter(compressing: !sink.isMemory)
        self.sink = sink
        self.collections = collections.sorted()
        sections = Array(repeating: (0, 0), count: SegmentSection.allCases.count)
    }

    mutating func add(document: DocumentFields) throws {
        guard let collection = collections.firstIndex(of: document.collection) else {
            throw IndexDamage("a document's collection is not listed")
        }
        let start = attributes.count
        attributes.append(string: document.title)
        attributes.append(varint: UInt32(document.metadata.count))
        for (key, value) in document.metadata.sorted(by: { $0.key < $1.key }) {
            attributes.append(string: key)
            attributes.append(string: value)
        }
        documents.append(id: document.id)
        documents.append(id: document.revision)
        documents.append(u32: chunkCount)
        openDocument = documents.count
        documents.append(u32: 0)
        documents.append(u32: UInt32(collection))
        documents.append(u32: UInt32(attributes.count - start))
        documents.append(u64: UInt64(start))
        documentCount += 1
    }

    /// Adds a chunk to the document added last.
    mutating func add(chunk: ChunkFields, stored entry: UnsafeRawBufferPointer) throws {
        guard let openDocument, documentCount > 0 else { throw IndexDamage("a chunk has no document") }
        let place = try blocks.add(entry, sink: &sink, sectionStart: 0)
        chunkDocuments.append(u32: documentCount - 1)
        lengths.append(u32: chunk.length)
        chunks.append(id: chunk.id)
        chunks.append(u64: UInt64(chunk.span.start))
        chunks.append(u64: UInt64(chunk.span.end))
        chunks.append(contentsOf: chunk.hash)
        chunks.append(u32: chunk.page)
        chunks.append(u32: place.block)
        chunks.append(u32: place.offset)
        chunks.append(u32: UInt32(entry.count))
        chunkCount += 1
        lengthSum += UInt64(chunk.length)
        let count = documents.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: openDocument, as: UInt32.self) }
        documents.withUnsafeMutableBytes {
            $0.storeBytes(
                of: (UInt32(littleEndian: count) + 1).littleEndian, toByteOffset: openDocument, as: UInt32.self)
        }
    }

    /// Ends the documents; terms follow.
    mutating func endDocuments() throws {
        try blocks.close(sink: &sink, sectionStart: 0)
        sections[SegmentSection.stored.rawValue] = (0, sink.count)
        sections[SegmentSection.postings.rawValue].offset = sink.count
    }

    /// Terms come in ascending order of their bytes.
    mutating func add(term: UnsafeRawBufferPointer, _ encoder: borrowing PostingsEncoder) throws {
        guard encoder.count > 0 else { return }
        dictionary.append(u64: UInt64(termBytes.count))
        dictionary.append(u32: UInt32(term.count))
        dictionary.append(u32: encoder.count)
        dictionary.append(u64: sink.count - sections[SegmentSection.postings.rawValue].offset)
        dictionary.append(u32: UInt32(encoder.postings.count))
        dictionary.append(u32: UInt32(encoder.positions.count))
        termBytes.append(contentsOf: term)
        try sink.append(encoder.postings)
        try sink.append(encoder.positions)
        termCount += 1
    }

    /// Writes the tables and the footer. Returns the bytes of a memory sink.
    consuming func finish() throws -> [UInt8] {
        let start = sections[SegmentSection.postings.rawValue].offset
        sections[SegmentSection.postings.rawValue].count = sink.count - start
        try append(chunkDocuments, as: .chunkDocuments)
        try append(lengths, as: .lengths)
        try append(chunks, as: .chunks)
        try append(documents, as: .documents)
        var ids: [UInt8] = []
        for collection in collections { ids.append(id: collection) }
        try append(ids, as: .collections)
        try append(attributes, as: .attributes)
        try append(blocks.table, as: .blocks)
        try append(dictionary, as: .dictionary)
        try append(termBytes, as: .termBytes)
        var footer: [UInt8] = []
        footer.append(u64: SegmentFormat.magic)
        footer.append(u32: SegmentFormat.version)
        footer.append(u32: Analyzer.version)
        footer.append(u32: chunkCount)
        footer.append(u32: documentCount)
        footer.append(u32: termCount)
        footer.append(u32: UInt32(collections.count))
        footer.append(u32: blocks.blockCount)
        footer.append(u32: 0)
        footer.append(u64: lengthSum)
        for section in sections {
            footer.append(u64: section.offset)
            footer.append(u64: section.count)
        }
        try sink.append(footer)
        return try sink.finish()
    }

    private mutating func append(_ bytes: [UInt8], as section: SegmentSection) throws {
        sections[section.rawValue] = (sink.count, UInt64(bytes.count))
        try sink.append(bytes)
    }
}
