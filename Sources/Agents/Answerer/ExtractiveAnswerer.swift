internal import Core
internal import RPC

/// What the answerer found, before its citations are checked.
struct ExtractedAnswer: Sendable, Hashable {
    enum Outcome: Sendable, Hashable {
        case answered
        case partial
        case abstained
    }

    /// Where a sentence stands: a hit and the bytes of its text.
    struct Evidence: Sendable, Hashable {
        var hit: Int
        var local: ByteSpan
    }

    struct Sentence: Sendable, Hashable {
        var text: String
        /// 0 to 1.
        var score: Double
        /// The first is where it was found best; others say the same elsewhere.
        var evidence: [Evidence]
    }

    var outcome: Outcome
    /// Best first; equal ones in the order of the documents.
    var sentences: [Sentence]
    /// Words of the question that no chosen sentence speaks of.
    var unmatchedTerms: [String]
    /// For people.
    var explanation: String
}

/// Answers with sentences of the documents, word for word, or says that they hold no answer. Deterministic: no clock,
/// no chance, no state.
///
/// A sentence is judged by how much of the question it covers, weighted by the rarity of the terms among the retrieved
/// passages; by names, numbers and identifiers, which must be there; by whether the question's neighbouring words are
/// neighbours in it; and by signs of the kind of answer that is asked for. The threshold is calibrated on questions
/// with and without an answer (see the tests of this module).
struct ExtractiveAnswerer: Sendable {
    /// Stored with every answer; changes whenever the same input may give another answer.
    static let fingerprint = "extractive/1"

    /// Score from which a sentence is an answer.
    private static let threshold = 0.65
    /// A further sentence must reach this share of the best one's score; higher when one short answer is wanted.
    private static let companionShare = 0.8
    private static let factoidCompanionShare = 0.93
    /// Share of words that two sentences of one answer may have in common.
    private static let overlapMax = 0.6
    /// Share of the question's weight that may go without support in an answer that is called complete.
    private static let unsupportedShareMax = 0.15
    /// Documents that are cited for one sentence.
    private static let evidenceMax = 3

    /// What one question of the text came to.
    private struct Part {
        var chosen: [ScoredUnit] = []
        var unsupported: [String] = []
        var unsupportedShare = 0.0
        /// Names, numbers and identifiers that no passage has.
        var unknown: [String] = []
        var bestCoverage = 0.0
        /// What an answer must be about.
        var asked: [String] = []
    }

    /// - Parameters:
    ///   - hits: best first, with verified hashes.
    ///   - unmatchedTerms: words of the question that the search found nowhere.
    ///   - sentencesMax: at least 1.
    /// - Throws: `CancellationError` when the task is cancelled.
    func answer(
        _ text: String, from hits: [Hit], unmatchedTerms: [String], sentencesMax: Int
    ) throws -> ExtractedAnswer {
        let questions = Question.parts(of: text)
        guard !questions.isEmpty else {
            return Self.abstained("The question has no word that could be looked up.", unmatchedTerms)
        }
        guard !hits.isEmpty else {
            return Self.abstained("No passage that you may read has a word of the question.", unmatchedTerms)
        }
        var units: [SentenceUnit] = []
        for (index, hit) in hits.enumerated() {
            try Task.checkCancellation()
            units.append(contentsOf: UnitExtractor.units(of: hit, index: index))
        }
        let passages = PassageTerms(hits)
        var parts: [Part] = []
        var remaining = sentencesMax
        for (index, question) in questions.enumerated() {
            try Task.checkCancellation()
            let share = max(1, (remaining + questions.count - index - 1) / (questions.count - index))
            let taken = parts.flatMap { $0.chosen.map { Self.place($0.unit, hits) } }
            let part = answer(question, units, passages, hits, limit: min(share, remaining), except: Set(taken))
            remaining -= part.chosen.count
            parts.append(part)
        }
        return Self.assemble(parts, units, hits, unmatchedTerms)
    }

    // MARK: One question

