import Core
import Foundation
import Search

/// What the index must do, written down as directly as possible: every query looks at every chunk.
struct ReferenceModel {
    var documents: [UUIDv7: [IndexedChunk]] = [:]

    struct Scored {
        var chunk: IndexedChunk
        var ordinal: Int
        var score: Double
    }

    /// A chunk's tokens with their weights and the positions phrases see.
    private struct Analyzed {
        var chunk: IndexedChunk
        var ordinal: Int
        var frequency: [String: Double] = [:]
        var positions: [String: Set<Int>] = [:]
        var length = 0.0
    }

    mutating func apply(_ changes: [IndexChange]) {
        for change in changes {
            switch change {
            case .publish(let id, let chunks): documents[id] = chunks.isEmpty ? nil : chunks
            case .retract(let id): documents[id] = nil
            }
        }
    }

    private func analyze(_ chunk: IndexedChunk, _ ordinal: Int) -> Analyzed {
        var analyzed = Analyzed(chunk: chunk, ordinal: ordinal)
        var base = 0
        let headings = chunk.headingPath.map { ($0, 1.5) }
        for (text, weight) in [(chunk.title, 3.0)] + headings + [(chunk.text, 1.0)] {
            for token in Analyzer().tokens(of: text) {
                analyzed.frequency[token.term, default: 0] += weight
                analyzed.positions[token.term, default: []].insert(base + token.position)
                if token.kind == .word, !token.isStop { analyzed.length += weight }
            }
            base += 1_000_000
        }
        return analyzed
    }

    /// - Parameters:
    ///   - words: positive words, as one text.
    ///   - phrases: required, and part of `words` too.
    func search(
        words: String, phrases: [String] = [], excluded: [String] = [], query: LexicalQuery
    ) -> (hits: [Scored], candidates: Int, coverage: Double) {
        let all = documents.values.flatMap { $0.enumerated().map { analyze($0.element, $0.offset) } }
        let average = all.isEmpty ? 1 : max(all.reduce(0) { $0 + $1.length } / Double(all.count), 1e-9)
        let tokens = Analyzer().tokens(of: words).filter { $0.kind != .unigram }
        let chosen = tokens.contains { !$0.isStop } ? tokens.filter { !$0.isStop } : tokens
        var terms: [String] = []
        for token in chosen where !terms.contains(token.term) { terms.append(token.term) }
        var attainable = 0.0
        var idf: [String: Double] = [:]
        for term in terms {
            let frequency = Double(all.count { $0.frequency[term] != nil })
            idf[term] = log(1 + (Double(all.count) - frequency + 0.5) / (frequency + 0.5))
            attainable += (idf[term] ?? 0) * 2.5
        }
        var scored: [Scored] = []
        for analyzed in all where isAllowed(analyzed.chunk, query) {
            guard phrases.allSatisfy({ holds($0, analyzed) }), !excluded.contains(where: { holds($0, analyzed) }) else {
                continue
            }
            let norm = 1.5 * (1 - 0.75 + 0.75 * analyzed.length / average)
            let score = terms.reduce(0.0) { sum, term in
                let frequency = analyzed.frequency[term] ?? 0
                return sum + (idf[term] ?? 0) * 2.5 * frequency / (frequency + norm)
            }
            if score > 0 { scored.append(Scored(chunk: analyzed.chunk, ordinal: analyzed.ordinal, score: score)) }
        }
        scored.sort {
            // Sums of the same terms in another order differ in the last bits.
            if abs($0.score - $1.score) > 1e-9 { return $0.score > $1.score }
            return ($0.chunk.documentID, $0.ordinal) < ($1.chunk.documentID, $1.ordinal)
        }
        var perDocument: [UUIDv7: Int] = [:]
        let diverse = scored.filter { hit in
            perDocument[hit.chunk.documentID, default: 0] += 1
            return perDocument[hit.chunk.documentID, default: 0] <= query.perDocumentMax
        }
        let coverage = attainable > 0 ? (scored.first?.score ?? 0) / attainable : 0
        return (Array(diverse.prefix(query.limit)), scored.count, coverage)
    }

    private func isAllowed(_ chunk: IndexedChunk, _ query: LexicalQuery) -> Bool {
        (query.collections?.contains(chunk.collectionID) ?? true)
            && (query.documents?.contains(chunk.documentID) ?? true)
            && query.metadata.allSatisfy { chunk.metadata[$0.key] == $0.value }
    }

    private func holds(_ phrase: String, _ analyzed: Analyzed) -> Bool {
        let tokens = Analyzer().tokens(of: phrase).filter { $0.kind != .unigram }
        guard let first = tokens.first else { return true }
        return (analyzed.positions[first.term] ?? []).contains { start in
            tokens.allSatisfy { token in
                analyzed.positions[token.term]?.contains(start + token.position - first.position) ?? false
            }
        }
    }
}
