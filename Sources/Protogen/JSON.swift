/// A JSON value whose objects keep the order in which they were written.
enum JSON: Hashable, Sendable {
    struct Pair: Hashable {
        var key: String
        var value: JSON
    }

    case string(String)
    case integer(Int64)
    case bool(Bool)
    case array([JSON])
    case object([Pair])

    /// Indented by two spaces, with a line break at the end.
    var pretty: String {
        var text = ""
        write(to: &text, indentation: "")
        return text + "\n"
    }

    private func write(to text: inout String, indentation: String) {
        let inner = indentation + "  "
        switch self {
        case .string(let value): text += JSON.quoted(value)
        case .integer(let value): text += String(value)
        case .bool(let value): text += value ? "true" : "false"
        case .array(let values):
            if values.isEmpty { text += "[]"; return }
            text += "[\n"
            for (index, value) in values.enumerated() {
                text += inner
                value.write(to: &text, indentation: inner)
                text += index + 1 < values.count ? ",\n" : "\n"
            }
            text += indentation + "]"
        case .object(let pairs):
            if pairs.isEmpty { text += "{}"; return }
            text += "{\n"
            for (index, pair) in pairs.enumerated() {
                text += inner + JSON.quoted(pair.key) + ": "
                pair.value.write(to: &text, indentation: inner)
                text += index + 1 < pairs.count ? ",\n" : "\n"
            }
            text += indentation + "}"
        }
    }

    private static func quoted(_ value: String) -> String {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral
{
    init(stringLiteral value: String) { self = .string(value) }
    init(arrayLiteral elements: JSON...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Pair(key: $0.0, value: $0.1) })
    }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }

    /// This object with one more member; without change for an empty text or list.
    func adding(_ key: String, _ value: JSON) -> JSON {
        guard case .object(let pairs) = self, value != "", value != [] else { return self }
        return .object(pairs + [Pair(key: key, value: value)])
    }
}
