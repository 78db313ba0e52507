internal import RPC

/// How well a sentence answers a question, and which of its terms it speaks of.
struct ScoredUnit: Sendable {
    var unit: SentenceUnit
    /// 0 to 1.
    var score: Double
    /// Per term of the question, how surely the sentence is about it, 0 to 1.
    var strengths: [Double]
    /// Share of the question's weight, 0 to 1.
    var coverage: Double
}

/// Scores sentences by how much of the question they, their headings and their surroundings cover, and by signs of the
/// wanted kind of answer.
struct SentenceScorer {
    /// Where a term is found tells how surely the sentence is about it.
    enum Strength {
        static let sentence = 1.0
        static let equivalent = 0.85
        static let similar = 0.75
        static let tableHeader = 0.9
        static let innerHeading = 0.85
        static let outerHeading = 0.7
        static let title = 0.7
        static let antecedent = 0.65
        static let sentenceBefore = 0.35
        static let passage = 0.2
        static let document = 0.1
        /// From here on the sentence counts as speaking of the term.
        static let supportMin = 0.3
    }

    private let question: Question
    private let weights: TermWeights
    private let passages: PassageTerms
    private let hits: [Hit]
    private let bestHitScore: Double

    init(_ question: Question, _ weights: TermWeights, _ passages: PassageTerms, _ hits: [Hit]) {
        self.question = question
        self.weights = weights
        self.passages = passages
        self.hits = hits
        bestHitScore = max(hits.map(\.score).max() ?? 0, .leastNonzeroMagnitude)
    }

    /// nil when the sentence cannot be the answer: a name, number or identifier of the question is nowhere near it.
    func score(_ unit: SentenceUnit) -> ScoredUnit? {
        var strengths: [Double] = []
        var covered = 0.0
        var isTouched = false
        for (term, weight) in zip(question.terms, weights.weights) {
            let strength = strength(of: term, in: unit)
            if strength == 0, term.role == .exact { return nil }
            if strength >= Strength.similar, term.role != .kind { isTouched = true }
            strengths.append(strength)
            covered += strength * weight
        }
        guard isTouched, speaksOfEnough(strengths) else { return nil }
        let coverage = covered / weights.total
        var score = coverage * (0.85 + 0.15 * proximity(unit, strengths)) * shapeFactor(unit)
        score *= kindFactor(unit)
        score += 0.03 * hits[unit.hit].score / bestHitScore
        return ScoredUnit(unit: unit, score: min(1, score), strengths: strengths, coverage: coverage)
    }

    /// A sentence that has only the names of a question says nothing of what was asked about them, and one of two
    /// topics is half of another matter: `invoice layout` is no answer on `invoice retention`.
    private func speaksOfEnough(_ strengths: [Double]) -> Bool {
        let central = question.terms.indices.filter {
            question.terms[$0].role == .exact || question.terms[$0].role == .topic
        }
        let topics = central.filter { question.terms[$0].role == .topic }
        if !topics.isEmpty, topics.allSatisfy({ strengths[$0] < Strength.supportMin }) { return false }
        return central.count > 2 || central.allSatisfy { strengths[$0] >= Strength.supportMin }
    }

    // MARK: Terms

    private func strength(of term: QuestionTerm, in unit: SentenceUnit) -> Double {
        let index = unit.hit
        if unit.terms.contains(term.term) { return Strength.sentence }
        if !term.equivalents.isDisjoint(with: unit.terms) { return Strength.equivalent }
        if unit.headerTerms.contains(term.term) { return Strength.tableHeader }
        if let inner = passages.headings[index].last, speaks(inner, of: term) { return Strength.innerHeading }
        if term.role != .exact, unit.terms.contains(where: { Self.isSimilar($0, term.term) }) {
            return Strength.similar
        }
        if passages.headings[index].dropLast().contains(where: { speaks($0, of: term) }) {
            return Strength.outerHeading
        }
        if speaks(passages.titles[index], of: term) { return Strength.title }
        if speaks(unit.termsBefore, of: term) {
            return unit.isAnaphoric ? Strength.antecedent : Strength.sentenceBefore
        }
        if speaks(passages.texts[index], of: term) { return Strength.passage }
        return passages.documents[index].contains(term.term) ? Strength.document : 0
    }

    private func speaks(_ terms: Set<String>, of term: QuestionTerm) -> Bool {
        terms.contains(term.term) || !term.equivalents.isDisjoint(with: terms)
    }

    /// Two stems of one word that the stemmer kept apart: `product` and `produc`. At least five letters and four fifths
    /// in common.
    static func isSimilar(_ one: String, _ other: String) -> Bool {
        let (longer, shorter) = one.utf8.count >= other.utf8.count ? (one.utf8, other.utf8) : (other.utf8, one.utf8)
        guard shorter.count >= 5, longer.count - shorter.count <= 3 else { return false }
        let common = zip(longer, shorter).prefix { $0 == $1 }.count
        return common >= 5 && common * 5 >= longer.count * 4
    }

    // MARK: The sentence as a whole

    /// Share of the question's neighbouring terms that are near each other in the sentence too: tells `invoice
    /// retention` from a sentence that has both words in different places.
    private func proximity(_ unit: SentenceUnit, _ strengths: [Double]) -> Double {
        var pairs = 0.0
        var near = 0.0
        for index in question.terms.indices.dropFirst() {
            let (first, second) = (question.terms[index - 1], question.terms[index])
            guard first.role != .kind, second.role != .kind, abs(second.position - first.position) <= 3 else {
                continue
            }
            pairs += 1
            if strengths[index - 1] < 1 || strengths[index] < 1 {
                // Said by the heading and the sentence together.
                near += min(strengths[index - 1], strengths[index]) * 0.8
                continue
            }
            let positions = unit.words.filter { $0.term == first.term }.map(\.position)
            let others = unit.words.filter { $0.term == second.term }.map(\.position)
            if positions.contains(where: { one in others.contains { abs($0 - one) <= 4 } }) { near += 1 }
        }
        return pairs > 0 ? near / pairs : 1
    }

    private func shapeFactor(_ unit: SentenceUnit) -> Double {
        switch unit.shape {
        case .prose: unit.words.count < 4 ? 0.9 : 1
        case .row: 0.97
        case .item: unit.words.count < 4 ? 0.85 : 0.93
        }
    }

    private func kindFactor(_ unit: SentenceUnit) -> Double {
        // What a list is about to say cannot be judged by its introduction.
        if unit.isLeadIn { return 1 }
        let cues = AnswerCues(unit.text, unit.words)
        if question.kind == .definition {
            let subject = Set(question.terms.map(\.term))
            return cues.defines(subject) ? 1.08 : question.kind.factorWithoutCue
        }
        return cues.has(question.kind, beyond: question.said) ? 1 : question.kind.factorWithoutCue
    }
}
