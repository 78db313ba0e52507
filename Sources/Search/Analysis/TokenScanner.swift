/// A token while it is being scanned; `term` is valid during the callback only.
struct RawToken {
    let term: UnsafeBufferPointer<UInt8>
    /// Byte offsets in the text.
    let start: Int
    let end: Int
    let position: Int
    let kind: Token.Kind
    let isStop: Bool
}

/// The tokenizer: one per thread of work, used for any number of texts.
struct TokenScanner: ~Copyable {
    /// Parts and bytes after which a run is cut into two, so that a megabyte without spaces stays cheap.
    private static let partsMax = 64
    private static let runBytesMax = 1024

    /// A piece of a run between connectors or changes of case.
    private struct Part {
        var bufferStart: Int
        var bufferEnd: Int
        var start: Int
        var end: Int
    }

    /// What was met in a run; decides whether the whole is a term.
    private struct Traits {
        var hasDigit = false
        var hasDot = false
        var hasUnderscore = false
        var hasHyphen = false
        var hasInnerCapital = false
        var isUpper = true
    }

    private let stemmer = Stemmer()
    /// Folded bytes of the run being scanned, connectors included.
    private var run: [UInt8] = []
    private var parts: [Part] = []
    private var traits = Traits()

    init() {
        run.reserveCapacity(Self.runBytesMax)
        parts.reserveCapacity(Self.partsMax)
    }

    /// Calls `emit` for every token; positions count from `firstPosition`. Returns the position after the last one.
    mutating func scan(
        _ text: UnsafeBufferPointer<UInt8>, firstPosition: Int = 0, _ emit: (RawToken) throws -> Void
    ) rethrows -> Int {
        var index = 0
        var position = firstPosition
        while index < text.count {
            let character = ScannedCharacter.at(index, of: text)
            if character.kind.isWord {
                index = scanRun(from: index, of: text)
                try emitRun(endingAt: index, of: text, position: &position, emit)
            } else if character.kind == .ideograph {
                index = try scanIdeographs(from: index, of: text, position: &position, emit)
            } else {
                index += character.length
            }
        }
        return position
    }

    // MARK: Runs of letters and digits

    /// Collects one run into `run`, `parts` and `traits`; returns the offset behind it.
    private mutating func scanRun(from first: Int, of text: UnsafeBufferPointer<UInt8>) -> Int {
        run.removeAll(keepingCapacity: true)
        parts.removeAll(keepingCapacity: true)
        traits = Traits()
        var part = Part(bufferStart: 0, bufferEnd: 0, start: first, end: first)
        var index = first
        var previous = CharacterKind.other
        var beforePrevious = CharacterKind.other
        while index < text.count, run.count < Self.runBytesMax, parts.count < Self.partsMax {
            let character = ScannedCharacter.at(index, of: text)
            let next = index + character.length
            switch character.kind {
            case .lower, .upper, .digit, .letter:
                if character.kind == .upper, previous == .lower {
                    close(&part, bufferEnd: run.count, end: index)
                    traits.hasInnerCapital = true
                } else if character.kind == .lower, previous == .upper, beforePrevious == .upper,
                    text[index - 1] < 0x80, ScannedCharacter.at(next, of: text).kind == .lower
                {
                    // The last capital belongs to the word that follows: HTTP|Request. `URLs` has one small letter and stays whole.
                    close(&part, bufferEnd: run.count - 1, end: index - 1)
                    traits.hasInnerCapital = true
                }
                if character.kind == .digit { traits.hasDigit = true }
                if character.kind != .upper { traits.isUpper = false }
                character.appendFolded(to: &run)
                beforePrevious = previous
                previous = character.kind
            case .mark:
                run.append(contentsOf: text[index..<next])
            case .ignorable:
                break
            case .apostrophe:
                guard previous.isLetter, ScannedCharacter.at(next, of: text).kind.isLetter else {
                    return finish(&part, at: index)
                }
                run.append(UInt8(ascii: "'"))
            case .hyphen, .dot, .underscore:
                guard ScannedCharacter.at(next, of: text).kind.isWord else { return finish(&part, at: index) }
                part.bufferEnd = run.count
                part.end = index
                parts.append(part)
                appendConnector(character.kind)
                part = Part(bufferStart: run.count, bufferEnd: run.count, start: next, end: next)
                beforePrevious = .other
                previous = .other
            case .other, .ideograph:
                return finish(&part, at: index)
            }
            index = next
        }
        return finish(&part, at: index)
    }

    /// Ends a part at a change of case; the next one starts right there.
    private mutating func close(_ part: inout Part, bufferEnd: Int, end: Int) {
        guard bufferEnd > part.bufferStart else { return }
        parts.append(Part(bufferStart: part.bufferStart, bufferEnd: bufferEnd, start: part.start, end: end))
        part = Part(bufferStart: bufferEnd, bufferEnd: bufferEnd, start: end, end: end)
    }

    private mutating func finish(_ part: inout Part, at index: Int) -> Int {
        if run.count > part.bufferStart {
            part.bufferEnd = run.count
            part.end = index
            parts.append(part)
        }
        return index
    }

    private mutating func appendConnector(_ kind: CharacterKind) {
        switch kind {
        case .dot:
            traits.hasDot = true
            run.append(UInt8(ascii: "."))
        case .underscore:
            traits.hasUnderscore = true
            run.append(UInt8(ascii: "_"))
        default:
            traits.hasHyphen = true
            run.append(UInt8(ascii: "-"))
        }
    }

