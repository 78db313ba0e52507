/// Calls of `WireWriter` for the fields of a message.
struct WriteEmitter {
    let types: TypeNames

    func write(_ field: Field, of message: Message) -> SourceWriter {
        var writer = SourceWriter()
        let name = "self." + Names.lowerCamel(field.name)
        let number = field.number
        if let entry = types.mapEntry(field) {
            writer.line("writer.map(\(number), \(name), by: \(precedes(entry.fields[0]))) { writer, key, value in")
            writer.indented { writer in
                // A pair is a message of two fields; the value has the higher number.
                writer.line(single(entry.fields[1], "value", isAlways: entry.fields[1].isMessage))
                writer.line(single(entry.fields[0], "key", isAlways: false))
            }
            writer.line("}")
        } else if field.isRepeated {
            writer.append(repeated(field, name))
        } else if let oneof = field.oneof {
            let choice = "self." + Names.lowerCamel(message.oneofs[oneof].name)
            writer.block("if case .\(Names.lowerCamel(field.name))(let value) = \(choice)") { writer in
                writer.line(single(field, "value", isAlways: true))
            }
        } else if field.isMessage {
            writer.line("if let value = \(name) { \(single(field, "value", isAlways: true)) }")
        } else {
            writer.line(single(field, name, isAlways: false))
        }
        return writer
    }

    private func repeated(_ field: Field, _ name: String) -> SourceWriter {
        var writer = SourceWriter()
        func each() {
            writer.closure("writer.each(\(name))", "writer, value in " + single(field, "value", isAlways: true))
        }
        switch field.kind {
        case .message: writer.line("writer.messages(\(field.number), \(name))")
        case .string, .bytes: each()
        default:
            guard field.isPacked else {
                each()
                break
            }
            let value = "$0.put(\(field.wireType): \(number(field, "$1")))"
            writer.closure("writer.packed(\(field.number), \(name))", value)
        }
        return writer
    }

    /// Writes one value; with `isAlways` also when it is the default.
    private func single(_ field: Field, _ value: String, isAlways: Bool) -> String {
        let rest = isAlways ? ", always: true)" : ")"
        return switch field.kind {
        case .message: "writer.message(\(field.number), \(value))"
        case .string: "writer.string(\(field.number), \(value)\(rest)"
        case .bytes: "writer.bytes(\(field.number), \(value)\(rest)"
        default: "writer.\(field.wireType)(\(field.number), \(number(field, value))\(rest)"
        }
    }

    /// The bits that are written of a number.
    private func number(_ field: Field, _ value: String) -> String {
        switch (field.kind, field.coding) {
        case (.double, _), (.float, _): "\(value).bitPattern"
        case (_, .zigzag): "zigzag(\(value))"
        case (.int64, _): "UInt64(bitPattern: \(value))"
        case (.int32, .fixed): "UInt32(bitPattern: \(value))"
        // Negative ones take ten bytes.
        case (.int32, _): "UInt64(bitPattern: Int64(\(value)))"
        case (.enumeration, _): "UInt64(bitPattern: Int64(\(value).rawValue))"
        case (.uint32, .varint): "UInt64(\(value))"
        case (.bool, _): "\(value) ? 1 : 0"
        default: value
        }
    }

    /// Whether key `$0` is written before `$1`.
    private func precedes(_ key: Field) -> String {
        switch key.kind {
        case .string: "textPrecedes"
        case .bool: "{ !$0 && $1 }"
        default: "<"
        }
    }
}
