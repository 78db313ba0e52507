internal import Glibc
internal import RPC

/// What the retrieved passages tell about the question's terms: how rare each is, and where beside the sentences it occurs.
struct TermStatistics {
    /// Weight of a term in every passage, beside 1 for one in none.
    private static let floor = 0.3

    /// Rarity of each of the question's terms among the passages, `floor` to `1 + floor`, times its importance.
    let weights: [Double]
    let total: Double
    /// Terms per hit: text, title with origin, each heading.
    let texts: [Set<String>]
    let titles: [Set<String>]
    let headings: [[Set<String>]]
    /// Terms of all retrieved passages of the hit's document.
    let documents: [Set<String>]

    init(_ question: Question, _ hits: [Hit]) {
        texts = hits.map { Set(Word.words(of: $0.text).map(\.term)) }
        titles = hits.map { Set(Word.words(of: $0.title).map(\.term)) }
        headings = hits.map { $0.headingPath.map { Set(Word.words(of: $0).map(\.term)) } }
        var byDocument: [String: Set<String>] = [:]
        for (index, hit) in hits.enumerated() { byDocument[hit.documentID, default: []].formUnion(texts[index]) }
        documents = hits.map { byDocument[$0.documentID] ?? [] }
        let count = Double(hits.count)
        let largest = log(1 + (count + 0.5) / 0.5)
        let texts = self.texts, titles = self.titles, headings = self.headings
        weights = question.terms.map { term in
            let frequency = texts.indices.filter { index in
                texts[index].contains(term.term) || titles[index].contains(term.term)
                    || headings[index].contains { $0.contains(term.term) }
            }.count
            let idf = log(1 + (count - Double(frequency) + 0.5) / (Double(frequency) + 0.5))
            return term.importance * (Self.floor + idf / largest)
        }
        total = weights.reduce(0, +)
    }

    /// The weight that a question of common words only would have: nothing can be found by it.
    var isEmpty: Bool { total <= 0 }
}
