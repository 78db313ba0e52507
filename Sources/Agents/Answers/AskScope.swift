internal import Core
internal import RPC

extension AskRequest {
    static let sentencesDefault = 5
    static let sentencesLimit = 20
    /// Collections that one question may name.
    static let collectionsMax = 100

    /// Sentences wanted.
    var sentencesWanted: Int { sentencesMax == 0 ? Self.sentencesDefault : Int(sentencesMax) }

    /// - Throws: INVALID_ARGUMENT that names the field.
    func validate() throws {
        guard question.contains(where: { !$0.isWhitespace }) else {
            throw Failure.invalid(field: "question", "is empty; ask something")
        }
        guard question.utf8.count <= Limits.queryBytesMax else {
            throw Failure.invalid(
                field: "question", "has \(question.utf8.count) bytes; at most \(Limits.queryBytesMax) are accepted")
        }
        guard sentencesMax <= UInt32(Self.sentencesLimit) else {
            throw Failure.invalid(
                field: "sentences_max", "must be 1 to \(Self.sentencesLimit), or 0 for \(Self.sentencesDefault)")
        }
        guard collections.count <= Self.collectionsMax else {
            throw Failure.invalid(field: "collections", "has more than \(Self.collectionsMax) names")
        }
        guard filter.count <= Limits.metadataPairsMax else {
            throw Failure.invalid(field: "filter", "has more than \(Limits.metadataPairsMax) pairs")
        }
    }

    /// The question as a search: quotes and leading dashes are punctuation in a question, not operators.
    func search(limit: Int, perDocument: Int) -> SearchRequest {
        var query: [UInt8] = []
        var atWordStart = true
        for scalar in question.unicodeScalars {
            let isQuote = scalar == "\"" || (0x201C...0x201F).contains(scalar.value)
            let isOperator = isQuote || scalar == "-" && atWordStart
            query.append(contentsOf: isOperator ? [0x20] : Array(String(scalar).utf8))
            atWordStart = isOperator || scalar.properties.isWhitespace
        }
        return SearchRequest(
            query: String(decoding: query, as: UTF8.self), collections: collections, filter: filter,
            limit: UInt32(limit), perDocument: UInt32(perDocument))
    }
}
