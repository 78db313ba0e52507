internal import Core
internal import RPC
internal import Storage

/// Answers in PostgreSQL: what was asked, what came of it, each sentence as a claim with its citations.
struct AnswerStore: Sendable {
    let database: Database

    /// Stores an answer in one transaction.
    ///
    /// - Throws: `Failure` ABORTED with reason CITATION_GONE when a citation's chunk is no longer as it was cited; then
    ///   nothing is stored.
    func insert(_ answer: Answer, asked: AskRequest, by principal: UUIDv7?, requestID: String) async throws {
        guard let id = UUIDv7(answer.id), let createdAt = answer.createdAt?.wallTime else {
            throw Failure(.internalError, reason: "ANSWER_INCOMPLETE", "The answer has no id or no time.")
        }
        let scope = try Self.scope(of: answer, asked: asked)
        let text = answer.sentences.map(\.text).joined(separator: "\n")
        var claims: [(StaticString, [SQLValue])] = []
        var citations: [(StaticString, [SQLValue])] = []
        for (number, sentence) in answer.sentences.enumerated() {
            claims.append(
                (
                    Self.insertClaim,
                    [
                        .uuid(id), .int(number), .text(sentence.text), .text(sentence.verdict.protoName),
                        .double(sentence.score),
                    ]
                ))
            for (ordinal, citation) in sentence.citations.enumerated() {
                citations.append((Self.insertCitation, try Self.parameters(citation, id, number, ordinal)))
            }
        }
        let head: (StaticString, [SQLValue]) = (
            Self.insertAnswer,
            [
                .uuid(id), .uuid(principal), .text(answer.question), .json(scope),
                .text(Self.name(of: answer.outcome)), .text(text), .int64(Int64(clamping: answer.sequence)),
                .text(answer.answerer), .text(requestID), .time(createdAt),
            ]
        )
        let statements = [head] + claims + citations
        let firstCitation = 1 + claims.count
        try await database.transaction { connection in
            let results = try connection.pipeline(statements)
            guard results[firstCitation...].allSatisfy({ $0.affected == 1 }) else {
                throw Failure(
                    .aborted, reason: "CITATION_GONE", "A cited passage changed while the answer was being made.",
                    remedy: "Ask again.")
            }
        }
    }

    /// The answer as it was sent; nil when there is none or `reader` neither asked for it nor is an administrator.
    func answer(_ id: UUIDv7, for reader: Principal) async throws -> Answer? {
        try await database.run { connection in
            let isAdmin = reader.role >= .admin
            let results = try connection.pipeline([
                (Self.selectAnswer, [.uuid(id), .bool(isAdmin), .uuid(reader.id)]),
                (Self.selectClaims, [.uuid(id)]),
                (Self.selectCitations, [.uuid(id)]),
            ])
            guard let head = results[0].first else { return nil }
            var answer = try Self.answer(head)
            answer.id = id.description
            let hits = Dictionary(answer.passages.map { ($0.chunkID, $0) }) { first, _ in first }
            answer.sentences = try results[1].map { row in
                AnswerSentence(
                    text: try row.text(0), score: try row.double(2), verdict: Self.verdict(named: try row.text(1)))
            }
            for row in results[2] {
                let number = try row.int(0)
                guard answer.sentences.indices.contains(number) else { continue }
                answer.sentences[number].citations.append(try Self.citation(row, hits))
            }
            return answer
        }
    }

    // MARK: Names and JSON

    /// `asked`: filters and limits, enough to ask again. `shown`: what the caller saw beside the sentences.
    private static func scope(of answer: Answer, asked: AskRequest) throws -> String {
        var asked = asked
        asked.question = ""
        let shown = Answer(
            passages: answer.passages, explanation: answer.explanation, unmatchedTerms: answer.unmatchedTerms)
        return #"{"asked":\#(try MessageJSON.encode(asked)),"shown":\#(try MessageJSON.encode(shown))}"#
    }

    private static func name(of outcome: AnswerOutcome) -> String {
        outcome == .partiallyAnswered ? "PARTIAL" : outcome.protoName
    }

    private static func outcome(named name: String) -> AnswerOutcome {
        switch name {
        case "ANSWERED": .answered
        case "PARTIAL": .partiallyAnswered
        default: .abstained
        }
    }

