/// Calls of `WireReader` for the fields of a message.
struct ReadEmitter {
    let types: TypeNames

    /// The body of `read(from:)`.
    func body(_ fields: [Field], oneofs: [Oneof]) -> SourceWriter {
        var writer = SourceWriter()
        writer.block("while let tag = reader.tag()") { writer in
            writer.cases("switch tag") { writer in
                for field in fields {
                    for (tag, statements) in read(field, oneofs) {
                        if statements.count == 1 {
                            writer.line("case \(tag): \(statements[0])")
                        } else {
                            writer.line("case \(tag):")
                            writer.indented { writer in for statement in statements { writer.line(statement) } }
                        }
                    }
                }
                writer.line("default: reader.skip(tag, isKnown: \(isKnown(fields)))")
            }
        }
        return writer
    }

    private func isKnown(_ fields: [Field]) -> String {
        let numbers = fields.map(\.number).sorted()
        guard let first = numbers.first, let last = numbers.last else { return "false" }
        if numbers.count == 1 { return "tag >> 3 == \(first)" }
        let isWhole = Int(last - first) + 1 == numbers.count
        let known = isWhole ? "(\(first)...\(last))" : "[\(numbers.map(String.init).joined(separator: ", "))]"
        return known + ".contains(tag >> 3)"
    }

    /// The tags that a field is sent with, and what is done with each.
    private func read(_ field: Field, _ oneofs: [Oneof]) -> [(tag: Int32, statements: [String])] {
        let name = "self." + Names.lowerCamel(field.name)
        let tag = tag(field)
        if let entry = types.mapEntry(field) { return [(tag, map(entry, name, tag))] }
        if field.isRepeated { return repeated(field, name, tag) }
        if let oneof = field.oneof {
            return [(tag, member(field, "self." + Names.lowerCamel(oneofs[oneof].name)))]
        }
        if field.isMessage { return [(tag, ["reader.message(&\(name))"])] }
        return [(tag, ["\(name) = \(value(field))"])]
    }

    private func repeated(_ field: Field, _ name: String, _ tag: Int32) -> [(tag: Int32, statements: [String])] {
        switch field.kind {
        case .message: return [(tag, ["reader.messages(\(tag), &\(name))"])]
        case .string: return [(tag, ["reader.strings(\(tag), &\(name))"])]
        case .bytes: return [(tag, ["reader.byteStrings(\(tag), &\(name))"])]
        default:
            // Both ways are read, whichever the proto file asks for.
            let number = value(field, of: "$0")
            let least =
                switch field.wireType {
                case .fixed32: 4
                case .fixed64: 8
                default: 1
                }
            return [
                (tag, ["reader.one(&\(name)) { \(number) }"]),
                (
                    field.number << 3 | Field.WireType.length.rawValue,
                    ["reader.packed(&\(name), least: \(least)) { \(number) }"]
                ),
            ]
        }
    }

    private func member(_ field: Field, _ choice: String) -> [String] {
        let branch = "." + Names.lowerCamel(field.name)
        guard field.isMessage else { return ["\(choice) = \(branch)(\(value(field)))"] }
        return [
            "var value = \(types.element(field))()",
            // The same member again is merged; another one is forgotten.
            "if case \(branch)(let sent) = \(choice) { value = sent }",
            "reader.message(&value)",
            "\(choice) = \(branch)(value)",
        ]
    }

    private func map(_ entry: Message, _ name: String, _ tag: Int32) -> [String] {
        let fields = entry.fields.sorted { $0.number < $1.number }
        var writer = SourceWriter()
        writer.line("reader.map(\(tag), &\(name)) { reader in")
        writer.indented { writer in
            for (field, name) in zip(fields, ["key", "value"]) {
                writer.line("var \(name): \(types.element(field)) = \(types.initial(field))")
            }
            writer.block("while let tag = reader.tag()") { writer in
                writer.cases("switch tag") { writer in
                    for (field, name) in zip(fields, ["key", "value"]) {
                        let read = field.isMessage ? "reader.message(&\(name))" : "\(name) = \(value(field))"
                        writer.line("case \(self.tag(field)): \(read)")
                    }
                    writer.line("default: reader.skip(tag, isKnown: \(isKnown(fields)))")
                }
            }
            writer.line("return (key, value)")
        }
        writer.line("}")
        return writer.lines
    }

    private func tag(_ field: Field) -> Int32 { field.number << 3 | field.wireType.rawValue }

    /// One value, from the bits that were written of it.
    private func value(_ field: Field, of reader: String = "reader") -> String {
        let varint = "\(reader).varint()"
        let fixed32 = "\(reader).fixed32()"
        let fixed64 = "\(reader).fixed64()"
        return switch (field.kind, field.coding) {
        case (.string, _): "\(reader).string()"
        case (.bytes, _): "\(reader).bytes()"
        case (.double, _): "Double(bitPattern: \(fixed64))"
        case (.float, _): "Float(bitPattern: \(fixed32))"
        case (.int64, .zigzag): "unzigzag64(\(varint))"
        case (.int64, .fixed): "Int64(bitPattern: \(fixed64))"
        case (.int64, _): "Int64(bitPattern: \(varint))"
        case (.uint64, .fixed): fixed64
        case (.int32, .zigzag): "unzigzag32(\(varint))"
        case (.int32, .fixed): "Int32(bitPattern: \(fixed32))"
        case (.int32, _): "Int32(truncatingIfNeeded: \(varint))"
        case (.uint32, .fixed): fixed32
        case (.uint32, _): "UInt32(truncatingIfNeeded: \(varint))"
        case (.bool, _): "\(varint) != 0"
        case (.enumeration(let name), _): "\(types.swiftName(name))(rawValue: Int32(truncatingIfNeeded: \(varint)))"
        default: varint
        }
    }
}
