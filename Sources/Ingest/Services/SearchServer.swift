internal import Core
internal import Logging
internal import Metrics
internal import RPC
internal import Search
internal import Storage

/// `acp.v1.Search` over the index of this process.
struct SearchServer: SearchService {
    private static let limitDefault = 10
    private static let perDocumentDefault = 3
    /// Collections and documents named in one request.
    private static let namesMax = 1000

    let database: Database
    let follower: IndexFollower
    let logger: Logger

    func search(_ request: SearchRequest, _ context: ServerContext) async throws -> SearchResponse {
        let query = try await query(request)
        let index = try follower.index
        let start = MonotonicTime.now()
        let result: LexicalResult
        do {
            result = try await offLoop { try index.search(query) }
        } catch let failure as Failure where failure.code == .dataLoss {
            follower.reportDamage()
            throw failure
        }
        let elapsed = start.duration(to: .now())
        let hits = try await hits(result.hits)
        return SearchResponse(
            hits: hits, sequence: UInt64(clamping: result.sequence), candidates: UInt64(clamping: result.candidates),
            unmatchedTerms: result.unmatchedTerms, coverage: result.coverage,
            indexUs: UInt64(clamping: elapsed.wholeNanoseconds / 1000))
    }

    /// The request checked, its collections' names turned into ids.
    /// - Throws: INVALID_ARGUMENT naming the fields; NOT_FOUND for an unknown collection.
    private func query(_ request: SearchRequest) async throws -> LexicalQuery {
        var check = FieldChecks()
        check.text("query", request.query, bytes: 1...Limits.queryBytesMax)
        check.require(
            "limit", request.limit <= UInt32(Limits.hitsMax),
            "must be 1 to \(Limits.hitsMax), or 0 for \(Self.limitDefault)")
        check.require(
            "per_document", request.perDocument <= UInt32(Limits.hitsMax),
            "must be 1 to \(Limits.hitsMax), or 0 for \(Self.perDocumentDefault)")
        check.require(
            "filter", request.filter.count <= Limits.metadataPairsMax, "has more than \(Limits.metadataPairsMax) pairs")
        for (key, value) in request.filter {
            check.require(
                "filter", key.utf8.count <= Limits.nameBytesMax && value.utf8.count <= Limits.nameBytesMax,
                "has a key or value of more than \(Limits.nameBytesMax) bytes")
        }
        check.require("collections", request.collections.count <= Self.namesMax, "names more than \(Self.namesMax)")
        check.require("document_ids", request.documentIDs.count <= Self.namesMax, "names more than \(Self.namesMax)")
        let documents = request.documentIDs.prefix(Self.namesMax).enumerated().compactMap { index, text in
            check.id("document_ids[\(index)]", text)
        }
        try check.finish()
        var query = LexicalQuery(text: request.query)
        query.collections = request.collections.isEmpty ? nil : try await collections(request.collections)
        query.documents = request.documentIDs.isEmpty ? nil : Set(documents)
        query.metadata = request.filter.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) }
        query.limit = request.limit == 0 ? Self.limitDefault : Int(request.limit)
        query.perDocumentMax = request.perDocument == 0 ? Self.perDocumentDefault : Int(request.perDocument)
        return query
    }

    private func collections(_ names: [String]) async throws -> Set<UUIDv7> {
        let rows = try await database.run { connection in
            try connection.execute("SELECT name, id FROM collections WHERE name = ANY($1)", [.textArray(names)])
        }
        let ids = Dictionary(try rows.map { (try $0.text(0), try $0.uuid(1)) }, uniquingKeysWith: { first, _ in first })
        if let unknown = names.first(where: { ids[$0] == nil }) { throw DocumentQueries.unknownCollection(unknown) }
        return Set(ids.values)
    }

    private struct Source {
        var collection: String
        var origin: String
    }

    /// Joins hits with their documents. A document deleted a moment ago is not shown although the index still has it; a hit whose text
    /// does not have its hash never leaves.
    private func hits(_ hits: [LexicalHit]) async throws -> [Hit] {
        guard !hits.isEmpty else { return [] }
        let documents = Array(Set(hits.map(\.documentID)))
        let rows = try await database.run { connection in
            try connection.execute(
                """
                SELECT d.id, c.name, d.origin FROM documents d JOIN collections c ON c.id = d.collection_id
                WHERE d.id = ANY($1) AND d.deleted_at IS NULL
                """, [.uuidArray(documents)])
        }
        let sources = Dictionary(
            try rows.map { (try $0.uuid(0), Source(collection: try $0.text(1), origin: try $0.text(2))) },
            uniquingKeysWith: { first, _ in first })
        return hits.compactMap { hit in
            guard let source = sources[hit.documentID] else { return nil }
            guard ContentHash.of(hit.text) == hit.hash, hit.span.count == hit.text.utf8.count else {
                refuse(hit)
                return nil
            }
            return Self.hit(hit, source)
        }
    }

    private func refuse(_ hit: LexicalHit) {
        Counter(label: "acp_search_hits_refused_total").increment()
        logger.error(
            "a hit's text does not have its hash; the index is made anew",
            metadata: ["chunk_id": "\(hit.chunkID)", "revision_id": "\(hit.revisionID)"])
        follower.reportDamage()
    }

    private static func hit(_ hit: LexicalHit, _ source: Source) -> Hit {
        Hit(
            documentID: hit.documentID.description, revisionID: hit.revisionID.description,
            chunkID: hit.chunkID.description, start: UInt64(hit.span.start), end: UInt64(hit.span.end), hash: hit.hash,
            score: hit.score, title: hit.title, headingPath: hit.headingPath, page: UInt32(clamping: hit.page),
            text: hit.text,
            highlights: hit.highlights.map {
                Highlight(start: UInt32(clamping: $0.start), end: UInt32(clamping: $0.end))
            },
            collection: source.collection, origin: source.origin, metadata: hit.metadata)
    }
}
