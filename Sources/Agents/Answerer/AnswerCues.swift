/// Signs in a sentence that it holds a certain kind of answer: a person, a date, a number, a reason.
struct AnswerCues: Sendable {
    private let words: [Word]
    private let surfaces: Set<String>
    private let hasMoney: Bool
    private let hasPercent: Bool

    init(_ text: String, _ words: [Word]) {
        self.words = words
        surfaces = Set(words.map(\.surface))
        hasMoney = text.utf8.contains(UInt8(ascii: "$")) || text.contains("€") || text.contains("£")
        hasPercent = text.utf8.contains(UInt8(ascii: "%"))
    }

    /// Whether the sentence can hold an answer of `kind` that the question (its terms) does not say already.
    func has(_ kind: QuestionKind, beyond question: Set<String>) -> Bool {
        switch kind {
        case .person: hasPerson(beyond: question)
        case .time: hasDate(beyond: question) || hasRelativeTime
        case .duration:
            hasNumber(beyond: question) && !surfaces.isDisjoint(with: Self.timeUnits)
                || !surfaces.isDisjoint(with: Self.frequencies)
        case .quantity: hasNumber(beyond: question) || hasMoney || hasPercent
        case .place: hasPlace(beyond: question)
        case .reason: !surfaces.isDisjoint(with: Self.reasons)
        case .manner, .yesNo, .thing, .definition: true
        }
    }

    /// Whether the sentence says what the subject is: the subject comes early and a defining word follows it.
    func defines(_ subject: Set<String>) -> Bool {
        guard let last = words.lastIndex(where: { subject.contains($0.term) && $0.position < 8 }) else { return false }
        guard let first = words.firstIndex(where: { subject.contains($0.term) }), words[first].position < 5 else {
            return false
        }
        return words[(first + 1)...].prefix(max(6, last - first + 5)).contains { Self.defining.contains($0.surface) }
    }

    private func hasNumber(beyond question: Set<String>) -> Bool {
        words.contains { word in
            guard !question.contains(word.term) else { return false }
            return word.surface.utf8.contains { $0 >= 0x30 && $0 <= 0x39 } || Self.numberWords.contains(word.surface)
        }
    }

    private func hasDate(beyond question: Set<String>) -> Bool {
        words.contains { word in
            guard !question.contains(word.term) else { return false }
            if Self.months.contains(word.surface) || Self.weekdays.contains(word.surface) { return true }
            // `may` is a month only with a capital.
            if word.surface == "may" { return word.isCapitalised && word.position > 0 }
            if word.isNumber { return word.surface.utf8.count == 4 }
            return word.surface.utf8.contains { $0 >= 0x30 && $0 <= 0x39 }
        }
    }

    /// `within 14 days`, `every night`: a unit of time soon after a word that places it.
    private var hasRelativeTime: Bool {
        words.indices.contains { index in
            Self.timePrepositions.contains(words[index].surface)
                && words[(index + 1)...].prefix(4).contains { Self.timeUnits.contains($0.surface) }
        }
    }

    private func hasPerson(beyond question: Set<String>) -> Bool {
        if !surfaces.isDisjoint(with: Self.roles) { return true }
        return words.contains { word in
            word.isCapitalised && !word.isIdentifier && !question.contains(word.term)
                && (word.position > 0 || !word.isStop) && !Self.months.contains(word.surface)
        }
    }

    private func hasPlace(beyond question: Set<String>) -> Bool {
        for (word, next) in zip(words, words.dropFirst()) where Self.placePrepositions.contains(word.surface) {
            if !question.contains(next.term), !next.isNumber, !Self.months.contains(next.surface) { return true }
        }
        return false
    }

    static let months: Set<String> = [
        "january", "february", "march", "april", "june", "july", "august", "september", "october", "november",
        "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    ]
    private static let weekdays: Set<String> = [
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow", "yesterday",
    ]
    private static let timeUnits: Set<String> = [
        "year", "years", "month", "months", "week", "weeks", "day", "days", "hour", "hours", "minute", "minutes",
        "second", "seconds", "millisecond", "milliseconds", "ms", "decades",
        "quarter", "q1", "q2", "q3", "q4", "century", "decade", "daily", "weekly", "monthly", "night", "nightly",
        "midnight", "noon", "morning", "evening", "spring", "summer", "autumn", "winter",
    ]
    private static let timePrepositions: Set<String> = [
        "within", "after", "before", "every", "until", "by", "once", "at", "in", "during", "per", "next", "last",
        "each",
        "since", "from",
    ]
    private static let frequencies: Set<String> = [
        "daily", "weekly", "monthly", "yearly", "annually", "quarterly", "hourly", "nightly", "every", "forever",
        "indefinitely", "permanently", "always", "never", "immediately",
    ]
    private static let numberWords: Set<String> = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "twenty", "thirty", "forty", "fifty", "hundred", "thousand", "million", "billion", "dozen", "half", "both",
        "none", "once", "twice", "double", "third", "quarter",
    ]
    private static let roles: Set<String> = [
        "manager", "team", "lead", "officer", "owner", "director", "department", "engineer", "analyst", "architect",
        "administrator", "administrators", "committee", "board", "group", "user", "users", "customer", "supplier",
        "president", "king", "queen", "company", "he", "she", "they", "people", "everyone", "nobody",
    ]
    private static let reasons: Set<String> = [
        "because", "since", "so", "therefore", "thus", "due", "reason", "reasons", "avoid", "prevent", "ensure",
        "cause", "caused", "causes", "result", "order", "purpose", "hence", "allow", "allows", "reduce", "as", "to",
        "for",
    ]
    private static let placePrepositions: Set<String> = [
        "in", "at", "on", "near", "from", "to", "under", "inside", "within", "between", "through", "along", "into",
        "of",
    ]
    private static let defining: Set<String> = [
        "is", "are", "was", "were", "means", "mean", "refers", "refer", "denotes", "stands", "describes", "defined",
        "called", "known", "consists",
    ]
}
