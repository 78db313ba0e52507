import Core
import Search

/// Random documents and queries from a small vocabulary, so that words repeat, tie and collide.
struct RandomCorpus {
    var random: SeededGenerator

    static let words = [
        "server", "servers", "index", "indexes", "Retention", "policy", "policies", "the", "of", "and", "is", "not",
        "ABC-123", "snake_case", "v1.2.3", "1.2.3", "parseHTTPRequest", "café", "naïve", "Zürich", "2024", "42",
        "state-of-the-art", "don't", "检索", "東京都", "backup", "restore", "backups", "queue", "lease", "token",
        "U.S.", "IT", "C++", "ledger", "audit", "auditor", "vector", "query",
    ]
    static let titles = ["Backup policy", "", "The audit of servers", "Queue lease", "検索 index"]
    static let headings = [[], ["Overview"], ["Overview", "Retention policy"], ["ABC-123"]]
    static let metadata: [[String: String]] = [[:], ["team": "ops"], ["team": "ops", "year": "2024"], ["team": "dev"]]

    mutating func pick<T>(_ list: [T]) -> T { list[Int.random(in: 0..<list.count, using: &random)] }

    mutating func text(words count: ClosedRange<Int>) -> String {
        var text = ""
        for _ in 0..<Int.random(in: count, using: &random) {
            text += pick(Self.words) + pick([" ", " ", " ", ". ", ", ", "\n"])
        }
        return text
    }

    mutating func publication(_ document: Int, revision: Int) -> IndexChange {
        let title = pick(Self.titles)
        let metadata = pick(Self.metadata)
        let collection = Int.random(in: 1...3, using: &random)
        let count = Int.random(in: 0...6, using: &random)
        var chunks: [IndexedChunk] = []
        for ordinal in 0..<count {
            chunks.append(
                chunk(
                    text(words: 1...25), document: document, ordinal: ordinal, revision: revision,
                    collection: collection, title: title, headings: pick(Self.headings), metadata: metadata))
        }
        return .publish(document: uuid(document), chunks: chunks)
    }

    /// A query with its parts, for the reference.
    mutating func query() -> (query: LexicalQuery, words: String, phrases: [String], excluded: [String]) {
        var parts: [String] = []
        var words: [String] = []
        var phrases: [String] = []
        var excluded: [String] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let word = pick(Self.words)
            parts.append(word)
            words.append(word)
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            let phrase = pick(Self.words) + " " + pick(Self.words)
            parts.append("\"\(phrase)\"")
            words.append(phrase)
            phrases.append(phrase)
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            let word = pick(["backup", "policy", "index", "ledger"])
            parts.append("-" + word)
            excluded.append(word)
        }
        var query = LexicalQuery(text: parts.joined(separator: " "))
        query.limit = pick([1, 3, 10, 100])
        query.perDocumentMax = pick([1, 2, 3, 100])
        if Int.random(in: 0..<3, using: &random) == 0 {
            query.collections = pick([[], [uuid(1)], [uuid(1), uuid(3)]])
        }
        if Int.random(in: 0..<3, using: &random) == 0 {
            query.metadata = pick([[("team", "ops")], [("team", "ops"), ("year", "2024")]])
        }
        if Int.random(in: 0..<6, using: &random) == 0 { query.documents = pick([[], [uuid(1), uuid(2), uuid(7)]]) }
        return (query, words.joined(separator: " "), phrases, excluded)
    }
}
