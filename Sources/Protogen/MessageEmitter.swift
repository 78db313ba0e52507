/// Swift structs and enums for messages: what other modules see.
struct MessageEmitter {
    let types: TypeNames

    func files(_ file: ProtoFile) -> [OutputFile] {
        let pieces = file.enums.map { enumeration($0) } + file.messages.map { message($0) }
        return OutputFile.split(
            stem: Outputs.swift + Names.fileStem(file) + ".messages",
            header: ["// \(SourceWriter.banner) From \(file.name)."], pieces: pieces)
    }

    func message(_ message: Message) -> SourceWriter {
        var writer = SourceWriter()
        let members = types.members(message)
        writer.documentation(message.origin.comment)
        writer.block("public struct \(types.declaredName(message)): Sendable, Hashable") { writer in
            for member in members {
                writer.documentation(member.comment)
                writer.line("public var \(Names.declared(member.name)): \(member.type)")
            }
            if let first = members.first {
                writer.line()
                // Not as initial values of the properties: the initialiser below would set all of them twice and copy the whole.
                writer.line("public init() { self.init(\(first.name): \(first.initial)) }")
                writer.line()
                writer.list(
                    "public init(", members.map { "\(Names.declared($0.name)): \($0.type) = \($0.initial)" }, ") {")
                writer.indented { writer in
                    for member in members { writer.line("self.\(member.name) = \(Names.declared(member.name))") }
                }
                writer.line("}")
            } else {
                writer.line("public init() {}")
            }
            for index in message.oneofs.indices {
                writer.line()
                writer.append(oneof(message, index))
            }
            for nested in message.enums {
                writer.line()
                writer.append(enumeration(nested))
            }
            for nested in message.messages where !nested.isMapEntry {
                writer.line()
                writer.append(self.message(nested))
            }
        }
        return writer
    }

    private func oneof(_ message: Message, _ index: Int) -> SourceWriter {
        var writer = SourceWriter()
        writer.documentation(message.oneofs[index].origin.comment)
        writer.block("public enum \(Names.upperCamel(message.oneofs[index].name)): Sendable, Hashable") { writer in
            for field in message.fields where field.oneof == index {
                writer.documentation(field.origin.comment)
                writer.line("case \(Names.declared(Names.lowerCamel(field.name)))(\(types.element(field)))")
            }
        }
        return writer
    }

    func enumeration(_ enumeration: Enumeration) -> SourceWriter {
        var writer = SourceWriter()
        let values = enumeration.distinctValues.map { (value: $0, name: Names.enumCase($0.name, of: enumeration.name)) }
        writer.documentation(enumeration.origin.comment)
        writer.block("public enum \(types.declaredName(enumeration)): RawRepresentable, Sendable, Hashable") { writer in
            for (value, name) in values {
                writer.documentation(value.origin.comment)
                writer.line("case \(Names.declared(name))")
            }
            writer.line("/// A value of a newer version of the proto file.")
            writer.line("case unrecognized(Int32)")
            writer.line()
            writer.line("/// The value of a field that was not sent.")
            // proto3: the first value is the one with number 0.
            writer.line("public static var `default`: Self { .\(values.first?.name ?? "") }")
            writer.line()
            writer.line("/// Every value of the proto file, in its order.")
            writer.list("public static let knownCases: [Self] = [", values.map { ".\($0.name)" }, "]")
            writer.line()
            writer.block("public init(rawValue: Int32)") { writer in
                writer.cases("self = switch rawValue") { writer in
                    for (value, name) in values { writer.line("case \(value.number): .\(name)") }
                    writer.line("default: .unrecognized(rawValue)")
                }
            }
            writer.line()
            writer.block("public var rawValue: Int32") { writer in
                writer.cases("switch self") { writer in
                    for (value, name) in values { writer.line("case .\(name): \(value.number)") }
                    writer.line("case .unrecognized(let value): value")
                }
            }
            writer.line()
            writer.line("/// The name in the proto file; the number where it has none.")
            writer.block("public var protoName: String") { writer in
                writer.cases("switch self") { writer in
                    for (value, name) in values { writer.line("case .\(name): \"\(value.name)\"") }
                    writer.line("case .unrecognized(let value): String(value)")
                }
            }
        }
        return writer
    }
}
