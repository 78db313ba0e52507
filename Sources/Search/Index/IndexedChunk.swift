public import Core

/// A chunk of a published revision as the index takes it.
public struct IndexedChunk: Sendable, Hashable {
    public var id: UUIDv7
    public var documentID: UUIDv7
    public var revisionID: UUIDv7
    public var collectionID: UUIDv7
    /// The document's title; counts three times.
    public var title: String
    /// Headings above the chunk, outermost first; each counts one and a half times.
    public var headingPath: [String]
    /// The citable text.
    public var text: String
    /// Where `text` is in the revision's extracted text.
    public var span: ByteSpan
    /// One-based page; 0 for none.
    public var page: Int
    /// SHA-256 of `text`, 32 bytes.
    public var hash: [UInt8]
    /// The document's metadata.
    public var metadata: [String: String]

    public init(
        id: UUIDv7, documentID: UUIDv7, revisionID: UUIDv7, collectionID: UUIDv7, title: String,
        headingPath: [String] = [], text: String, span: ByteSpan, page: Int = 0, hash: [UInt8],
        metadata: [String: String] = [:]
    ) {
        self.id = id
        self.documentID = documentID
        self.revisionID = revisionID
        self.collectionID = collectionID
        self.title = title
        self.headingPath = headingPath
        self.text = text
        self.span = span
        self.page = page
        self.hash = hash
        self.metadata = metadata
    }
}

/// One entry of `index_log` as the index applies it.
public enum IndexChange: Sendable {
    /// Replaces every earlier chunk of the document. All chunks carry the same document, revision, collection, title and metadata.
    case publish(document: UUIDv7, chunks: [IndexedChunk])
    case retract(document: UUIDv7)

    var document: UUIDv7 {
        switch self {
        case .publish(let document, _), .retract(let document): document
        }
    }

    var chunks: [IndexedChunk] {
        switch self {
        case .publish(_, let chunks): chunks
        case .retract: []
        }
    }

    /// Throws INVALID_ARGUMENT for what the index cannot hold.
    func validate(_ options: IndexOptions) throws {
        for (index, chunk) in chunks.enumerated() {
            func refuse(_ field: String, _ why: String) -> Failure {
                .invalid(field: "chunks[\(index)].\(field)", "\(why) (document \(document))")
            }
            guard chunk.documentID == document else { throw refuse("document", "belongs to another document") }
            guard let first = chunks.first, chunk.revisionID == first.revisionID,
                chunk.collectionID == first.collectionID, chunk.title == first.title, chunk.metadata == first.metadata
            else { throw refuse("revision", "differs from the first chunk's revision, collection, title or metadata") }
            guard chunk.hash.count == 32 else { throw refuse("hash", "is not 32 bytes") }
            guard chunk.page >= 0, chunk.page <= Int(Int32.max) else { throw refuse("page", "is out of range") }
            guard chunk.text.utf8.count <= options.chunkTextBytesMax else {
                throw refuse("text", "is larger than \(options.chunkTextBytesMax) bytes")
            }
            guard chunk.headingPath.count <= 256,
                chunk.headingPath.reduce(0, { $0 + $1.utf8.count }) <= IndexOptions.headingPathBytesMax
            else { throw refuse("heading_path", "is larger than \(IndexOptions.headingPathBytesMax) bytes") }
            guard chunk.title.utf8.count <= Limits.nameBytesMax else {
                throw refuse("title", "is larger than \(Limits.nameBytesMax) bytes")
            }
            guard chunk.metadata.count <= Limits.metadataPairsMax,
                chunk.metadata.allSatisfy({
                    $0.key.utf8.count <= Limits.nameBytesMax && $0.value.utf8.count <= Limits.nameBytesMax
                })
            else { throw refuse("metadata", "has too many pairs or too long ones") }
        }
    }
}
