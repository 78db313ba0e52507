internal import Core
internal import Logging
internal import Metrics
internal import RPC
internal import Storage
internal import Synchronization

/// `acp.v1.Answers`: retrieves through the ingest service with the caller's rights, answers, checks every citation,
/// stores, and only then says so.
struct AnswersServer: AnswersService {
    /// Citations in one VerifyCitations.
    static let citationsMax = 1000
    /// Passages shown beside an answer, besides the cited ones.
    static let passagesMax = 10

    private let search: SearchClient
    private let verifier: CitationVerifier
    private let store: AnswerStore
    private let configuration: AgentsSystem.Configuration
    private let logger: Logger
    private let admission: Admission

    init(database: Database, ingest: RPCClient, configuration: AgentsSystem.Configuration, logger: Logger) {
        search = SearchClient(ingest)
        verifier = CitationVerifier(
            ingest: IngestClient(ingest), timeout: .milliseconds(configuration.upstreamTimeoutMs))
        store = AnswerStore(database: database)
        self.configuration = configuration
        self.logger = logger
        admission = Admission(limit: configuration.asksMax)
    }

    /// Lets no further question in.
    func stop() { admission.close() }

    // MARK: Ask

    func ask(_ request: AskRequest, _ responses: ResponseWriter<AskEvent>, _ context: ServerContext) async throws {
        try request.validate()
        try admission.enter()
        defer { admission.leave() }
        let start = MonotonicTime.now()
        let found = try await retrieve(request)
        try await responses.write(
            AskEvent(
                event: .retrieval(
                    Retrieval(
                        sequence: found.sequence, candidates: found.candidates, coverage: found.coverage,
                        unmatchedTerms: found.unmatchedTerms))))
        try await responses.write(
            AskEvent(event: .passages(Passages(hits: Array(found.hits.prefix(Self.passagesMax))))))
        let extracted = try await offLoop {
            try ExtractiveAnswerer().answer(
                request.question, from: found.hits, unmatchedTerms: found.unmatchedTerms,
                sentencesMax: request.sentencesWanted)
        }
        var answer = try await cited(extracted, found.hits)
        answer.question = request.question
        answer.sequence = found.sequence
        for sentence in answer.sentences { try await responses.write(AskEvent(event: .sentence(sentence))) }
        try Task.checkCancellation()
        try await store.insert(
            answer, asked: request, by: context.call.principal?.id, requestID: context.call.requestID)
        AnswerMetrics.answered(answer.outcome, in: start.duration(to: .now()))
        try await responses.write(AskEvent(event: .answer(answer)))
    }

    /// The best passages; those whose text does not have its hash are no evidence.
    private func retrieve(_ request: AskRequest) async throws -> SearchResponse {
        var found = try await search.search(
            request.search(limit: configuration.passagesRetrieved, perDocument: configuration.passagesPerDocument),
            options: CallOptions(timeout: .milliseconds(configuration.upstreamTimeoutMs)))
        let hits = found.hits
        let sound = try await offLoop { hits.filter { ContentHash.of($0.text) == $0.hash } }
        if sound.count < hits.count {
            AnswerMetrics.passagesRefused(hits.count - sound.count)
            logger.error(
                "passages refused: their text does not have its hash",
                metadata: ["passages": "\(hits.count - sound.count)"])
        }
        found.hits = sound
        return found
    }

    /// The answer with those sentences whose citations hold. The others are dropped, counted and logged.
    private func cited(_ extracted: ExtractedAnswer, _ hits: [Hit]) async throws -> Answer {
        let candidates = extracted.sentences.map { sentence in
            sentence.evidence.map { Self.citation(of: sentence.text, $0, hits[$0.hit]) }
        }
        let problems = try await verifier.problems(of: candidates.flatMap(\.self))
        var sentences: [AnswerSentence] = []
        var next = 0
        for (sentence, citations) in zip(extracted.sentences, candidates) {
            var valid: [Citation] = []
            for citation in citations {
                defer { next += 1 }
                guard let problem = problems[next] else {
                    valid.append(citation)
                    continue
                }
                AnswerMetrics.citationDropped()
                logger.error(
                    "citation dropped: it does not verify",
                    metadata: [
                        "revision": "\(citation.revisionID)", "start": "\(citation.start)", "end": "\(citation.end)",
                        "problem": "\(problem)",
                    ])
            }
            guard !valid.isEmpty else { continue }
            sentences.append(
                AnswerSentence(text: sentence.text, citations: valid, score: sentence.score, verdict: .supported))
        }
        let citedChunks = Set(sentences.flatMap(\.citations).map(\.chunkID))
        let passages = hits.enumerated()
            .filter { $0.offset < Self.passagesMax || citedChunks.contains($0.element.chunkID) }.map(\.element)
        var answer = Answer(
            id: UUIDv7().description, outcome: extracted.outcome.message, sentences: sentences, passages: passages,
            explanation: extracted.explanation, answerer: ExtractiveAnswerer.fingerprint, createdAt: Timestamp(.now()),
            unmatchedTerms: extracted.unmatchedTerms)
        let withheld = extracted.sentences.count - sentences.count
        if withheld > 0 {
            answer.outcome = sentences.isEmpty ? .abstained : .partiallyAnswered
            answer.explanation =
                "\(withheld) of \(extracted.sentences.count) sentences were withheld: "
                + "the stored text does not bear out their citations."
        }
        return answer
    }

