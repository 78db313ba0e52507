import Core
import Foundation
import Search
import Testing

/// nDCG@10 on public collections in BEIR form, printed; asserted only against floors that a broken analysis or ranking falls through.
@Suite struct RetrievalQualityTests {
    /// Collections beside the repository with their floors.
    static let floors: [(name: String, floor: Double)] = [
        ("clapnq_dev", 0.90), ("npl", 0.41), ("stackfaq", 0.47), ("xquad_en", 0.93),
    ]

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

    private func relevance(_ url: URL) throws -> [String: [String: Double]] {
        var relevance: [String: [String: Double]] = [:]
        for line in try String(contentsOf: url, encoding: .utf8).split(separator: "\n").dropFirst() {
            let fields = line.split(separator: "\t")
            guard fields.count == 3, let score = Double(fields[2]) else { continue }
            relevance[String(fields[0]), default: [:]][String(fields[1])] = score
        }
        return relevance
    }

    @Test(
        .enabled(if: sharedData("data/retrieval") != nil, "needs ../shared/data/retrieval beside the repository"),
        arguments: floors)
    func rankingReachesItsFloor(name: String, floor: Double) throws {
        let folder = try #require(sharedData("data/retrieval/" + name))
        let directory = try TemporaryDirectory()
        let index = try LexicalIndex(directory: directory.path)
        let corpus = try entries(folder.appendingPathComponent("corpus.jsonl"))
        let changes = corpus.enumerated().map { number, entry in
            publish(number, entry.text, title: String((entry.title ?? "").prefix(300)))
        }
        try index.apply(changes, through: 1)
        try index.flush()
        let relevance = try relevance(folder.appendingPathComponent("qrels.tsv"))
        var total = 0.0
        var asked = 0
        for query in try entries(folder.appendingPathComponent("queries.jsonl")) {
            guard let wanted = relevance[query.id], wanted.values.contains(where: { $0 > 0 }) else { continue }
            // Quotes and leading dashes in questions are no operators here.
            let text = String(query.text.map { "\"“”-".contains($0) ? " " : $0 })
            let hits = try index.search(LexicalQuery(text: text, limit: 10)).hits
            let gains = hits.map { hit in wanted[corpus[Int(hit.documentID.low & 0xFFFF_FFFF)].id] ?? 0 }
            total += discounted(gains) / discounted(wanted.values.sorted(by: >).prefix(10))
            asked += 1
        }
        let mean = total / Double(max(asked, 1))
        let bytes = index.statistics.bytes / corpus.count
        let score = String(format: "%.4f", mean)
        print("nDCG@10 \(name): \(score) (\(corpus.count) documents, \(asked) queries, \(bytes) index bytes each)")
        #expect(asked > 50)
        #expect(mean >= floor)
    }

    private func discounted(_ gains: some Sequence<Double>) -> Double {
        gains.enumerated().reduce(0) { $0 + (pow(2, $1.element) - 1) / log2(Double($1.offset) + 2) }
    }
}
