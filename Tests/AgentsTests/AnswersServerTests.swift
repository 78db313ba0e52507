import Core
import RPC
import Storage
import Synchronization
import Testing

@testable import Agents

/// The service as its callers see it: over ACP/1, on PostgreSQL, with a real index behind it.
@Suite struct AnswersServerTests {
    @Test func eventsComeInOrderAndTheLastOneSaysEverything() async throws {
        try await TestAgents.with { agents in
            let events = try await agents.ask("How long must invoices be kept?")
            guard case .retrieval(let retrieval) = events[0], case .passages(let passages) = events[1],
                case .answer(let answer) = events[events.count - 1]
            else {
                Issue.record("retrieval, passages and answer are not where they belong")
                return
            }
            let sentences = events.compactMap { event -> AnswerSentence? in
                if case .sentence(let sentence) = event { sentence } else { nil }
            }
            #expect(events.count == 3 + sentences.count)
            #expect(answer.sentences == sentences)
            #expect(!passages.hits.isEmpty)
            #expect(answer.outcome == .answered)
            #expect(answer.sentences.first?.text.contains("ten years") == true)
            #expect(answer.sentences.first?.verdict == .supported)
            #expect(answer.sequence == retrieval.sequence)
            #expect(answer.answerer == "extractive/1")
            #expect(answer.question == "How long must invoices be kept?")
        }
    }

