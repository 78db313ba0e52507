public import Core

/// Splits a text into sentences, as byte spans without surrounding white space.
///
/// A sentence ends at `. ! ? …` (with closing quotes and brackets) before white space, unless an abbreviation, an initial or a small letter
/// shows that it goes on; at `。！？` always. Blank lines, headings, list items and table rows end one too; any other single line break is a soft
/// wrap. Decimals, versions and identifiers have no white space behind their dots and stay whole.
public struct SentenceSplitter: Sendable {
    public init() {}

    /// The sentences in order. Spans do not overlap, and only white space lies between them.
    public func sentences(of text: String) -> [ByteSpan] {
        var text = text
        return text.withUTF8 { bytes in
            var spans: [ByteSpan] = []
            for block in Self.blocks(of: bytes) { Self.split(block, of: bytes, into: &spans) }
            return spans
        }
    }

    // MARK: Blocks

    /// Ranges of lines that belong together.
    private static func blocks(of text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
        var blocks: [Range<Int>] = []
        var blockStart = 0
        var lineStart = 0
        var previousStandsAlone = false
        while lineStart < text.count {
            var lineEnd = lineStart
            while lineEnd < text.count, !isLineBreak(text[lineEnd]) { lineEnd += 1 }
            let line = trimmed(lineStart..<lineEnd, of: text)
            if line.isEmpty || previousStandsAlone || startsBlock(line, of: text) {
                if blockStart < lineStart { blocks.append(blockStart..<lineStart) }
                blockStart = lineStart
            }
            previousStandsAlone = !line.isEmpty && standsAlone(line, of: text)
            lineStart = lineEnd + 1
        }
        if blockStart < text.count { blocks.append(blockStart..<text.count) }
        return blocks
    }

    /// List items, headings, table rows and quotes begin something new.
    private static func startsBlock(_ line: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> Bool {
        let first = text[line.lowerBound]
        let second = line.count > 1 ? text[line.lowerBound + 1] : 0x20
        switch first {
        case UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "+"): return second == 0x20 || second == 0x09
        case UInt8(ascii: "#"), UInt8(ascii: "|"), UInt8(ascii: ">"): return true
        // Bullets: • ◦ ▪ – —
        case 0xE2: return line.count > 3 && text[line.lowerBound + 3] == 0x20
        default: break
        }
        // `12.`, `3)`, `a)` and white space.
        var index = line.lowerBound
        while index < line.upperBound, isDigit(text[index]), index - line.lowerBound < 4 { index += 1 }
        if index == line.lowerBound, isLetter(text[index]), second == UInt8(ascii: ")") { index += 1 }
        guard index > line.lowerBound, index + 1 < line.upperBound else { return false }
        return (text[index] == UInt8(ascii: ".") || text[index] == UInt8(ascii: ")")) && isSpace(text[index + 1])
    }

    /// Headings and table rows: the next line is not their continuation.
    private static func standsAlone(_ line: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> Bool {
        text[line.lowerBound] == UInt8(ascii: "#") || text[line.lowerBound] == UInt8(ascii: "|")
    }

    // MARK: Sentences of one block

    private static func split(
        _ block: Range<Int>, of text: UnsafeBufferPointer<UInt8>, into spans: inout [ByteSpan]
    ) {
        var start = block.lowerBound
        var index = block.lowerBound
        while index < block.upperBound {
            guard let end = terminatorEnd(at: index, in: block, of: text) else {
                index += 1
                continue
            }
            if endsSentence(terminator: index, end: end, start: start, in: block, of: text) {
                append(start..<end, of: text, to: &spans)
                start = end
            }
            index = end
        }
        append(start..<block.upperBound, of: text, to: &spans)
    }

    private static func append(
        _ range: Range<Int>, of text: UnsafeBufferPointer<UInt8>, to spans: inout [ByteSpan]
    ) {
        let sentence = trimmed(range, of: text)
        if !sentence.isEmpty { spans.append(ByteSpan(start: sentence.lowerBound, end: sentence.upperBound)) }
    }

    /// The offset behind a run of terminators and closing marks that starts at `index`; nil when none starts there.
    private static func terminatorEnd(
        at index: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        var end = index
        while let length = terminatorLength(at: end, in: block, of: text) { end += length }
        guard end > index else { return nil }
        while let length = closerLength(at: end, in: block, of: text) { end += length }
        return end
    }

    private static func terminatorLength(
        at index: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        guard index < block.upperBound else { return nil }
        switch text[index] {
        case UInt8(ascii: "."), UInt8(ascii: "!"), UInt8(ascii: "?"): return 1
        default:
            return isWideTerminator(at: index, in: block, of: text) || has("…", at: index, in: block, of: text)
                ? 3 : nil
        }
    }

    private static func isWideTerminator(
        at index: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        has("。", at: index, in: block, of: text) || has("！", at: index, in: block, of: text)
            || has("？", at: index, in: block, of: text)
    }

    private static func closerLength(
        at index: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        guard index < block.upperBound else { return nil }
        switch text[index] {
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: ")"), UInt8(ascii: "]"): return 1
        default:
            return has("”", at: index, in: block, of: text) || has("’", at: index, in: block, of: text)
                || has("」", at: index, in: block, of: text) ? 3 : nil
        }
    }

