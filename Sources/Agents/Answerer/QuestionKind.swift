/// What sort of thing a question asks for; decides what a sentence must contain to be its answer.
enum QuestionKind: Sendable, Hashable {
    case person
    case time
    case duration
    case quantity
    case place
    case reason
    case manner
    /// What a name or term means.
    case definition
    case yesNo
    /// Anything else: what, which.
    case thing

    /// Words that name the kind of answer rather than what the question is about: `which year`, `how many people`.
    static let kindNouns: Set<String> = [
        "year", "date", "day", "month", "time", "name", "type", "kind", "sort", "number", "amount", "percentage",
        "percent", "person", "people", "reason", "purpose", "way", "length", "term", "word", "thing", "things", "place",
        "mean", "means", "meaning", "definition", "define", "called", "tell", "describe", "explain", "happen",
        "happened", "happens", "total", "role", "value", "different", "main", "current", "currently", "period",
        "duration",
    ]

    /// Words that behind `how` ask for a measure, not for a topic.
    static let measures: Set<String> = [
        "long", "often", "soon", "fast", "quickly", "frequently", "large", "big", "high", "tall", "far", "deep", "wide",
        "heavy", "old", "many", "much",
    ]

    /// Verbs that questions add without asking about them.
    static let weakVerbs: Set<String> = [
        "allowed", "permitted", "possible", "planned", "provided", "supported", "needed", "required", "expected",
        "involved", "considered", "based", "located",
    ]

    private static let timeNouns: Set<String> = [
        "year", "date", "day", "month", "time", "deadline", "century", "decade",
    ]
    private static let quantityNouns: Set<String> = ["percentage", "percent", "number", "amount", "proportion"]
    private static let prepositions: Set<String> = [
        "of", "for", "in", "on", "at", "by", "with", "from", "to", "under", "after", "before", "between", "during",
        "when", "that", "which", "per", "than", "and", "or", "if", "used", "about", "against",
    ]
    private static let auxiliaries: Set<String> = [
        "is", "are", "was", "were", "do", "does", "did", "can", "could", "may", "must", "should", "will", "would",
        "has", "have", "had", "shall",
    ]

    /// The kind by the question's first interrogative.
    init(_ words: [Word]) {
        let plain = words.filter { !$0.isIdentifier }.map(\.surface)
        self = .thing
        if let first = plain.first, Self.auxiliaries.contains(first) {
            self = .yesNo
            return
        }
        if plain.first == "define" {
            self = .definition
            return
        }
        for (index, word) in plain.enumerated() {
            let next = index + 1 < plain.count ? plain[index + 1] : ""
            switch word {
            case "who", "whom", "whose", "who's": self = .person
            case "when", "when's": self = .time
            case "where", "where's": self = .place
            case "why": self = .reason
            case "how": self = Self.how(next)
            case "what", "which", "what's": self = Self.what(next, Array(plain[(index + 1)...]))
            default: continue
            }
            return
        }
    }

    private static func how(_ next: String) -> QuestionKind {
        switch next {
        case "many", "much", "large", "big", "high", "tall", "far", "deep", "wide", "heavy", "old", "fast": .quantity
        case "long", "often", "soon", "frequently", "quickly": .duration
        default: .manner
        }
    }

    private static func what(_ next: String, _ rest: [String]) -> QuestionKind {
        if timeNouns.contains(next) { return .time }
        if quantityNouns.contains(next) { return .quantity }
        if rest.prefix(4).contains("period") || rest.prefix(4).contains("duration") { return .duration }
        if rest.count > 2, auxiliaries.contains(next), rest[1] == "the" {
            if rest[2] == "date" || rest[2] == "deadline" { return .time }
            if quantityNouns.contains(rest[2]) { return .quantity }
            if rest[2] == "reason" { return .reason }
        }
        if rest.last == "mean" || rest.last == "means" || rest.contains("definition") { return .definition }
        let asksForMeaning =
            ["is", "are", "was", "were"].contains(next) && (2...5).contains(rest.count) && rest[1] != "the"
            && !rest.dropFirst().contains(where: prepositions.contains)
        return asksForMeaning ? .definition : .thing
    }

    /// What a score is multiplied by when a sentence shows no sign of this kind of answer.
    var factorWithoutCue: Double {
        switch self {
        case .quantity, .time, .duration, .place: 0.6
        case .person: 0.75
        case .reason, .definition: 0.85
        case .manner, .yesNo, .thing: 1
        }
    }

    /// One short answer is wanted, not every sentence on the matter.
    var isFactoid: Bool {
        switch self {
        case .person, .time, .duration, .quantity, .place: true
        case .reason, .manner, .definition, .yesNo, .thing: false
        }
    }
}
