internal import Core
internal import RPC

/// A JSON value with the order of its names kept, for results that are more or less than one message.
indirect enum JSONValue: Hashable, Sendable {
    struct Member: Hashable, Sendable {
        var name: String
        var value: JSONValue

        init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    case null
    case bool(Bool)
    /// As it was written.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    static func integer(_ number: some BinaryInteger) -> JSONValue { .number(String(number)) }

    static func fields(_ members: (String, JSONValue)...) -> JSONValue {
        .object(members.map { Member($0.0, $0.1) })
    }

    /// The JSON form of a message, fields at their default included: readers find every name every time.
    init(_ message: some WireMessage) throws {
        self = try JSONParser.parse(
            Array(MessageJSON.encode(message, options: .init(printsDefaults: true)).utf8))
    }

    subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// - Parameter indent: spaces per level; nil for one line.
    func json(indent: Int?) -> String {
        var text = ""
        write(to: &text, indent: indent, level: 0)
        return text
    }

    private func write(to text: inout String, indent: Int?, level: Int) {
        func newLine(_ level: Int) {
            if let indent { text += "\n" + String(repeating: " ", count: indent * level) }
        }
        switch self {
        case .null: text += "null"
        case .bool(let flag): text += flag ? "true" : "false"
        case .number(let number): text += number
        case .string(let string): Self.quote(string, to: &text)
        case .array(let values):
            if values.isEmpty { return text += "[]" }
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                newLine(level + 1)
                value.write(to: &text, indent: indent, level: level + 1)
            }
            newLine(level)
            text += "]"
        case .object(let members):
            if members.isEmpty { return text += "{}" }
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                newLine(level + 1)
                Self.quote(member.name, to: &text)
                text += indent == nil ? ":" : ": "
                member.value.write(to: &text, indent: indent, level: level + 1)
            }
            newLine(level)
            text += "}"
        }
    }

    /// Also what YAML takes between double quotes.
    static func quote(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where Terminal.isHarmful(scalar) || scalar.value == 0x2028 || scalar.value == 0x2029:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