    private static func has(
        _ mark: StaticString, at index: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        let count = mark.utf8CodeUnitCount
        guard index + count <= block.upperBound else { return false }
        for offset in 0..<count where text[index + offset] != mark.utf8Start[offset] { return false }
        return true
    }

    private static func endsSentence(
        terminator: Int, end: Int, start: Int, in block: Range<Int>, of text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        if isWideTerminator(at: terminator, in: block, of: text) { return true }
        guard end < block.upperBound else { return true }
        guard isSpace(text[end]) else { return false }
        var next = end
        while next < block.upperBound, isSpace(text[next]) { next += 1 }
        guard next < block.upperBound else { return true }
        // Going on in small letters: `e.g. this`, `"Why?" he asked`.
        if text[next] >= 0x61, text[next] <= 0x7A { return false }
        guard text[terminator] == UInt8(ascii: "."), end == terminator + 1 else { return true }
        return !isAbbreviation(endingAt: terminator, start: start, beforeDigit: isDigit(text[next]), of: text)
    }

    /// Whether the word before the dot at `end` is an abbreviation, an initial or a list number.
    private static func isAbbreviation(
        endingAt end: Int, start: Int, beforeDigit: Bool, of text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        var wordStart = end
        while wordStart > start, !isSpace(text[wordStart - 1]), !isOpening(text[wordStart - 1]) { wordStart -= 1 }
        let word = UnsafeBufferPointer(rebasing: text[wordStart..<end])
        guard let first = word.first else { return false }
        // A person's initial; but `plan B.` ends a sentence only when the word before it is small, which is rarer.
        if word.count == 1, first >= 0x41, first <= 0x5A { return first != UInt8(ascii: "I") }
        // The number of a list item or a clause at the very start.
        if wordStart == start || trimmed(start..<wordStart, of: text).isEmpty, word.allSatisfy(isDigit) { return true }
        let folded = String(decoding: word, as: UTF8.self).lowercased()
        if beforeDigit, numbered.contains(folded) { return true }
        return abbreviations.contains(folded)
    }

    /// Abbreviations that stand before names or go on within a sentence.
    private static let abbreviations: Set<String> = [
        "mr", "mrs", "ms", "dr", "prof", "st", "rev", "gen", "col", "capt", "lt", "sgt", "hon", "sr", "jr", "messrs",
        "vs", "v", "cf", "e.g", "i.e", "eg", "ie", "viz", "approx", "ca", "resp", "incl", "esp", "al", "ed", "eds",
        "dept", "univ", "assn", "bros", "gov", "sen", "rep", "pres", "mt", "ft", "u.s", "u.k", "u.n", "a.k.a", "n.b",
    ]

    /// Abbreviations before a number: `Fig. 3`, `No. 7`, `Jan. 5`.
    private static let numbered: Set<String> = [
        "fig", "figs", "no", "nos", "eq", "eqs", "sec", "ch", "chap", "p", "pp", "par", "art", "tab", "vol", "ver",
        "rev", "app", "item", "req", "ref", "refs", "cl", "min", "max", "ca", "approx", "jan", "feb", "mar", "apr",
        "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    ]

    // MARK: Bytes

    private static func isLineBreak(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0C || byte == 0x0D }
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte >= 0x09 && byte <= 0x0D }
    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
    private static func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A }
    private static func isOpening(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "(") || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "\"")
    }

    private static func trimmed(_ range: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> Range<Int> {
        var range = range
        while let first = range.first, isSpace(text[first]) { range = first + 1..<range.upperBound }
        while let last = range.last, isSpace(text[last]) { range = range.lowerBound..<last }
        return range
    }
}
