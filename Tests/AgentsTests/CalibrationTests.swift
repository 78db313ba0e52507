import Core
import Foundation
import RPC
import Search
import Testing

@testable import Agents

/// How often the answerer is right when it answers and silent when it should be, over real retrieval.
@Suite struct CalibrationTests {
    let answerer: ExtractiveAnswerer = { var a = ExtractiveAnswerer(); if let t = ProcessInfo.processInfo.environment["T"].flatMap(Double.init) { a.threshold = t }; return a }()

    private func ask(_ question: String, _ corpus: IndexedCorpus) throws -> (ExtractedAnswer, [Hit]) {
        let found = try corpus.search(AskRequest(question: question).search(limit: 24, perDocument: 5))
        let answer = try answerer.answer(
            question, from: found.hits, unmatchedTerms: found.unmatchedTerms, sentencesMax: 5)
        return (answer, found.hits)
    }

    @Test func projectQuestionsAreAnsweredOrDeclined() throws {
        let corpus = try IndexedCorpus.project()
        var right = 0
        var wrong = 0
        for item in ProjectCorpus.answerable {
            let (answer, _) = try ask(item.question, corpus)
            let text = answer.sentences.map(\.text).joined(separator: "\n")
            let isRight = text.contains(item.expected)
            if isRight { right += 1 } else if answer.outcome != .abstained { wrong += 1 }
            if !isRight || answer.outcome == .partial {
                print("\(isRight ? "" : "MISSED ")\(answer.outcome) \(item.question) → \(answer.sentences.map { "\(String(format: "%.2f", $0.score)) \($0.text)" }) \(answer.explanation)")
            }
        }
        var declined = 0
        var falselyAnswered = 0
        for question in ProjectCorpus.unanswerable {
            let (answer, _) = try ask(question, corpus)
            if answer.outcome == .abstained { declined += 1 } else {
                if answer.outcome == .answered { falselyAnswered += 1 }
                print("FALSE \(answer.outcome) \(question) → \(answer.sentences.map { "\(String(format: "%.2f", $0.score)) \($0.text)" }) \(answer.unmatchedTerms)")
            }
        }
        print("project: answered rightly \(right)/\(ProjectCorpus.answerable.count), wrongly \(wrong);",
              "declined \(declined)/\(ProjectCorpus.unanswerable.count), falsely ANSWERED \(falselyAnswered)")
        #expect(right >= ProjectCorpus.answerable.count - 3)
        #expect(declined >= ProjectCorpus.unanswerable.count - 3)
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
            if fields.count == 3, fields[2] != "0" { relevant[String(fields[0]), default: []].insert(String(fields[1])) }
        }
        return relevant
    }

    @Test(
        .enabled(if: sharedData("data/retrieval") != nil, "needs ../shared/data/retrieval beside the repository"),
        arguments: ["xquad_en", "clapnq_dev"])
    func publicQuestionsAreAnsweredFromTheRightPassage(name: String) throws {
        let folder = try #require(sharedData("data/retrieval/" + name))
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
        #expect(Double(answeredRight) >= 0.8 * Double(answered))
    }
}