    private func answer(
        _ question: Question, _ units: [SentenceUnit], _ passages: PassageTerms, _ hits: [Hit], limit: Int,
        except: Set<Place>
    ) -> Part {
        let weights = TermWeights(question, passages)
        let scorer = SentenceScorer(question, weights, passages, hits)
        var part = Part()
        part.asked = question.terms.filter { $0.role != .kind }.map(\.surface)
        part.unknown = question.terms.filter { $0.role == .exact && !passages.mentions($0) }.map(\.surface)
        let ranked = Self.ranked(Self.distinct(units, hits).compactMap(scorer.score), hits)
        part.bestCoverage = ranked.first?.coverage ?? 0
        if limit > 0 {
            part.chosen = choose(question, ranked, units, hits, limit: limit).filter {
                !except.contains(Self.place($0.unit, hits))
            }
        }
        let basis = part.chosen.isEmpty ? Array(ranked.prefix(1)) : part.chosen
        for (index, term) in question.terms.enumerated() where term.role != .kind {
            // Without any sentence to speak of, what counts is whether the passages know the word at all.
            let strength = basis.map { $0.strengths[index] }.max() ?? (passages.mentions(term) ? 1 : 0)
            guard strength < SentenceScorer.Strength.supportMin else { continue }
            part.unsupported.append(term.surface)
            part.unsupportedShare += weights.weights[index] / weights.total
        }
        return part
    }

    /// The best sentences above the threshold that say different things; an introduction brings its list.
    private func choose(
        _ question: Question, _ ranked: [ScoredUnit], _ units: [SentenceUnit], _ hits: [Hit], limit: Int
    ) -> [ScoredUnit] {
        let share = question.kind.isFactoid ? Self.factoidCompanionShare : Self.companionShare
        var chosen: [ScoredUnit] = []
        var places: Set<Place> = []
        for candidate in ranked where chosen.count < limit {
            let best = chosen.first?.score ?? candidate.score
            guard candidate.score >= Self.threshold, candidate.score >= best * share else { break }
            guard !places.contains(Self.place(candidate.unit, hits)), !Self.isRedundant(candidate, chosen) else {
                continue
            }
            let list = candidate.unit.isLeadIn ? Self.items(after: candidate.unit, units) : []
            if candidate.unit.isLeadIn, list.isEmpty { continue }
            chosen.append(candidate)
            places.insert(Self.place(candidate.unit, hits))
            for item in list where chosen.count < limit {
                guard places.insert(Self.place(item, hits)).inserted else { continue }
                chosen.append(
                    ScoredUnit(
                        unit: item, score: candidate.score, strengths: candidate.strengths,
                        coverage: candidate.coverage))
            }
        }
        return chosen
    }

    /// What an introduction introduces: the items, rows or numbered sentences right behind it in the same passage.
    private static func items(after leadIn: SentenceUnit, _ units: [SentenceUnit]) -> [SentenceUnit] {
        var items: [SentenceUnit] = []
        for unit in units where unit.hit == leadIn.hit && unit.ordinal > leadIn.ordinal {
            let isMarked = unit.text.utf8.first.map { $0 >= 0x30 && $0 <= 0x39 || $0 == 0x2D || $0 == 0x2A } ?? false
            guard unit.shape != .prose || isMarked || unit.text.hasSuffix(";") else { break }
            items.append(unit)
        }
        return items
    }

    private static func isRedundant(_ candidate: ScoredUnit, _ chosen: [ScoredUnit]) -> Bool {
        chosen.contains { other in
            // Rows and items are alike by nature.
            guard candidate.unit.shape == .prose || candidate.unit.text == other.unit.text else { return false }
            let common = candidate.unit.terms.intersection(other.unit.terms).count
            let all = candidate.unit.terms.union(other.unit.terms).count
            return Double(common) > overlapMax * Double(all)
        }
    }

    // MARK: Order and identity

    /// Where a sentence is in the corpus; the same in overlapping passages.
    private struct Place: Hashable {
        var revision: String
        var start: UInt64
        var end: UInt64
    }

    private static func place(_ unit: SentenceUnit, _ hits: [Hit]) -> Place {
        let hit = hits[unit.hit]
        return Place(
            revision: hit.revisionID, start: hit.start + UInt64(unit.local.start),
            end: hit.start + UInt64(unit.local.end))
    }

