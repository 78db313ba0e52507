internal import Core

/// The layout of a segment: sections, then a footer of fixed size, then XXH64 of everything before it. All integers are little endian.
///
/// A segment is immutable. Documents are ordered by id, chunks by document and ordinal, terms by bytes: whatever order changes arrived in, the
/// same content is the same segment.
enum SegmentFormat {
    static let magic: UInt64 = 0x3147_4553_5043_41F5
    /// Changes whenever the layout does.
    static let version: UInt32 = 1
    static let footerBytes = 8 + 8 * 4 + 8 + SegmentSection.allCases.count * 16 + 8

    static let chunkRecordBytes = 80
    static let documentRecordBytes = 56
    static let termRecordBytes = 32
    static let blockRecordBytes = 16
    static let idBytes = 16

    /// Raw bytes after which a block of stored text is closed: small enough to read for one hit, large enough to compress.
    static let blockBytes = 16 << 10
    /// The largest raw block a reader accepts: one full block plus the largest chunk.
    static let blockBytesMax = (16 << 10) + (4 << 20)
}

/// The parts of a segment, in footer order.
enum SegmentSection: Int, CaseIterable {
    /// u32 per chunk: ordinal of its document.
    case chunkDocuments
    /// u32 per chunk: weighted length in half tokens.
    case lengths
    /// 80 bytes per chunk: id 16, span start 8, span end 8, hash 32, page 4, block 4, offset in block 4, bytes in block 4.
    case chunks
    /// 56 bytes per document: id 16, revision 16, first chunk 4, chunk count 4, collection ordinal 4, attribute bytes 4, attribute offset 8.
    case documents
    /// 16 bytes per collection, ascending.
    case collections
    /// Per document: title, then metadata pairs; each string with its length as a varint before it.
    case attributes
    /// 16 bytes per block: offset 8, stored bytes 4, raw bytes 4. Equal sizes mean that the block is not compressed.
    case blocks
    /// The blocks: heading paths and texts of chunks.
    case stored
    /// 32 bytes per term, ascending: offset of its bytes 8, their count 4, document frequency 4, offset of its postings 8, their bytes 4,
    /// bytes of its positions 4 (which follow the postings).
    case dictionary
    case termBytes
    case postings
}

/// Bytes of a segment or a manifest are not what they must be. Becomes `Failure` at the module's edge.
struct IndexDamage: Error {
    let what: StaticString

    init(_ what: StaticString) { self.what = what }

    /// What a caller of the index sees.
    var failure: Failure {
        Failure(
            .dataLoss, reason: "INDEX_DAMAGED", "The search index is damaged: \(what).",
            remedy: "Restart the service; the index is discarded and rebuilt from the database.")
    }
}

/// Weights of a chunk's fields in term frequencies and lengths, in halves.
enum FieldWeight {
    static let body: UInt32 = 2
    static let heading: UInt32 = 3
    static let title: UInt32 = 6
    /// Positions left free between fields, so that no phrase runs from one into the next.
    static let positionGap = 16
}

/// The first byte of dictionary entries that are metadata pairs instead of terms; no term starts with it.
enum MetadataTerm {
    static let prefix: UInt8 = 0

    /// The dictionary entry of a pair: unambiguous because the key's length comes first.
    static func bytes(key: String, value: String) -> [UInt8] {
        let count = key.utf8.count
        var bytes: [UInt8] = [prefix, UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
        bytes.append(contentsOf: key.utf8)
        bytes.append(contentsOf: value.utf8)
        return bytes
    }
}