    private static func verdict(named name: String) -> Verdict {
        Verdict.knownCases.first { $0.protoName == name } ?? .default
    }

    // MARK: Rows

    private static func answer(_ row: Row) throws -> Answer {
        var answer = try MessageJSON.decode(row.json(2).utf8, as: Answer.self)
        answer.question = try row.text(0)
        answer.outcome = outcome(named: try row.text(1))
        answer.sequence = UInt64(clamping: try row.int64(3))
        answer.answerer = try row.text(4)
        answer.createdAt = Timestamp(try row.time(5))
        return answer
    }

    private static func citation(_ row: Row, _ hits: [String: Hit]) throws -> Citation {
        let chunkID = try row.uuid(3).description
        let hit = hits[chunkID]
        return Citation(
            documentID: try row.uuid(1).description, revisionID: try row.uuid(2).description, chunkID: chunkID,
            start: UInt64(clamping: try row.int(4)), end: UInt64(clamping: try row.int(5)),
            chunkStart: UInt64(clamping: try row.int(6)), chunkEnd: UInt64(clamping: try row.int(7)),
            chunkHash: try row.bytes(8), quote: try row.text(9), title: try hit?.title ?? row.text(10),
            headingPath: try row.textArray(11), page: UInt32(clamping: try row.optionalInt(12) ?? 0),
            origin: try hit?.origin ?? row.text(13))
    }

    private static func parameters(
        _ citation: Citation, _ answer: UUIDv7, _ claim: Int, _ ordinal: Int
    ) throws -> [SQLValue] {
        guard let document = UUIDv7(citation.documentID), let revision = UUIDv7(citation.revisionID),
            let chunk = UUIDv7(citation.chunkID)
        else { throw Failure(.internalError, reason: "CITATION_INCOMPLETE", "A citation has an id that is no UUID.") }
        return [
            .uuid(answer), .int(claim), .int(ordinal), .uuid(document), .uuid(revision), .bytes(citation.chunkHash),
            .int64(Int64(clamping: citation.start)), .int64(Int64(clamping: citation.end)), .text(citation.quote),
            .uuid(chunk), .int64(Int64(clamping: citation.chunkStart)), .int64(Int64(clamping: citation.chunkEnd)),
        ]
    }

    // MARK: SQL

    private static let insertAnswer: StaticString = """
        INSERT INTO answers (id, principal_id, question, scope, outcome, text, corpus_sequence, model, request_id,
                             created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """

    private static let insertClaim: StaticString = """
        INSERT INTO claims (answer_id, ordinal, text, verdict, score) VALUES ($1, $2, $3, $4, $5)
        """

    /// Finds the chunk again by everything the citation says about it: no row, no citation.
    private static let insertCitation: StaticString = """
        INSERT INTO citations (answer_id, claim_ordinal, ordinal, document_id, revision_id, chunk_ordinal, chunk_hash,
                               span_start, span_end, quote)
        SELECT $1, $2, $3, r.document_id, c.revision_id, c.ordinal, c.hash, $7, $8, $9
        FROM chunks c JOIN revisions r ON r.id = c.revision_id
        WHERE c.id = $10 AND c.revision_id = $5 AND r.document_id = $4 AND c.hash = $6
          AND c.span_start = $11 AND c.span_end = $12
        """

    private static let selectAnswer: StaticString = """
        SELECT question, outcome, scope->'shown', corpus_sequence, model, created_at FROM answers
        WHERE id = $1 AND ($2 OR principal_id = $3)
        """

    private static let selectClaims: StaticString = """
        SELECT text, verdict, score FROM claims WHERE answer_id = $1 ORDER BY ordinal
        """

    private static let selectCitations: StaticString = """
        SELECT i.claim_ordinal, i.document_id, i.revision_id, c.id, i.span_start, i.span_end, c.span_start, c.span_end,
               i.chunk_hash, i.quote, d.title, c.heading_path, c.page, d.origin
        FROM citations i
        JOIN chunks c ON c.revision_id = i.revision_id AND c.ordinal = i.chunk_ordinal
        JOIN documents d ON d.id = i.document_id
        WHERE i.answer_id = $1 ORDER BY i.claim_ordinal, i.ordinal
        """
}
