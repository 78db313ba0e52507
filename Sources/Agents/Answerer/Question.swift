internal import Core

/// A word of the question that an answer must be about.
struct QuestionTerm: Sendable, Hashable {
    enum Role: Sendable, Hashable {
        /// Names, numbers, identifiers: nothing else can stand for them.
        case exact
        case topic
        /// The verb of `did … VERB`, which documents usually say in another way.
        case verb
        /// Says what kind of answer is wanted.
        case kind
    }

    var term: String
    /// As the question says it.
    var surface: String
    var role: Role
    var position: Int
    /// Terms that may stand for it.
    var equivalents: Set<String>

    /// How much the term counts beside the others, before its rarity.
    var importance: Double {
        switch role {
        case .exact: 1.4
        case .topic: 1
        case .verb: 0.6
        case .kind: 0.25
        }
    }
}

/// One question, analysed. A text of several questions is several of these.
struct Question: Sendable {
    /// Questions in one text; what follows belongs to the last.
    static let partsMax = 4
    /// Terms that are looked at; the rest of a longer question is ignored.
    static let termsMax = 64

    var kind: QuestionKind
    /// Distinct, in the order of the text.
    var terms: [QuestionTerm]
    /// Every term of the text, stop words included: what an answer must go beyond.
    var said: Set<String>

    init(_ text: String) {
        let words = Word.words(of: text)
        kind = QuestionKind(words)
        said = Set(words.map(\.term))
        terms = Self.terms(words, kind)
    }

    /// The questions that a text asks, in order: `What is it and who owns it?` is two.
    static func parts(of text: String) -> [Question] {
        var parts: [Question] = []
        for piece in split(text) {
            var question = Question(piece)
            if let before = parts.last, question.refersBack { question.inherit(from: before) }
            if !question.terms.isEmpty { parts.append(question) }
        }
        return parts
    }

    // MARK: Terms

    private static func terms(_ words: [Word], _ kind: QuestionKind) -> [QuestionTerm] {
        // When little words are written with capitals, capitals say nothing.
        let hasCase = !words.dropFirst().contains { $0.isCapitalised && $0.isStop && $0.surface.utf8.count > 1 }
        let asksWithDo = words.contains { ["do", "does", "did"].contains($0.surface) }
        let topical = words.filter { !$0.isStop }
        let content = topical.isEmpty ? words : topical
        let lastPlain = content.last { !$0.isNumber && !$0.isIdentifier }?.position
        var terms: [QuestionTerm] = []
        var seen: Set<String> = []
        var identifierEnd = 0
        for word in content {
            // Parts of an identifier: the whole says it all.
            if !word.isIdentifier, word.span.end <= identifierEnd { continue }
            if word.isIdentifier { identifierEnd = word.span.end }
            guard seen.insert(word.term).inserted, terms.count < termsMax else { continue }
            let role: QuestionTerm.Role
            if word.isIdentifier || word.isNumber || hasCase && word.isCapitalised && word.position > 0 {
                role = .exact
            } else if QuestionKind.kindNouns.contains(word.surface), content.count > 1 {
                role = .kind
            } else if word.position > 0, QuestionKind.measures.contains(word.surface),
                words.contains(where: { $0.surface == "how" && $0.position == word.position - 1 })
            {
                role = .kind
            } else if kind != .yesNo, QuestionKind.weakVerbs.contains(word.surface), content.count > 1 {
                role = .kind
            } else if asksWithDo, word.position == lastPlain, content.count > 2 {
                role = .verb
            } else {
                role = .topic
            }
            terms.append(
                QuestionTerm(
                    term: word.term, surface: word.surface, role: role, position: word.position,
                    equivalents: role == .exact ? numerals[word.term] ?? [] : Equivalents.of(word.term)))
        }
        if !terms.contains(where: { $0.role != .kind }) {
            for index in terms.indices { terms[index].role = .topic }
        }
        return terms
    }

    private static let numerals: [String: Set<String>] = [
        "1": ["one"], "2": ["two"], "3": ["three"], "4": ["four"], "5": ["five"], "6": ["six"], "7": ["seven"],
        "8": ["eight"], "9": ["nine"], "10": ["ten"], "11": ["eleven"], "12": ["twelv"],
    ]

    // MARK: Several questions in one text

    private static let interrogatives: Set<String> = [
        "who", "whom", "whose", "when", "where", "why", "how", "what", "which",
    ]

    private static func split(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        let words = Word.words(of: text)
        var cuts: [Int] = []
        for (index, byte) in bytes.enumerated() where byte == UInt8(ascii: "?") && index + 1 < bytes.count {
            cuts.append(index + 1)
        }
        for (word, next) in zip(words, words.dropFirst())
        where word.surface == "and" && word.position > 1 && interrogatives.contains(next.surface) {
            cuts.append(next.span.start)
        }
        var pieces: [String] = []
        var start = 0
        for cut in cuts.sorted().prefix(partsMax - 1) where cut > start {
            pieces.append(String(decoding: bytes[start..<cut], as: UTF8.self))
            start = cut
        }
        pieces.append(String(decoding: bytes[start...], as: UTF8.self))
        return pieces
    }

    /// Whether the question leaves its subject to the one before: `and when does it start?`
    private var refersBack: Bool {
        !said.isDisjoint(with: ["it", "they", "them", "this", "that", "these", "those", "he", "she"])
            || terms.allSatisfy { $0.role == .verb || $0.role == .kind }
            || terms.count == 1 && kind != .definition && terms[0].role == .topic
    }

    private mutating func inherit(from before: Question) {
        for term in before.terms where term.role == .exact || term.role == .topic {
            guard !terms.contains(where: { $0.term == term.term }), terms.count < Self.termsMax else { continue }
            terms.append(term)
        }
        said.formUnion(before.said)
    }
}
