/// What a scalar means to the tokenizer.
enum CharacterKind: UInt8 {
    /// Ends a word.
    case other
    case lower
    case upper
    case digit
    /// A letter outside ASCII; its case does not make word parts.
    case letter
    /// A combining mark that is part of the spelling (Indic vowels and the like).
    case mark
    /// Inside a word and not part of its term: soft hyphen, joiners, dropped accents.
    case ignorable
    /// Written without spaces between words: Han, kana, Hangul.
    case ideograph
    case hyphen
    case dot
    case underscore
    case apostrophe

    var isWord: Bool {
        switch self {
        case .lower, .upper, .digit, .letter: true
        default: false
        }
    }

    var isLetter: Bool { isWord && self != .digit }
}

/// One scalar of a text: its kind, its length and its value.
struct ScannedCharacter {
    var kind: CharacterKind
    /// UTF-8 bytes.
    var length: Int
    var scalar: UInt32
}

extension ScannedCharacter {
    private static let asciiKinds: [CharacterKind] = (0..<128).map { byte in
        switch UInt8(byte) {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): .lower
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): .upper
        case UInt8(ascii: "0")...UInt8(ascii: "9"): .digit
        case UInt8(ascii: "-"): .hyphen
        case UInt8(ascii: "."): .dot
        case UInt8(ascii: "_"): .underscore
        case UInt8(ascii: "'"): .apostrophe
        default: .other
        }
    }

    /// The character at `index`; kind `other` with length 1 beyond the end and for malformed UTF-8.
    @inline(__always)
    static func at(_ index: Int, of text: UnsafeBufferPointer<UInt8>) -> ScannedCharacter {
        guard index < text.count else { return ScannedCharacter(kind: .other, length: 1, scalar: 0) }
        let byte = text[index]
        if byte < 0x80 {
            return ScannedCharacter(kind: asciiKinds[Int(byte)], length: 1, scalar: UInt32(byte))
        }
        return multibyte(index, of: text)
    }

    private static func multibyte(_ index: Int, of text: UnsafeBufferPointer<UInt8>) -> ScannedCharacter {
        let byte = text[index]
        let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
        guard byte >= 0xC2, index + length <= text.count else {
            return ScannedCharacter(kind: .other, length: 1, scalar: 0xFFFD)
        }
        var value = UInt32(byte) & (0x7F >> UInt32(length))
        for offset in 1..<length {
            let next = text[index + offset]
            guard next & 0xC0 == 0x80 else { return ScannedCharacter(kind: .other, length: 1, scalar: 0xFFFD) }
            value = value << 6 | UInt32(next & 0x3F)
        }
        return ScannedCharacter(kind: kind(ofScalar: value), length: length, scalar: value)
    }

    private static func kind(ofScalar value: UInt32) -> CharacterKind {
        switch value {
        case 0xAD, 0x200C, 0x200D, 0x2060, 0xFE00...0xFE0F: return .ignorable
        case 0x2010, 0x2011: return .hyphen
        case 0x2019, 0x02BC: return .apostrophe
        case 0x3041...0x309F, 0x30A1...0x30FF, 0x31F0...0x31FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7AF,
            0xF900...0xFAFF, 0xFF66...0xFF9F, 0x20000...0x3FFFF:
            return .ideograph
        case 0xFF10...0xFF19: return .digit
        case 0xFF21...0xFF3A, 0xFF41...0xFF5A: return .letter
        // Superscript and subscript digits: m² is found as m2.
        case 0xB2, 0xB3, 0xB9, 0x2070, 0x2074...0x2079, 0x2080...0x2089: return .digit
        default: break
        }
        if Folding.isDroppedMark(value) { return .ignorable }
        if let packed = Folding.lookup(value) { return packed == 0 ? .other : .letter }
        guard let scalar = Unicode.Scalar(value) else { return .other }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .letterNumber:
            return .letter
        case .decimalNumber: return .digit
        case .nonspacingMark, .spacingMark, .enclosingMark: return .mark
        default: return .other
        }
    }

    /// Appends the character's folded form: lower case, without accents, digits of any script as ASCII.
    @inline(__always)
    func appendFolded(to bytes: inout [UInt8]) {
        if scalar < 0x80 {
            bytes.append(kind == .upper ? UInt8(truncatingIfNeeded: scalar) | 0x20 : UInt8(truncatingIfNeeded: scalar))
        } else {
            appendFoldedSlow(to: &bytes)
        }
    }

    private func appendFoldedSlow(to bytes: inout [UInt8]) {
        if let packed = Folding.lookup(scalar), packed != 0 { return Folding.append(packed, to: &bytes) }
        switch scalar {
        case 0xFF10...0xFF19, 0xFF41...0xFF5A: return bytes.append(UInt8(truncatingIfNeeded: scalar - 0xFEE0))
        case 0xFF21...0xFF3A: return bytes.append(UInt8(truncatingIfNeeded: scalar - 0xFEE0) | 0x20)
        // Cyrillic yo: spelled without its dots as often as with them.
        case 0x0401, 0x0451: return bytes.append(contentsOf: "е".utf8)
        default: break
        }
        guard let unicode = Unicode.Scalar(scalar) else { return }
        if kind == .digit, let value = unicode.properties.numericValue, value >= 0, value < 10 {
            bytes.append(UInt8(ascii: "0") + UInt8(value))
        } else {
            bytes.append(contentsOf: unicode.properties.lowercaseMapping.utf8)
        }
    }
}
