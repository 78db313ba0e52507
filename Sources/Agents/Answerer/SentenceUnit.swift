internal import Core
internal import RPC
internal import Search

/// A sentence, list item or table row of a retrieved passage: what an answer is made of.
struct SentenceUnit: Sendable {
    enum Shape: Sendable, Hashable {
        case prose
        /// Words without a sentence's end: an item of a list, or a line such as `Owner: Anna Schmidt`.
        case item
        /// A line of a table.
        case row
    }

    /// Which hit it was found in.
    var hit: Int
    /// Bytes within the hit's text.
    var local: ByteSpan
    var text: String
    var shape: Shape
    var words: [Word]
    var terms: Set<String>
    /// Terms of the sentence before it in the same passage.
    var termsBefore: Set<String>
    /// Terms of the header of its table.
    var headerTerms: Set<String>
    /// Introduces what follows it: ends with a colon.
    var isLeadIn: Bool
    /// Place among the units of its hit.
    var ordinal: Int

    /// Whether it takes its subject from the sentence before: `It is stored for ten years.`
    var isAnaphoric: Bool {
        guard let first = words.first?.surface else { return false }
        return Self.anaphors.contains(first)
    }

    private static let anaphors: Set<String> = [
        "it", "its", "they", "their", "this", "that", "these", "those", "he", "she", "his", "her", "both", "such",
        "there", "each", "all",
    ]
}

/// Takes the citable units out of a passage. Headings and torn sentences are left out.
struct UnitExtractor {
    /// Longer units are no sentences but text without punctuation; quoting them is no answer. In bytes.
    static let unitBytesMax = 1200
    /// Words that a line without a sentence's end must have to stand alone.
    private static let itemWordsMin = 2

    private let hit: Hit
    private let index: Int
    private let bytes: [UInt8]
    private let headings: Set<String>
    private var units: [SentenceUnit] = []
    private var before: Set<String> = []
    private var header: Set<String> = []

    static func units(of hit: Hit, index: Int) -> [SentenceUnit] {
        var extractor = UnitExtractor(hit, index)
        extractor.extract()
        return extractor.units
    }

    private init(_ hit: Hit, _ index: Int) {
        self.hit = hit
        self.index = index
        bytes = Array(hit.text.utf8)
        headings = Set((hit.headingPath + [hit.title]).map(Self.folded))
    }

    private static func folded(_ text: String) -> String {
        var text = Substring(text)
        while let first = text.first, first == "#" || first.isWhitespace { text = text.dropFirst() }
        while let last = text.last, last == ":" || last == "#" || last.isWhitespace { text = text.dropLast() }
        return text.lowercased()
    }

    /// Tables are taken line by line, the rest by sentences.
    private mutating func extract() {
        var proseStart = 0
        var lineStart = 0
        var inTable = false
        while lineStart < bytes.count {
            let lineEnd = bytes[lineStart...].firstIndex(of: 0x0A) ?? bytes.count
            if isRow(lineStart..<lineEnd) {
                prose(proseStart..<lineStart)
                row(lineStart..<lineEnd, isFirst: !inTable)
                inTable = true
                proseStart = lineEnd
            } else if lineEnd > lineStart {
                inTable = false
            }
            lineStart = lineEnd + 1
        }
        prose(proseStart..<bytes.count)
    }

    /// Cells are joined by ` | `.
    private func isRow(_ line: Range<Int>) -> Bool {
        var index = line.lowerBound
        while let bar = bytes[index..<line.upperBound].firstIndex(of: UInt8(ascii: "|")) {
            if bar > line.lowerBound, bytes[bar - 1] == 0x20 || bar == line.lowerBound { return true }
            index = bar + 1
        }
        return line.count > 1 && bytes[line.lowerBound] == UInt8(ascii: "|")
    }

    private mutating func row(_ line: Range<Int>, isFirst: Bool) {
        let span = trimmed(line)
        let text = String(decoding: bytes[span], as: UTF8.self)
        // `|---|---|` draws a line under a header.
        guard bytes[span].contains(where: { $0 >= 0x80 || isAlphanumeric($0) }) else { return }
        let words = Word.words(of: text)
        let terms = Set(words.map(\.term))
        if isFirst {
            // The header of a table that was split is the last of the heading path instead.
            let isContinued = hit.start > 0 && span.lowerBound == 0 && hit.headingPath.last?.contains(" | ") == true
            header = Set(Word.words(of: hit.headingPath.last ?? "").map(\.term))
            if !isContinued {
                header = terms
                return
            }
        }
        append(span, text, .row, words, header: header)
    }

    private mutating func prose(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let text = String(decoding: bytes[range], as: UTF8.self)
        for sentence in SentenceSplitter().sentences(of: text) {
            let span = range.lowerBound + sentence.start..<range.lowerBound + sentence.end
            sentenceFound(span)
        }
    }

    private mutating func sentenceFound(_ span: Range<Int>) {
        let text = String(decoding: bytes[span], as: UTF8.self)
        let words = Word.words(of: text)
        if headings.contains(Self.folded(text)) || bytes[span].first == UInt8(ascii: "#") {
            before = []
            return
        }
        defer { before = Set(words.map(\.term)) }
        // A passage may begin within a sentence; the one before it overlaps and has it whole.
        let isTorn = span.lowerBound == 0 && hit.start > 0 && bytes[span].first.map { $0 >= 0x61 && $0 <= 0x7A } == true
        guard !isTorn, words.contains(where: { !$0.isStop }), span.count <= Self.unitBytesMax else { return }
        guard let last = bytes[span].last else { return }
        if last == UInt8(ascii: "?") { return }
        if endsSentence(span) || last == UInt8(ascii: ":") || last == UInt8(ascii: ";") {
            append(span, text, .prose, words, header: [])
        } else if words.count >= Self.itemWordsMin {
            append(span, text, .item, words, header: [])
        }
    }

    private mutating func append(
        _ span: Range<Int>, _ text: String, _ shape: SentenceUnit.Shape, _ words: [Word], header: Set<String>
    ) {
        guard span.count <= Self.unitBytesMax else { return }
        units.append(
            SentenceUnit(
                hit: index, local: ByteSpan(start: span.lowerBound, end: span.upperBound), text: text, shape: shape,
                words: words, terms: Set(words.map(\.term)), termsBefore: before, headerTerms: header,
                isLeadIn: bytes[span].last == UInt8(ascii: ":"), ordinal: units.count))
    }

    /// A full stop, exclamation mark or their kin, perhaps before closing quotes or brackets.
    private func endsSentence(_ span: Range<Int>) -> Bool {
        var tail = String(decoding: bytes[span.suffix(12)], as: UTF8.self)
        while let last = tail.last, "\"')]”’»」".contains(last) { tail.removeLast() }
        return tail.last.map { ".!…。！".contains($0) } ?? false
    }

    private func trimmed(_ range: Range<Int>) -> Range<Int> {
        var range = range
        while let first = range.first, isSpace(bytes[first]) { range = first + 1..<range.upperBound }
        while let last = range.last, isSpace(bytes[last]) { range = range.lowerBound..<last }
        return range
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte >= 0x09 && byte <= 0x0D }
    private func isAlphanumeric(_ byte: UInt8) -> Bool {
        byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A
    }
}