    private static func citation(of quote: String, _ evidence: ExtractedAnswer.Evidence, _ hit: Hit) -> Citation {
        Citation(
            documentID: hit.documentID, revisionID: hit.revisionID, chunkID: hit.chunkID,
            start: hit.start + UInt64(evidence.local.start), end: hit.start + UInt64(evidence.local.end),
            chunkStart: hit.start, chunkEnd: hit.end, chunkHash: hit.hash, quote: quote, title: hit.title,
            headingPath: hit.headingPath, page: hit.page, origin: hit.origin)
    }

    // MARK: The other methods

    func getAnswer(_ request: GetAnswerRequest, _ context: ServerContext) async throws -> Answer {
        guard let id = UUIDv7(request.id) else {
            throw Failure.invalid(field: "id", "is not the id of an answer (a UUID)")
        }
        guard let reader = context.call.principal, let answer = try await store.answer(id, for: reader) else {
            throw Failure(
                .notFound, reason: "ANSWER_NOT_FOUND", "There is no answer \(id) that you may read.",
                remedy: "Answers can be read by who asked and by administrators.")
        }
        return answer
    }

    func verifyCitations(
        _ request: VerifyCitationsRequest, _ context: ServerContext
    ) async throws -> VerifyCitationsResponse {
        guard request.citations.count <= Self.citationsMax else {
            throw Failure.invalid(
                field: "citations",
                "has \(request.citations.count) citations; at most \(Self.citationsMax) are checked at once")
        }
        let checks = try await verifier.problems(of: request.citations).map {
            CitationCheck(valid: $0 == nil, problem: $0 ?? "")
        }
        return VerifyCitationsResponse(checks: checks, allValid: checks.allSatisfy(\.valid))
    }
}

extension ExtractedAnswer.Outcome {
    var message: AnswerOutcome {
        switch self {
        case .answered: .answered
        case .partial: .partiallyAnswered
        case .abstained: .abstained
        }
    }
}

/// How many questions are being answered. More are refused rather than queued: each holds its passages in memory.
private final class Admission: Sendable {
    private enum State {
        /// → `closed`.
        case open(inside: Int)
        /// Final.
        case closed
    }

    private let limit: Int
    private let state = Mutex(State.open(inside: 0))

    init(limit: Int) { self.limit = limit }

    func enter() throws {
        try state.withLock { state in
            guard case .open(let inside) = state else {
                throw Failure(.unavailable, reason: "STOPPING", "The service is stopping.", retryAfterMs: 1000)
            }
            guard inside < limit else {
                throw Failure(
                    .resourceExhausted, reason: "TOO_MANY_QUESTIONS",
                    "\(limit) questions are being answered already.", remedy: "Try again in a moment.",
                    retryAfterMs: 500)
            }
            state = .open(inside: inside + 1)
        }
    }

    func leave() {
        state.withLock { state in
            if case .open(let inside) = state { state = .open(inside: inside - 1) }
        }
    }

    func close() { state.withLock { $0 = .closed } }
}

/// Counters of answering. Labels come from closed sets.
private enum AnswerMetrics {
    private static let dropped = Counter(label: "acp_answer_citations_dropped_total")
    private static let refused = Counter(label: "acp_answer_passages_refused_total")
    private static let duration = Timer(label: "acp_processing_time_seconds", dimensions: [("stage", "answering")])
    private static let outcomes = Dictionary(
        uniqueKeysWithValues: AnswerOutcome.knownCases.map {
            ($0, Counter(label: "acp_answers_total", dimensions: [("outcome", $0.protoName)]))
        })

    static func citationDropped() { dropped.increment() }
    static func passagesRefused(_ count: Int) { refused.increment(by: count) }
    static func answered(_ outcome: AnswerOutcome, in elapsed: Duration) {
        outcomes[outcome]?.increment()
        duration.recordNanoseconds(elapsed.wholeNanoseconds)
    }
}