    // MARK: Emitting

    private mutating func emitRun(
        endingAt end: Int, of text: UnsafeBufferPointer<UInt8>, position: inout Int, _ emit: (RawToken) throws -> Void
    ) rethrows {
        guard let first = parts.first, let last = parts.last else { return }
        if parts.count > 1, isDottedAcronym {
            // U.S. and US are one term.
            run.removeAll { $0 == UInt8(ascii: ".") }
            try emitWord(0..<run.count, start: first.start, end: last.end, position: position, emit)
            position += 1
            return
        }
        let hasConnector = traits.hasDot || traits.hasUnderscore || traits.hasHyphen
        if parts.count > 1, traits.hasDigit || traits.hasDot || traits.hasUnderscore || traits.hasInnerCapital {
            try emitWhole(
                0..<run.count, stemmed: !hasConnector && !traits.hasDigit, start: first.start, end: last.end,
                position: position, emit)
            if traits.hasDot, run.count > 2, run[0] == UInt8(ascii: "v"), run[1] >= 0x30, run[1] <= 0x39 {
                // v1.2.3 is also found as 1.2.3.
                try emitWhole(
                    1..<run.count, stemmed: false, start: first.start + 1, end: last.end, position: position, emit)
            }
        } else if parts.count == 1, run.count == 1, let suffix = languageSuffix(at: end, of: text) {
            run.append(contentsOf: text[end..<end + suffix])
            try emitWhole(
                0..<run.count, stemmed: false, start: first.start, end: end + suffix, position: position, emit)
        }
        for part in parts {
            try emitWord(
                part.bufferStart..<part.bufferEnd, start: part.start, end: part.end, position: position, emit)
            position += 1
        }
    }

    /// Single letters between dots only.
    private var isDottedAcronym: Bool {
        traits.hasDot && !traits.hasHyphen && !traits.hasUnderscore && !traits.hasDigit
            && parts.allSatisfy { $0.bufferEnd - $0.bufferStart == 1 }
    }

    /// The length of `++` or `#` behind a one-letter name: C++, C#, F#.
    private func languageSuffix(at end: Int, of text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard end < text.count, !traits.hasDigit else { return nil }
        if text[end] == UInt8(ascii: "#") { return ScannedCharacter.at(end + 1, of: text).kind.isWord ? nil : 1 }
        return text[end] == UInt8(ascii: "+") && end + 1 < text.count && text[end + 1] == UInt8(ascii: "+") ? 2 : nil
    }

    private borrowing func emitWhole(
        _ range: Range<Int>, stemmed: Bool, start: Int, end: Int, position: Int, _ emit: (RawToken) throws -> Void
    ) rethrows {
        try run.withUnsafeBufferPointer { run in
            let whole = UnsafeBufferPointer(rebasing: run[range])
            func send(_ term: UnsafeBufferPointer<UInt8>) throws {
                try emit(
                    RawToken(
                        term: Self.cut(term), start: start, end: end, position: position, kind: .identifier,
                        isStop: false))
            }
            if stemmed, Self.isPlain(whole) { try stemmer.withStem(of: whole, send) } else { try send(whole) }
        }
    }

    private borrowing func emitWord(
        _ range: Range<Int>, start: Int, end: Int, position: Int, _ emit: (RawToken) throws -> Void
    ) rethrows {
        try run.withUnsafeBufferPointer { run in
            let word = UnsafeBufferPointer(rebasing: run[range])
            let isStop = StopWords.contains(word) && !(traits.isUpper && StopWords.isAcronym(word))
            func send(_ term: UnsafeBufferPointer<UInt8>) throws {
                try emit(
                    RawToken(
                        term: Self.cut(term), start: start, end: end, position: position, kind: .word, isStop: isStop))
            }
            if Self.isPlain(word) { try stemmer.withStem(of: word, send) } else { try send(word) }
        }
    }

    /// ASCII letters and apostrophes only: what the stemmer is made for.
    @inline(__always)
    private static func isPlain(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
        for byte in word where !(byte >= 0x61 && byte <= 0x7A || byte == UInt8(ascii: "'")) { return false }
        return word.count <= Analyzer.termBytesMax
    }

    /// At most `termBytesMax` bytes, cut between characters.
    @inline(__always)
    private static func cut(_ term: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        guard term.count > Analyzer.termBytesMax else { return term }
        var end = Analyzer.termBytesMax
        while end > 0, term[end] & 0xC0 == 0x80 { end -= 1 }
        return UnsafeBufferPointer(rebasing: term[..<end])
    }

    // MARK: Ideographs

    private mutating func scanIdeographs(
        from first: Int, of text: UnsafeBufferPointer<UInt8>, position: inout Int, _ emit: (RawToken) throws -> Void
    ) rethrows -> Int {
        func send(_ start: Int, _ end: Int, _ kind: Token.Kind) throws {
            try emit(
                RawToken(
                    term: UnsafeBufferPointer(rebasing: text[start..<end]), start: start, end: end, position: position,
                    kind: kind, isStop: false))
        }
        var start = first
        var current = ScannedCharacter.at(start, of: text)
        var isAlone = true
        while current.kind == .ideograph {
            let middle = start + current.length
            let next = ScannedCharacter.at(middle, of: text)
            if next.kind == .ideograph {
                try send(start, middle + next.length, .word)
                isAlone = false
            }
            try send(start, middle, isAlone ? .word : .unigram)
            position += 1
            start = middle
            current = next
        }
        return start
    }
}
