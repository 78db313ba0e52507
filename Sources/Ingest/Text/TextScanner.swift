internal import Core

/// A stretch of text that is never cut: a word, or a piece of a run too long to be one (languages written without spaces, URLs, base64).
struct TextAtom: Equatable {
    var start: Int
    var end: Int
    /// Estimated tokens of the embedding model, never fewer than it would make of ordinary text.
    var tokens: Int
}

/// How much a range of text holds once the white space around it is left out.
struct TextMeasure: Equatable {
    var start = 0
    var end = 0
    /// Atoms, which are words wherever words have spaces between them.
    var words = 0
    var tokens = 0

    var isBlank: Bool { words == 0 }
    var span: ByteSpan { ByteSpan(start: start, end: end) }
}

/// Finds the words of UTF-8 text and estimates their tokens.
///
/// There is no tokeniser here yet, so tokens are estimated for a WordPiece vocabulary of English, on the safe side for the languages it was not made
/// for: one for every three letters begun, one for every two digits begun, one for every other character.
enum TextScanner {
    /// Bytes of an atom; a longer run without white space is cut here, between characters.
    static let atomBytesMax = 48

    static func measure(_ text: [UInt8], _ range: Range<Int>) -> TextMeasure {
        var measure = TextMeasure(start: range.lowerBound, end: range.lowerBound)
        forEachAtom(text, range) { atom in
            if measure.words == 0 { measure.start = atom.start }
            measure.end = atom.end
            measure.words += 1
            measure.tokens += atom.tokens
        }
        return measure
    }

    static func atoms(_ text: [UInt8], _ range: Range<Int>) -> [TextAtom] {
        var atoms: [TextAtom] = []
        forEachAtom(text, range) { atoms.append($0) }
        return atoms
    }

    /// Whether a range holds nothing but white space.
    static func isBlank(_ text: [UInt8], _ range: Range<Int>) -> Bool {
        text.withUnsafeBufferPointer { bytes in
            var index = range.lowerBound
            while index < range.upperBound {
                let character = scalar(bytes, at: index, limit: range.upperBound)
                guard isWhiteSpace(character.value) else { return false }
                index += character.length
            }
            return true
        }
    }

    /// What a letter, a digit or anything else adds to the estimate: runs share tokens, symbols do not.
    private enum Run {
        case none, letters(Int), digits(Int)
    }

    @inline(__always)
    private static func forEachAtom(_ text: [UInt8], _ range: Range<Int>, _ body: (TextAtom) -> Void) {
        text.withUnsafeBufferPointer { bytes in
            var index = range.lowerBound
            var atom = TextAtom(start: index, end: index, tokens: 0)
            var run = Run.none
            func flush() {
                if atom.end > atom.start { body(atom) }
                run = .none
            }
            while index < range.upperBound {
                let character = scalar(bytes, at: index, limit: range.upperBound)
                let next = index + character.length
                if isWhiteSpace(character.value) {
                    flush()
                    atom = TextAtom(start: next, end: next, tokens: 0)
                } else {
                    if next - atom.start > atomBytesMax {
                        flush()
                        atom = TextAtom(start: index, end: index, tokens: 0)
                    }
                    atom.tokens += cost(of: character.value, &run)
                    atom.end = next
                }
                index = next
            }
            flush()
        }
    }

    @inline(__always)
    private static func cost(of character: UInt32, _ run: inout Run) -> Int {
        switch character {
        case 0x41...0x5A, 0x61...0x7A, 0xC0...0x24F:
            if case .letters(let count) = run {
                run = .letters(count + 1)
                return count % 3 == 0 ? 1 : 0
            }
            run = .letters(1)
            return 1
        case 0x30...0x39:
            if case .digits(let count) = run {
                run = .digits(count + 1)
                return count % 2 == 0 ? 1 : 0
            }
            run = .digits(1)
            return 1
        default:
            run = .none
            return 1
        }
    }

    /// The character at `index` and its length in bytes. The text is valid UTF-8; should it not be, this still moves forward and stays inside.
    @inline(__always)
    private static func scalar(
        _ bytes: UnsafeBufferPointer<UInt8>, at index: Int, limit: Int
    ) -> (value: UInt32, length: Int) {
        let first = UInt32(bytes[index])
        if first < 0x80 { return (first, 1) }
        let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
        guard length > 1, index + length <= limit else { return (first, 1) }
        var value = first & (0x7F >> UInt32(length))
        for offset in 1..<length { value = value << 6 | UInt32(bytes[index + offset]) & 0x3F }
        return (value, length)
    }

    /// Unicode's White_Space property.
    @inline(__always)
    static func isWhiteSpace(_ character: UInt32) -> Bool {
        switch character {
        case 0x20, 0x09...0x0D: true
        case 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }
}
