/// A value as it stands in the configuration file: the scalars of TOML that settings need.
enum TOMLLiteral: Hashable {
    case string(String)
    case integer(Int)
    case boolean(Bool)

    struct SyntaxError: Error {
        var message: String
    }

    /// Reads one literal from the start of `text`; returns it and what follows.
    static func read(_ text: Substring) throws(SyntaxError) -> (TOMLLiteral, rest: Substring) {
        switch text.first {
        case "\""?: return try readBasicString(text)
        case "'"?:
            let body = text.dropFirst()
            guard let end = body.firstIndex(of: "'") else {
                throw SyntaxError(message: "the text has no closing '")
            }
            return (.string(String(body[..<end])), body[body.index(after: end)...])
        default:
            let word = text.prefix { !$0.isWhitespace && $0 != "#" }
            let rest = text[word.endIndex...]
            if let flag = Bool(String(word)) { return (.boolean(flag), rest) }
            if let number = Int(word.filter { $0 != "_" }), word.first != "_", word.last != "_" {
                return (.integer(number), rest)
            }
            throw SyntaxError(
                message: word.isEmpty ? "there is no value after =" : "text must stand in double quotes: \"\(word)\"")
        }
    }

    private static func readBasicString(_ text: Substring) throws(SyntaxError) -> (TOMLLiteral, rest: Substring) {
        var value = ""
        var cursor = text.index(after: text.startIndex)
        while cursor < text.endIndex {
            let character = text[cursor]
            cursor = text.index(after: cursor)
            switch character {
            case "\"": return (.string(value), text[cursor...])
            case "\\":
                guard cursor < text.endIndex else { break }
                let escape = text[cursor]
                cursor = text.index(after: cursor)
                switch escape {
                case "\"", "\\": value.append(escape)
                case "n": value.append("\n")
                case "t": value.append("\t")
                case "r": value.append("\r")
                case "u", "U":
                    let digits = text[cursor...].prefix(escape == "u" ? 4 : 8)
                    guard digits.count == (escape == "u" ? 4 : 8), let scalar = UInt32(digits, radix: 16),
                        let unicode = Unicode.Scalar(scalar)
                    else { throw SyntaxError(message: "\\\(escape)\(digits) is not a Unicode character") }
                    value.unicodeScalars.append(unicode)
                    cursor = digits.endIndex
                default:
                    throw SyntaxError(message: "\\\(escape) is not known; accepted: \\\" \\\\ \\n \\t \\r \\u0000")
                }
            default: value.append(character)
            }
        }
        throw SyntaxError(message: "the text has no closing \"")
    }

    /// `text` as a basic string.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            case "\r": quoted += "\\r"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
