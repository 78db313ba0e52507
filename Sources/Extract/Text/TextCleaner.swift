/// Makes text fit to be stored, searched and shown: valid UTF-8, no control characters but tab and line feed, no terminal escape
/// sequences, no soft hyphens, ordinary spaces, no space at the ends of lines.
struct TextCleaner {
    /// Characters seen that change the direction of text. They are kept: whether they deceive is for others to say.
    private(set) var directionControls = 0

    /// - Parameter keepsIndent: code keeps its leading and its no-break spaces.
    mutating func clean(_ bytes: [UInt8], keepsIndent: Bool = false) -> [UInt8] {
        if !UTF8Check.isValid(bytes) {
            return clean(Array(String(decoding: bytes, as: UTF8.self).utf8), keepsIndent: keepsIndent)
        }
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            var index = 0
            while index < bytes.count {
                index = appendNext(of: bytes, at: index, to: &text, keepsIndent: keepsIndent)
            }
        }
        Self.trim(&text, keepsIndent: keepsIndent)
        return text
    }

    /// Takes one character, or one escape sequence, and returns the index behind it.
    private mutating func appendNext(
        of bytes: UnsafeBufferPointer<UInt8>, at index: Int, to text: inout [UInt8], keepsIndent: Bool
    ) -> Int {
        let byte = bytes[index]
        switch byte {
        case 0x20...0x7E, 0x09:
            text.append(byte)
        case 0x0A, 0x0D:
            Self.trimLineEnd(&text)
            text.append(0x0A)
            return byte == 0x0D && index + 1 < bytes.count && bytes[index + 1] == 0x0A ? index + 2 : index + 1
        case 0x1B:
            return Self.endOfEscape(bytes, at: index)
        case 0x0B, 0x0C:
            text.append(0x20)
        case 0x00...0x1F, 0x7F:
            break
        case 0xC2:
            // U+0080–U+009F are controls; U+00A0 is a space; U+00AD asks for a hyphen where a line happens to break.
            let next = bytes[index + 1]
            if next == 0xA0, !keepsIndent {
                text.append(0x20)
            } else if next >= 0xA0, next != 0xAD {
                text.append(byte)
                text.append(next)
            }
            return index + 2
        case 0xE2:
            let pair = (bytes[index + 1], bytes[index + 2])
            if pair.0 == 0x80 && (0xAA...0xAE).contains(pair.1) || pair.0 == 0x81 && (0xA6...0xA9).contains(pair.1) {
                directionControls += 1
            }
            text.append(byte)
        default:
            text.append(byte)
        }
        return index + 1
    }

    /// Behind an ECMA-48 control sequence (ESC [ parameters final) or a lone escape.
    private static func endOfEscape(_ bytes: UnsafeBufferPointer<UInt8>, at escape: Int) -> Int {
        var index = escape + 1
        guard index < bytes.count, bytes[index] == UInt8(ascii: "[") else { return index }
        index += 1
        while index < bytes.count, (0x20...0x3F).contains(bytes[index]) { index += 1 }
        return index < bytes.count && (0x40...0x7E).contains(bytes[index]) ? index + 1 : index
    }

    private static func trimLineEnd(_ text: inout [UInt8]) {
        while let last = text.last, last == 0x20 || last == 0x09 { text.removeLast() }
    }

    private static func trim(_ text: inout [UInt8], keepsIndent: Bool) {
        while let last = text.last, last == 0x20 || last == 0x09 || last == 0x0A { text.removeLast() }
        var start = 0
        var index = 0
        while index < text.count, text[index] == 0x20 || text[index] == 0x09 || text[index] == 0x0A {
            index += 1
            if !keepsIndent || text[index - 1] == 0x0A { start = index }
        }
        if start > 0 { text.removeFirst(start) }
    }

    /// One line for a title or a property: white space collapsed, cut at a character boundary.
    static func line(_ text: String, bytesMax: Int) -> String {
        var cleaner = TextCleaner()
        var line: [UInt8] = []
        var gap = false
        for byte in cleaner.clean(Array(text.utf8)) {
            if byte == 0x20 || byte == 0x09 || byte == 0x0A {
                gap = true
                continue
            }
            if gap, !line.isEmpty { line.append(0x20) }
            gap = false
            line.append(byte)
        }
        let end = line.count <= bytesMax ? line.count : TextSplitter.characterBoundary(line, atMost: bytesMax)
        return String(decoding: line[..<end], as: UTF8.self)
    }
}

/// Strict UTF-8, as the Unicode standard's table 3-7 has it.
enum UTF8Check {
    static func isValid(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { count(in: $0).invalid == 0 } }

    /// Characters of more than one byte, and ill-formed sequences, in `bytes`.
    static func count(in bytes: UnsafeRawBufferPointer) -> (wellFormed: Int, invalid: Int) {
        var wellFormed = 0
        var invalid = 0
        var index = 0
        while index < bytes.count {
            if bytes[index] < 0x80 {
                // Eight ASCII bytes at a time: most of most documents.
                while index + 8 <= bytes.count,
                    bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                {
                    index += 8
                }
                while index < bytes.count, bytes[index] < 0x80 { index += 1 }
                continue
            }
            let length = sequenceLength(bytes, at: index)
            if length > 0 {
                wellFormed += 1
                index += length
            } else {
                invalid += 1
                index += 1
            }
        }
        return (wellFormed, invalid)
    }

    /// The length of the well-formed sequence of two to four bytes at `index`, 0 when there is none.
    private static func sequenceLength(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        let (length, second): (Int, ClosedRange<UInt8>) =
            switch bytes[index] {
            case 0xC2...0xDF: (2, 0x80...0xBF)
            case 0xE0: (3, 0xA0...0xBF)
            case 0xE1...0xEC, 0xEE, 0xEF: (3, 0x80...0xBF)
            case 0xED: (3, 0x80...0x9F)
            case 0xF0: (4, 0x90...0xBF)
            case 0xF1...0xF3: (4, 0x80...0xBF)
            case 0xF4: (4, 0x80...0x8F)
            default: (0, 0...0)
            }
        guard length > 0, index + length <= bytes.count, second.contains(bytes[index + 1]) else { return 0 }
        for offset in 2..<max(length, 2) where bytes[index + offset] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
