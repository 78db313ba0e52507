extension JSONValue {
    /// The value as YAML 1.2 in block style. Whatever could be read as something else stands in double quotes, as in JSON.
    func yaml() -> String {
        var text = ""
        writeYAML(to: &text, indent: 0)
        return text
    }

    private func writeYAML(to text: inout String, indent: Int) {
        let margin = String(repeating: " ", count: indent)
        switch self {
        case .array(let values) where !values.isEmpty:
            for value in values {
                text += margin + "-"
                value.writeYAMLItem(to: &text, indent: indent)
            }
        case .object(let members) where !members.isEmpty:
            for member in members { member.writeYAML(to: &text, margin: margin, indent: indent) }
        default: text += margin + yamlScalar + "\n"
        }
    }

    /// After a dash: objects begin on the same line.
    private func writeYAMLItem(to text: inout String, indent: Int) {
        guard isYAMLBlock else { return text += " \(yamlScalar)\n" }
        var block = ""
        writeYAML(to: &block, indent: indent + 2)
        if case .array = self { return text += "\n" + block }
        text += " " + block.dropFirst(indent + 2)
    }

    fileprivate var isYAMLBlock: Bool {
        switch self {
        case .array(let values): !values.isEmpty
        case .object(let members): !members.isEmpty
        default: false
        }
    }

    fileprivate var yamlScalar: String {
        guard case .string(let string) = self, Self.isPlain(string) else { return json(indent: nil) }
        return string
    }

    /// Letters first, then only characters that mean nothing to YAML, and none of its words.
    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first, (0x41...0x5A).contains(first) || (0x61...0x7A).contains(first),
            text.utf8.last != 0x20
        else { return false }
        let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        return !words.contains(text.lowercased())
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x20, 0x2D, 0x2E, 0x2F, 0x5F: true
                default: false
                }
            }
    }

    fileprivate func writeMemberYAML(to text: inout String, indent: Int) {
        if isYAMLBlock {
            text += "\n"
            writeYAML(to: &text, indent: indent + 2)
        } else {
            text += " \(yamlScalar)\n"
        }
    }
}

extension JSONValue.Member {
    fileprivate func writeYAML(to text: inout String, margin: String, indent: Int) {
        text += margin + JSONValue.string(name).yamlScalar + ":"
        value.writeMemberYAML(to: &text, indent: indent)
    }
}