    @Test func everyCitationHoldsAgainstTheWholeText() async throws {
        try await TestAgents.with { agents in
            var checked = 0
            for item in ProjectCorpus.answerable.prefix(12) {
                for citation in try await agents.answer(item.question).sentences.flatMap(\.citations) {
                    let document = try #require(agents.corpus.document(UUIDv7(citation.documentID) ?? UUIDv7()))
                    #expect(
                        citation.proof.problem(in: Array(document.text.utf8), sha256: CitationVerifier.sha256) == nil)
                    #expect(citation.title == document.title)
                    #expect(citation.origin == document.origin)
                    #expect(!citation.headingPath.isEmpty)
                    checked += 1
                }
            }
            #expect(checked >= 10)
        }
    }

    @Test func anAnswerIsReadBackAsItWasSentByWhoAskedAndByAdministrators() async throws {
        try await TestAgents.with { agents in
            for question in [
                "Which formats are accepted?", "What is Kubernetes?",
                "Who approved Zephyr and when does the pilot start?",
            ] {
                let sent = try await agents.answer(question)
                for key in ["viewer", "admin"] {
                    let read = try await agents.client.getAnswer(
                        GetAnswerRequest(id: sent.id), options: CallOptions(credential: key))
                    #expect(read == sent)
                }
                let refused = await failure {
                    try await agents.client.getAnswer(
                        GetAnswerRequest(id: sent.id), options: CallOptions(credential: "other"))
                }
                #expect(refused?.code == .notFound)
            }
            let count1 = try await agents.count("SELECT count(*) FROM answers")
            #expect(count1 == 3)
            let unknown = await failure {
                try await agents.client.getAnswer(
                    GetAnswerRequest(id: UUIDv7().description), options: CallOptions(credential: "admin"))
            }
            #expect(unknown?.code == .notFound)
            let malformed = await failure {
                try await agents.client.getAnswer(GetAnswerRequest(id: "7"), options: CallOptions(credential: "admin"))
            }
            #expect(malformed?.code == .invalidArgument)
        }
    }

    @Test func sentencesWhoseStoredTextDiffersAreWithheld() async throws {
        try await TestAgents.with { agents in
            agents.textServer.conduct.withLock { $0 = .altersText }
            let events = try await agents.ask("How long must invoices be kept?")
            guard case .answer(let answer) = events.last else {
                Issue.record("no answer")
                return
            }
            #expect(answer.outcome == .abstained)
            #expect(answer.sentences.isEmpty)
            #expect(answer.explanation.contains("withheld"))
            #expect(!events.contains { if case .sentence = $0 { true } else { false } })
            let count2 = try await agents.count("SELECT count(*) FROM citations")
            #expect(count2 == 0)
            let count3 = try await agents.count("SELECT count(*) FROM answers WHERE outcome = 'ABSTAINED'")
            #expect(count3 == 1)

            agents.textServer.conduct.withLock { $0 = .hidesText }
            #expect(try await agents.answer("How long must invoices be kept?").sentences.isEmpty)
        }
    }

    @Test func passagesWhoseTextDoesNotHaveItsHashAreNoEvidence() async throws {
        try await TestAgents.with { agents in
            agents.textServer.conduct.withLock { $0 = .altersHits }
            let answer = try await agents.answer("How long must invoices be kept?")
            #expect(answer.outcome == .abstained)
            #expect(answer.passages.isEmpty)
        }
    }

    @Test func citationsAreCheckedOneByOneAndTheProblemNamed() async throws {
        try await TestAgents.with { agents in
            let answer = try await agents.answer("Where are backups stored?")
            let good = try #require(answer.sentences.first?.citations.first)
            func changed(_ change: (inout Citation) -> Void) -> Citation {
                var citation = good
                change(&citation)
                return citation
            }
            let document = try #require(agents.corpus.document(UUIDv7(good.documentID) ?? UUIDv7()))
            let umlaut = UInt64(try #require(Array(document.text.utf8).firstIndex(of: 0xC3)) + 1)
            let cases: [(Citation, String)] = [
                (changed { $0.quote = String($0.quote.map { $0 == "d" ? "b" : $0 }) }, "not what the text says"),
                (changed { $0.quote += "!" }, "its span has"),
                (changed { $0.chunkHash[0] ^= 1 }, "chunk's hash"),
                (changed { $0.chunkHash = [1] }, "SHA-256 has 32"),
                (changed { swap(&$0.start, &$0.end) }, "backwards"),
                (changed { $0.chunkEnd = $0.start }, "not within"),
                (changed { $0.chunkEnd += 1_000_000 }, "bytes"),
                (changed { $0.chunkEnd += 2_000_000 }, "at most"),
                (
                    changed {
                        $0.chunkStart = umlaut; $0.start = umlaut; $0.end = umlaut + 1; $0.quote = "x"
                    }, "inside a character"
                ),
                (changed { $0.revisionID = UUIDv7().description }, "no such revision"),
                (changed { $0.revisionID = "r1" }, "not a UUID"),
                (changed { $0.documentID = UUIDv7().description }, "another document"),
            ]
            let request = VerifyCitationsRequest(citations: [good] + cases.map(\.0) + [good])
            let response = try await agents.client.verifyCitations(request, options: CallOptions(credential: "viewer"))
            #expect(response.checks.count == cases.count + 2)
            #expect(!response.allValid)
            #expect(response.checks.first == CitationCheck(valid: true))
            #expect(response.checks.last == CitationCheck(valid: true))
            for (check, (_, problem)) in zip(response.checks.dropFirst(), cases) {
                #expect(!check.valid)
                #expect(check.problem.contains(problem))
            }
            let tooMany = await failure {
                try await agents.client.verifyCitations(
                    VerifyCitationsRequest(citations: Array(repeating: good, count: 1001)),
                    options: CallOptions(credential: "viewer"))
            }
            #expect(tooMany?.code == .invalidArgument)
        }
    }

    @Test func badQuestionsAreRefusedWithTheFieldNamed() async throws {
        try await TestAgents.with { agents in
            for (question, sentences, field) in [
                ("", 0, "question"), (" \n", 0, "question"), (String(repeating: "a", count: 8193), 0, "question"),
                ("Who?", 21, "sentences_max"),
            ] {
                let refused = await failure { try await agents.ask(question, sentencesMax: UInt32(sentences)) }
                #expect(refused?.code == .invalidArgument)
                #expect(refused?.fields.first?.field == field)
            }
            let count7 = try await agents.ask(String(repeating: "invoice ", count: 1024)).count
            #expect(count7 >= 3)
            let count4 = try await agents.count("SELECT count(*) FROM answers")
            #expect(count4 == 1)
        }
    }

    @Test func theDeadlineEndsTheCallAndNothingIsStored() async throws {
        try await TestAgents.with { agents in
            agents.textServer.conduct.withLock { $0 = .hangs }
            let start = MonotonicTime.now()
            let late = await failure {
                try await agents.ask("How long must invoices be kept?", timeout: .milliseconds(300))
            }
            #expect(late?.code == .deadlineExceeded)
            // The service that hangs would answer after 60 s.
            #expect(start.duration(to: .now()) < .seconds(50))
            let count5 = try await agents.count("SELECT count(*) FROM answers")
            #expect(count5 == 0)
        }
    }

    @Test func ingestIsCalledWithTheRightsAndRequestOfWhoAsked() async throws {
        try await TestAgents.with { agents in
            var options = CallOptions(credential: "other")
            options.requestID = "request-7"
            for try await _ in try await agents.client.ask(
                AskRequest(question: "Where are backups stored?"), options: options)
            {}
            let callers = agents.textServer.callers.withLock { $0 }
            #expect(callers.count >= 2)
            #expect(callers.allSatisfy { $0.credential == "other" && $0.requestID == "request-7" })
            let stranger = await failure { try await agents.ask("Where are backups stored?", key: "nobody") }
            #expect(stranger?.code == .unauthenticated)
        }
    }

    @Test func tooManyQuestionsAtOnceAreRefusedAndNoneAfterStop() async throws {
        var configuration = AgentsSystem.Configuration()
        configuration.asksMax = 1
        try await TestAgents.with(configuration) { agents in
            agents.textServer.conduct.withLock { $0 = .hangs }
            let reader = try await agents.client.ask(
                AskRequest(question: "Where are backups stored?"), options: CallOptions(credential: "viewer"))
            // Its first event says that it is inside.
            _ = try await reader.next()
            let refused = await failure { try await agents.ask("Where are backups stored?") }
            #expect(refused?.code == .resourceExhausted)
            #expect((refused?.retryAfterMs ?? 0) > 0)
            agents.system.stop()
            let stopped = await failure { try await agents.ask("Where are backups stored?") }
            #expect(stopped?.code == .unavailable)
        }
    }

    @Test func healthNamesWhatIsMissing() async throws {
        try await TestAgents.with { agents in
            #expect(await agents.system.health().map(\.name) == ["postgresql", "ingest"])
            #expect(await agents.system.health().allSatisfy(\.healthy))
            agents.database.close()
            let health = await agents.system.health()
            #expect(health.first?.healthy == false)
            #expect(health.last?.healthy == true)
        }
    }

    @Test func aCitedChunkThatIsNotTheStoredOneStoresNothing() async throws {
        try await TestAgents.with { agents in
            _ = try await agents.database.run { try $0.execute("DELETE FROM chunks") }
            let gone = await failure { try await agents.ask("Where are backups stored?") }
            #expect(gone?.reason == "CITATION_GONE")
            let count6 = try await agents.count("SELECT count(*) FROM answers")
            #expect(count6 == 0)
        }
    }
}
