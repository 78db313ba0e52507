internal import Glibc
internal import RPC

/// The terms around the sentences of the retrieved passages, by hit.
struct PassageTerms: Sendable {
    let texts: [Set<String>]
    let titles: [Set<String>]
    /// Outermost first.
    let headings: [[Set<String>]]
    /// Terms of all retrieved passages of the hit's document.
    let documents: [Set<String>]

    init(_ hits: [Hit]) {
        let texts = hits.map { Self.terms(of: $0.text) }
        var byDocument: [String: Set<String>] = [:]
        for (hit, terms) in zip(hits, texts) { byDocument[hit.documentID, default: []].formUnion(terms) }
        self.texts = texts
        titles = hits.map { Self.terms(of: $0.title) }
        headings = hits.map { $0.headingPath.map(Self.terms) }
        documents = hits.map { byDocument[$0.documentID] ?? [] }
    }

    private static func terms(of text: String) -> Set<String> { Set(Word.words(of: text).map(\.term)) }

    /// Passages that have the term in their text, title or headings.
    func count(of term: String) -> Int {
        texts.indices.count { index in
            texts[index].contains(term) || titles[index].contains(term)
                || headings[index].contains { $0.contains(term) }
        }
    }

    /// Whether any passage, or one of its headings or titles, has the term or what may stand for it.
    func mentions(_ term: QuestionTerm) -> Bool {
        count(of: term.term) > 0 || term.equivalents.contains { count(of: $0) > 0 }
    }
}

/// How much each of a question's terms counts.
struct TermWeights: Sendable {
    /// Weight of a term that every passage has, beside 1 for one that none has.
    private static let floor = 0.3

    /// Rarity among the passages, `floor` to `1 + floor`, times the term's importance.
    let weights: [Double]
    let total: Double

    init(_ question: Question, _ passages: PassageTerms) {
        let count = Double(passages.texts.count)
        let largest = log(1 + (count + 0.5) / 0.5)
        weights = question.terms.map { term in
            let frequency = Double(passages.count(of: term.term))
            let idf = log(1 + (count - frequency + 0.5) / (frequency + 0.5))
            return term.importance * (Self.floor + idf / largest)
        }
        total = weights.reduce(0, +)
    }
}