    /// Each sentence once, from the best passage that has it.
    private static func distinct(_ units: [SentenceUnit], _ hits: [Hit]) -> [SentenceUnit] {
        var seen: Set<Place> = []
        return units.filter { seen.insert(place($0, hits)).inserted }
    }

    /// By score in steps of a fiftieth, then by the rank of the revision and the place in it: sentences that answer
    /// equally well keep their document's order.
    private static func ranked(_ scored: [ScoredUnit], _ hits: [Hit]) -> [ScoredUnit] {
        var ranks: [String: Int] = [:]
        for (index, hit) in hits.enumerated() where ranks[hit.revisionID] == nil { ranks[hit.revisionID] = index }
        func key(_ scored: ScoredUnit) -> (Int, Int, UInt64, UInt64) {
            let place = place(scored.unit, hits)
            return (-Int(scored.score * 50), ranks[place.revision] ?? 0, place.start, place.end)
        }
        return scored.sorted { key($0) < key($1) }
    }

    // MARK: The answer

    private static func assemble(
        _ parts: [Part], _ units: [SentenceUnit], _ hits: [Hit], _ unmatchedTerms: [String]
    ) -> ExtractedAnswer {
        var unmatched: [String] = []
        for term in parts.flatMap({ $0.unknown + $0.unsupported }) where !unmatched.contains(term) {
            unmatched.append(term)
        }
        let chosen = parts.flatMap(\.chosen)
        guard !chosen.isEmpty else {
            let nowhere = unmatchedTerms.map { $0.lowercased() }.filter { !unmatched.contains($0) }
            return abstained(whyNot(parts), unmatched + nowhere)
        }
        let sentences = chosen.map { scored in
            ExtractedAnswer.Sentence(
                text: scored.unit.text, score: scored.score, evidence: evidence(scored.unit, units, hits))
        }
        let isComplete = parts.allSatisfy { !$0.chosen.isEmpty && $0.unsupportedShare < unsupportedShareMax }
        let explanation: String
        if isComplete {
            explanation = "The cited sentences speak of everything that was asked."
        } else if parts.contains(where: { $0.chosen.isEmpty }) {
            explanation =
                "Only part of the question is answered by the documents\(listed(" They do not speak of", unmatched))"
        } else {
            explanation = "The cited sentences answer the question in part\(listed(" They do not speak of", unmatched))"
        }
        return ExtractedAnswer(
            outcome: isComplete ? .answered : .partial, sentences: sentences, unmatchedTerms: unmatched,
            explanation: explanation)
    }

    private static func evidence(
        _ unit: SentenceUnit, _ units: [SentenceUnit], _ hits: [Hit]
    ) -> [ExtractedAnswer.Evidence] {
        var evidence = [ExtractedAnswer.Evidence(hit: unit.hit, local: unit.local)]
        var revisions: Set<String> = [hits[unit.hit].revisionID]
        for other in units where evidence.count < evidenceMax && other.text.utf8.elementsEqual(unit.text.utf8) {
            guard revisions.insert(hits[other.hit].revisionID).inserted else { continue }
            evidence.append(ExtractedAnswer.Evidence(hit: other.hit, local: other.local))
        }
        return evidence
    }

    private static func abstained(_ explanation: String, _ unmatched: [String]) -> ExtractedAnswer {
        ExtractedAnswer(outcome: .abstained, sentences: [], unmatchedTerms: unmatched, explanation: explanation)
    }

    private static func whyNot(_ parts: [Part]) -> String {
        let unknown = parts.flatMap(\.unknown)
        if !unknown.isEmpty { return "The documents do not answer the question\(listed(" No passage has", unknown))" }
        let missing = parts.flatMap(\.unsupported)
        guard let coverage = parts.map(\.bestCoverage).max(), coverage > 0 else {
            return "The documents do not answer the question"
                + listed(" No sentence speaks together of", parts.flatMap(\.asked))
        }
        return "The documents do not answer the question: the nearest sentence covers \(Int(coverage * 100)) % of it"
            + listed(" It does not speak of", missing)
    }

    private static func listed(_ introduction: String, _ terms: [String]) -> String {
        terms.isEmpty ? "." : ".\(introduction): \(terms.prefix(8).joined(separator: ", "))."
    }
}
