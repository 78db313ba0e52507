import Core
import Foundation
import RPC
import Search
import TestSupport
import Testing

@testable import Agents

/// How often the answerer is right when it answers and silent when it should be, over real retrieval.
///
/// Seconds of computing: on threads of their own, so that tests which wait for something meanwhile are not held up.
@Suite struct CalibrationTests {
    let answerer = ExtractiveAnswerer()

    private func ask(_ question: String, _ corpus: IndexedCorpus) throws -> ExtractedAnswer {
        let found = try corpus.search(AskRequest(question: question).search(limit: 24, perDocument: 5))
        return try answerer.answer(
            question, from: found.hits, unmatchedTerms: found.unmatchedTerms, sentencesMax: 5)
    }

    @Test func projectQuestionsAreAnsweredOrDeclined() async throws {
        let found = try await onThread {
            try measure("project", ProjectCorpus.answerable, ProjectCorpus.unanswerable)
        }
        #expect(found.right >= 45 && found.wrong <= 2 && found.declined >= 39)
    }

    @Test func questionsThatNothingWasTunedOnAreAnsweredOrDeclined() async throws {
        let found = try await onThread {
            try measure("held out", ProjectCorpus.heldOutAnswerable, ProjectCorpus.heldOutUnanswerable)
        }
        #expect(found.right >= 12 && found.wrong <= 1 && found.declined >= 11)
    }

    /// What came of the questions: the floors above are those that a broken analysis or scoring falls through.
    private struct Counts: Sendable {
        var right = 0
        var wrong = 0
        var declined = 0
    }

    /// Prints what went wrong and the counts.
    private func measure(
        _ name: String, _ answerable: [ProjectCorpus.Answerable], _ unanswerable: [String]
    ) throws -> Counts {
        let corpus = try IndexedCorpus.project()
        func describe(_ answer: ExtractedAnswer) -> String {
            let sentences = answer.sentences.map { "\(String(format: "%.2f", $0.score)) \($0.text)" }
            return "\(answer.outcome) \(sentences) \(answer.explanation)"
        }
        var right = 0, wrong = 0, declined = 0, falselyAnswered = 0
        for item in answerable {
            let answer = try ask(item.question, corpus)
            if answer.sentences.contains(where: { $0.text.contains(item.expected) }) {
                right += 1
            } else {
                if answer.outcome != .abstained { wrong += 1 }
                print("missed: \(item.question) → \(describe(answer))")
            }
        }
        for question in unanswerable {
            let answer = try ask(question, corpus)
            if answer.outcome == .abstained {
                declined += 1
            } else {
                print("not declined: \(question) → \(describe(answer))")
            }
            if answer.outcome == .answered { falselyAnswered += 1 }
        }
        print(
            "\(name): of \(answerable.count) answerable \(right) right, \(wrong) wrong;",
            "of \(unanswerable.count) unanswerable \(declined) declined, \(falselyAnswered) falsely ANSWERED")
        return Counts(right: right, wrong: wrong, declined: declined)
    }

    private struct Entry: Decodable {
        var id: String
        var title: String?
        var text: String

        enum CodingKeys: String, CodingKey {
            case id = "_id"
            case title
            case text
        }
    }

    private func entries(_ url: URL) throws -> [Entry] {
        try Data(contentsOf: url).split(separator: 0x0A).map { try JSONDecoder().decode(Entry.self, from: $0) }
    }

    private func relevant(_ url: URL) throws -> [String: Set<String>] {
        var relevant: [String: Set<String>] = [:]
        for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n").dropFirst() {
            let fields = line.split(separator: "\t")
            if fields.count == 3, fields[2] != "0" {
                relevant[String(fields[0]), default: []].insert(String(fields[1]))
            }
        }
        return relevant
    }

    @Test(
        .enabled(if: sharedData("data/retrieval") != nil, "needs ../shared/data/retrieval beside the repository"),
        arguments: ["xquad_en", "clapnq_dev"])
    func publicQuestionsAreAnsweredFromTheRightPassage(name: String) async throws {
        let folder = try #require(sharedData("data/retrieval/" + name))
        let found = try await onThread { try measurePublic(name, folder) }
        #expect(Double(found.answeredRight) >= 0.85 * Double(found.answered))
        #expect(Double(found.answered + found.partial) >= 0.5 * Double(found.count))
        #expect(Double(found.declined) >= 0.8 * Double(found.count))
    }

    private struct PublicCounts: Sendable {
        var count = 0
        var answered = 0
        var partial = 0
        var answeredRight = 0
        var declined = 0
    }

    private func measurePublic(_ name: String, _ folder: URL) throws -> PublicCounts {
        let entries = try entries(folder.appendingPathComponent("corpus.jsonl"))
        let documents = entries.enumerated().map { number, entry in
            let id = UUIDv7(high: 0x7000, low: 0x8000_0000_0000_0000 | UInt64(number + 1))
            let chunk = IndexedChunk(
                id: id, documentID: id, revisionID: id, collectionID: IndexedCorpus.collection,
                title: String((entry.title ?? "").prefix(300)), text: entry.text,
                span: ByteSpan(start: 0, end: entry.text.utf8.count), hash: sha256(entry.text))
            return IndexedCorpus.Document(
                id: id, revision: id, origin: entry.id, title: chunk.title, text: entry.text, chunks: [chunk])
        }
        let corpus = try IndexedCorpus(documents)
        let relevant = try relevant(folder.appendingPathComponent("qrels.tsv"))
        let questions = try self.entries(folder.appendingPathComponent("queries.jsonl"))
        var count = 0, answered = 0, partial = 0, answeredRight = 0, partialRight = 0
        var declined = 0, withoutAnswered = 0
        // Part of the questions: enough for the figures, and quick.
        for (number, question) in questions.enumerated() where number % (questions.count > 500 ? 6 : 2) == 0 {
            guard let gold = relevant[question.id] else { continue }
            count += 1
            let found = try corpus.search(AskRequest(question: question.text).search(limit: 25, perDocument: 5))
            func answer(_ hits: [Hit]) throws -> ExtractedAnswer {
                try answerer.answer(
                    question.text, from: hits, unmatchedTerms: found.unmatchedTerms, sentencesMax: 5)
            }
            let with = try answer(Array(found.hits.prefix(24)))
            if let first = with.sentences.first {
                let isRight = gold.contains(found.hits[first.evidence[0].hit].origin)
                if with.outcome == .answered {
                    answered += 1
                    answeredRight += isRight ? 1 : 0
                } else {
                    partial += 1
                    partialRight += isRight ? 1 : 0
                }
            }
            let without = try answer(found.hits.filter { !gold.contains($0.origin) })
            if without.outcome == .abstained { declined += 1 }
            if without.outcome == .answered { withoutAnswered += 1 }
        }
        func share(_ part: Int, _ whole: Int) -> String { String(format: "%.3f", Double(part) / Double(max(whole, 1))) }
        print(
            "\(name): \(count) questions; ANSWERED \(share(answered, count)) with precision \(share(answeredRight, answered));",
            "PARTIAL \(share(partial, count)) with precision \(share(partialRight, partial));",
            "without the gold document: declined \(share(declined, count)), ANSWERED \(share(withoutAnswered, count))")
        return PublicCounts(
            count: count, answered: answered, partial: partial, answeredRight: answeredRight, declined: declined)
    }
}
