public import Core

/// A lexical search. Filters hold inside the retrieval: what they exclude is neither scored nor counted.
///
/// In `text`, words are alternatives that add to the score; `"quoted words"` must occur in this order; `-word` and `-"quoted words"` must not
/// occur. A query without positive words finds nothing; one of stop words only searches for these.
public struct LexicalQuery: Sendable {
    /// At most `Limits.queryBytesMax` UTF-8 bytes.
    public var text: String
    /// Collections to search; nil for all, empty for none.
    public var collections: Set<UUIDv7>?
    /// Pairs that a document's metadata must contain, all of them.
    public var metadata: [(key: String, value: String)]
    /// Documents to search; nil for all, empty for none.
    public var documents: Set<UUIDv7>?
    /// Hits wanted, 1 to `Limits.hitsMax`.
    public var limit: Int
    /// Hits from one document, at least 1.
    public var perDocumentMax: Int

    public init(
        text: String, collections: Set<UUIDv7>? = nil, metadata: [(key: String, value: String)] = [],
        documents: Set<UUIDv7>? = nil, limit: Int = 10, perDocumentMax: Int = 3
    ) {
        self.text = text
        self.collections = collections
        self.metadata = metadata
        self.documents = documents
        self.limit = limit
        self.perDocumentMax = perDocumentMax
    }

    /// Throws INVALID_ARGUMENT naming the field.
    func validate() throws {
        guard text.utf8.count <= Limits.queryBytesMax else {
            throw Failure.invalid(field: "query", "has more than \(Limits.queryBytesMax) bytes; shorten it")
        }
        guard (1...Limits.hitsMax).contains(limit) else {
            throw Failure.invalid(field: "limit", "must be 1 to \(Limits.hitsMax)")
        }
        guard perDocumentMax >= 1 else { throw Failure.invalid(field: "per_document_max", "must be at least 1") }
        guard metadata.count <= Limits.metadataPairsMax else {
            throw Failure.invalid(field: "filter.metadata", "has more than \(Limits.metadataPairsMax) pairs")
        }
        for (index, pair) in metadata.enumerated()
        where pair.key.utf8.count > Limits.nameBytesMax || pair.value.utf8.count > Limits.nameBytesMax {
            throw Failure.invalid(
                field: "filter.metadata[\(index)]", "has more than \(Limits.nameBytesMax) bytes in its key or value")
        }
    }
}

/// One chunk that answers a query.
public struct LexicalHit: Sendable, Hashable {
    public var chunkID: UUIDv7
    public var documentID: UUIDv7
    public var revisionID: UUIDv7
    public var collectionID: UUIDv7
    /// Where `text` is in the revision's extracted text.
    public var span: ByteSpan
    /// One-based page; 0 for none.
    public var page: Int
    /// SHA-256 of `text`.
    public var hash: [UInt8]
    /// BM25; comparable within one result only.
    public var score: Double
    public var title: String
    public var headingPath: [String]
    public var text: String
    /// Byte ranges of `text` that matched, ascending, without overlap.
    public var highlights: [ByteSpan]
    /// The document's metadata.
    public var metadata: [String: String]
}

/// The answer to a query.
public struct LexicalResult: Sendable, Hashable {
    /// Best first: by score, then by document id and place in the document.
    public var hits: [LexicalHit]
    /// The position of `index_log` that was searched.
    public var sequence: Int64
    /// Chunks within the filters that matched.
    public var candidates: Int
    /// Words of the query, as written there, that some chunk within the filters contains.
    public var matchedTerms: [String]
    public var unmatchedTerms: [String]
    /// How far the best hit covers the query, 0 to 1: its score ÷ the largest score the query's terms could give together.
    public var coverage: Double
}
