internal import Core

/// A dictionary entry: where the postings of a term are.
struct TermEntry {
    /// Chunks (documents, for metadata) that hold the term, including those retracted since.
    let count: Int
    /// The postings, then the positions.
    let postings: UnsafeRawBufferPointer
    let positions: UnsafeRawBufferPointer
}

/// A document's fixed record.
struct DocumentRecord {
    let id: UUIDv7
    let revision: UUIDv7
    let collection: Int
    let chunks: Range<Int>
}

/// An immutable set of documents with their chunks and terms. Every read is checked against the bounds of its section.
///
/// Unchecked Sendable: views into bytes that never change and that `owner` keeps alive.
final class Segment: @unchecked Sendable {
    let owner: SegmentBytes
    let chunkCount: Int
    let documentCount: Int
    let termCount: Int
    /// Sum of chunk lengths in half tokens.
    let lengthSum: UInt64
    private let sections: [UnsafeRawBufferPointer]
    private let collectionIDs: [UUIDv7]
    /// Where scoring reads lengths: exactly four bytes per chunk.
    let lengths: UnsafeRawBufferPointer

    /// Reads the footer and checks that every table has the size its count says.
    init(_ owner: SegmentBytes) throws {
        let bytes = owner.bytes
        guard bytes.count >= SegmentFormat.footerBytes else { throw IndexDamage("a segment is cut short") }
        let footer = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - SegmentFormat.footerBytes)...])
        guard try footer.u64(at: 0) == SegmentFormat.magic else { throw IndexDamage("a file is not a segment") }
        guard try footer.u32(at: 8) == SegmentFormat.version, try footer.u32(at: 12) == Analyzer.version else {
            throw IndexDamage("a segment was written by another version")
        }
        let chunkCount = Int(try footer.u32(at: 16))
        let documentCount = Int(try footer.u32(at: 20))
        let termCount = Int(try footer.u32(at: 24))
        let collectionCount = Int(try footer.u32(at: 28))
        let blockCount = Int(try footer.u32(at: 32))
        let sections = try SegmentSection.allCases.map { section in
            let at = 48 + section.rawValue * 16
            return try bytes.slice(offset: try footer.u64(at: at), count: try footer.u64(at: at + 8))
        }
        let expected: [(SegmentSection, Int)] = [
            (.chunkDocuments, chunkCount * 4), (.lengths, chunkCount * 4),
            (.chunks, chunkCount * SegmentFormat.chunkRecordBytes),
            (.documents, documentCount * SegmentFormat.documentRecordBytes),
            (.collections, collectionCount * SegmentFormat.idBytes),
            (.dictionary, termCount * SegmentFormat.termRecordBytes),
            (.blocks, blockCount * SegmentFormat.blockRecordBytes),
        ]
        for (section, size) in expected where sections[section.rawValue].count != size {
            throw IndexDamage("a table of a segment has the wrong size")
        }
        let lengthSum = try footer.u64(at: 40)
        guard lengthSum <= UInt64(chunkCount) * UInt64(UInt32.max) else {
            throw IndexDamage("a segment's lengths do not add up")
        }
        self.owner = owner
        self.chunkCount = chunkCount
        self.documentCount = documentCount
        self.termCount = termCount
        self.lengthSum = lengthSum
        self.sections = sections
        lengths = sections[SegmentSection.lengths.rawValue]
        let collections = sections[SegmentSection.collections.rawValue]
        collectionIDs = try (0..<collectionCount).map { try collections.id(at: $0 * SegmentFormat.idBytes) }
    }

    var byteCount: Int { owner.bytes.count }
    var collections: [UUIDv7] { collectionIDs }

    @inline(__always)
    func section(_ section: SegmentSection) -> UnsafeRawBufferPointer { sections[section.rawValue] }

    // MARK: Documents and chunks

    /// - Parameter ordinal: checked: postings of metadata lead here.
    func document(_ ordinal: Int) throws -> DocumentRecord {
        let at = ordinal * SegmentFormat.documentRecordBytes
        let table = section(.documents)
        let first = Int(try table.u32(at: at + 32))
        let count = Int(try table.u32(at: at + 36))
        let collection = Int(try table.u32(at: at + 40))
        guard first + count <= chunkCount, collection < collectionIDs.count else {
            throw IndexDamage("a document's record is out of range")
        }
        return DocumentRecord(
            id: try table.id(at: at), revision: try table.id(at: at + 16), collection: collection,
            chunks: first..<first + count)
    }

    func documentID(_ ordinal: Int) throws -> UUIDv7 {
        try section(.documents).id(at: ordinal * SegmentFormat.documentRecordBytes)
    }

    func collectionOrdinal(ofDocument ordinal: Int) throws -> Int {
        let collection = Int(try section(.documents).u32(at: ordinal * SegmentFormat.documentRecordBytes + 40))
        guard collection < collectionIDs.count else { throw IndexDamage("a document's record is out of range") }
        return collection
    }

    /// The ordinal of the document with an id, or nil.
    func ordinal(of id: UUIDv7) throws -> Int? {
        var low = 0
        var high = documentCount
        while low < high {
            let middle = (low + high) / 2
            let candidate = try documentID(middle)
            if candidate == id { return middle }
            if candidate < id { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// Title and metadata of a document.
    func fields(ofDocument ordinal: Int) throws -> DocumentFields {
        let record = try document(ordinal)
        let at = ordinal * SegmentFormat.documentRecordBytes
        let bytes = try section(.attributes).slice(
            offset: try section(.documents).u64(at: at + 48), count: UInt64(try section(.documents).u32(at: at + 44)))
        var cursor = try ByteCursor(bytes)
        let title = try cursor.string()
        var metadata: [String: String] = [:]
        for _ in 0..<(try cursor.varint()) {
            let key = try cursor.string()
            metadata[key] = try cursor.string()
        }
        return DocumentFields(
            id: record.id, revision: record.revision, collection: collectionIDs[record.collection], title: title,
            metadata: metadata)
    }

    func fields(ofChunk ordinal: Int) throws -> ChunkFields {
        let table = section(.chunks)
        let at = ordinal * SegmentFormat.chunkRecordBytes
        let start = try table.u64(at: at + 16)
        let end = try table.u64(at: at + 24)
        guard start <= end, end <= UInt64(Int64.max) else { throw IndexDamage("a chunk's span runs backward") }
        let hash = try table.slice(offset: UInt64(at + 32), count: 32)
        return ChunkFields(
            id: try table.id(at: at), span: ByteSpan(start: Int(start), end: Int(end)),
            page: try table.u32(at: at + 64), hash: [UInt8](hash), length: try lengths.u32(at: ordinal * 4))
    }

    /// The document that a chunk belongs to.
    @inline(__always)
    func documentOrdinal(ofChunk ordinal: Int) throws -> Int {
        Int(try section(.chunkDocuments).u32(at: ordinal * 4))
    }

    /// Where the text of a chunk is: block, offset and byte count within the raw block.
    func storedPlace(ofChunk ordinal: Int) throws -> (block: UInt32, offset: UInt32, count: UInt32) {
        let table = section(.chunks)
        let at = ordinal * SegmentFormat.chunkRecordBytes
        return (try table.u32(at: at + 68), try table.u32(at: at + 72), try table.u32(at: at + 76))
    }

    func block(_ number: UInt32) throws -> (bytes: UnsafeRawBufferPointer, rawCount: Int) {
        let table = section(.blocks)
        let at = Int(number) * SegmentFormat.blockRecordBytes
        let bytes = try section(.stored).slice(
            offset: try table.u64(at: at), count: UInt64(try table.u32(at: at + 8)))
        return (bytes, Int(try table.u32(at: at + 12)))
    }

    // MARK: Terms

    func termBytes(_ ordinal: Int) throws -> UnsafeRawBufferPointer {
        let at = ordinal * SegmentFormat.termRecordBytes
        let table = section(.dictionary)
        return try section(.termBytes).slice(offset: try table.u64(at: at), count: UInt64(try table.u32(at: at + 8)))
    }

    func termEntry(_ ordinal: Int) throws -> TermEntry {
        let at = ordinal * SegmentFormat.termRecordBytes
        let table = section(.dictionary)
        let offset = try table.u64(at: at + 16)
        let postings = UInt64(try table.u32(at: at + 24))
        let positions = UInt64(try table.u32(at: at + 28))
        guard offset <= UInt64(Int64.max) else { throw IndexDamage("an offset lies outside its section") }
        return TermEntry(
            count: Int(try table.u32(at: at + 12)),
            postings: try section(.postings).slice(offset: offset, count: postings),
            positions: try section(.postings).slice(offset: offset + postings, count: positions))
    }

    /// The entry of a term, or nil when no chunk holds it.
    func lookup(_ term: UnsafeRawBufferPointer) throws -> TermEntry? {
        var low = 0
        var high = termCount
        while low < high {
            let middle = (low + high) / 2
            let order = compare(try termBytes(middle), term)
            if order == 0 { return try termEntry(middle) }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    func lookup(_ term: [UInt8]) throws -> TermEntry? {
        try term.withUnsafeBytes { try lookup($0) }
    }
}
