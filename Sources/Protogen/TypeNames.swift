/// Names and defaults of the Swift types of a schema.
struct TypeNames {
    /// A stored property of a message struct.
    struct Member {
        var name: String
        var type: String
        var initial: String
        var comment: String
    }

    private let swiftNames: [String: String]
    private let messages: [String: Message]

    init(_ schema: Schema) {
        var swiftNames: [String: String] = [:]
        var messages: [String: Message] = [:]
        for message in schema.messages {
            swiftNames[message.fullName] = Names.type(message.fullName, package: message.package)
            messages[message.fullName] = message
        }
        for enumeration in schema.enums {
            swiftNames[enumeration.fullName] = Names.type(enumeration.fullName, package: enumeration.package)
        }
        self.swiftNames = swiftNames
        self.messages = messages
    }

    /// `Drop.Reason` for `acp.v1.Drop.Reason`.
    func swiftName(_ fullName: String) -> String { swiftNames[fullName] ?? fullName }
    func message(_ fullName: String) -> Message? { messages[fullName] }

    /// The name at the declaration: a nested type's last component.
    func declaredName(_ message: Message) -> String { last(swiftName(message.fullName)) }
    func declaredName(_ enumeration: Enumeration) -> String { last(swiftName(enumeration.fullName)) }
    private func last(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }

    /// The entry message when `field` is a map.
    func mapEntry(_ field: Field) -> Message? {
        guard case .message(let name) = field.kind, let message = messages[name], message.isMapEntry else { return nil }
        return message
    }

    /// The Swift type of one value of a field.
    func element(_ field: Field) -> String {
        switch field.kind {
        case .double: "Double"
        case .float: "Float"
        case .int64: "Int64"
        case .uint64: "UInt64"
        case .int32: "Int32"
        case .uint32: "UInt32"
        case .bool: "Bool"
        case .string: "String"
        case .bytes: "[UInt8]"
        case .message(let name), .enumeration(let name): swiftName(name)
        case .unsupported(let what): what
        }
    }

    /// Stored properties in the order of the proto file; a oneof stands where its first field does.
    func members(_ message: Message) -> [Member] {
        var seen: Set<Int> = []
        return message.fields.compactMap { field in
            if let index = field.oneof {
                guard seen.insert(index).inserted else { return nil }
                let oneof = message.oneofs[index]
                return Member(
                    name: Names.lowerCamel(oneof.name), type: Names.upperCamel(oneof.name) + "?", initial: "nil",
                    comment: oneof.origin.comment)
            }
            let (type, initial) = self.type(field)
            return Member(
                name: Names.lowerCamel(field.name), type: type, initial: initial, comment: field.origin.comment)
        }
    }

    private func type(_ field: Field) -> (type: String, initial: String) {
        if let entry = mapEntry(field) { return ("[\(element(entry.fields[0])): \(element(entry.fields[1]))]", "[:]") }
        let element = element(field)
        if field.isRepeated { return ("[\(element)]", "[]") }
        if field.isMessage { return (element + "?", "nil") }
        return (element, initial(field))
    }

    /// One value of a field that was not sent, as Swift needs it for a property or variable whose type is told.
    func initial(_ field: Field) -> String {
        switch field.kind {
        case .string: "\"\""
        case .bytes: "[]"
        case .bool: "false"
        case .enumeration: ".default"
        case .message(let name): swiftName(name) + "()"
        default: "0"
        }
    }
}
