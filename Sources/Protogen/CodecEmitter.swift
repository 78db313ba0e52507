/// Conversions of the Swift structs: from protobuf-c's, and to the wire format.
struct CodecEmitter {
    let types: TypeNames

    func files(_ file: ProtoFile) -> [OutputFile] {
        OutputFile.split(
            stem: Outputs.swift + Names.fileStem(file) + ".codec",
            header: [
                "// \(SourceWriter.banner) From \(file.name).",
                "internal import CACPProtos",
                "internal import CProtobufC",
                "public import NIOCore",
            ],
            pieces: file.messages.flatMap(\.withNested).filter { !$0.isMapEntry }.map { message($0) })
    }

    private func message(_ message: Message) -> SourceWriter {
        var writer = SourceWriter()
        let name = types.swiftName(message.fullName)
        let c = Names.cType(message.fullName)
        writer.block("extension \(name): WireMessage, CConvertible") { writer in
            writer.line("public static var typeName: String { \"\(message.fullName)\" }")
            writer.line()
            writer.block(
                "public static func decode(_ bytes: UnsafeRawBufferPointer, limits: DecodeLimits) throws -> Self"
            ) { writer in
                writer.line("try unpack(bytes, \(Names.cDescriptor(message.fullName))(), limits)")
            }
            writer.line()
            writer.line("public func encode(into buffer: inout ByteBuffer) { pack(into: &buffer) }")
            writer.line()
            writer.block("init(c: UnsafePointer<\(c)>)") { writer in
                for field in message.fields where field.oneof == nil { writer.append(decode(field)) }
                for index in message.oneofs.indices { writer.append(decodeOneof(message, index)) }
            }
            writer.line()
            writer.block("package func write(to writer: inout WireWriter)") { writer in
                for field in message.fields.sorted(by: { $0.number > $1.number }) {
                    writer.append(WriteEmitter(types: types).write(field, of: message))
                }
            }
        }
        return writer
    }

    private func decode(_ field: Field) -> SourceWriter {
        var writer = SourceWriter()
        let name = "self." + Names.lowerCamel(field.name)
        let member = Names.cField(field.name)
        let c = "c.pointee.\(member)"
        let list = "\(c), c.pointee.n_\(member)"
        if let entry = types.mapEntry(field) {
            writer.closure(
                "\(name) = swiftMap(\(list))",
                "(\(value(entry.fields[0], "$0.pointee.key")), \(mapValue(entry.fields[1], "$0.pointee.value")))")
        } else if field.isRepeated {
            switch field.kind {
            case .message: writer.line("\(name) = swiftMessages(\(list))")
            default: writer.closure("\(name) = swiftArray(\(list))", value(field, "$0"))
            }
        } else {
            writer.line("\(name) = \(value(field, c))")
        }
        return writer
    }

    /// One value from its C member.
    private func value(_ field: Field, _ c: String) -> String {
        switch field.kind {
        case .string: "swiftString(\(c))"
        case .bytes: "swiftBytes(\(c))"
        case .bool: "\(c) != 0"
        case .message: "swiftMessage(\(c))"
        case .enumeration(let name): "\(types.swiftName(name))(rawValue: Int32(truncatingIfNeeded: \(c).rawValue))"
        default: c
        }
    }

    /// The value of a map's pair. A message that was not sent is an empty one.
    private func mapValue(_ field: Field, _ c: String) -> String {
        guard case .message(let name) = field.kind else { return value(field, c) }
        return "swiftMessage(\(c)) ?? \(types.swiftName(name))()"
    }

    private func decodeOneof(_ message: Message, _ index: Int) -> SourceWriter {
        var writer = SourceWriter()
        let oneof = message.oneofs[index]
        let name = "self." + Names.lowerCamel(oneof.name)
        writer.cases("switch c.pointee.\(Names.cLower(oneof.name))_case.rawValue") { writer in
            for field in message.fields where field.oneof == index {
                let c = "c.pointee.\(Names.cField(field.name))"
                let branch = "." + Names.lowerCamel(field.name)
                if case .message = field.kind {
                    writer.line("case \(field.number): \(name) = swiftMessage(\(c)).map { \(branch)($0) }")
                } else {
                    writer.line("case \(field.number): \(name) = \(branch)(\(value(field, c)))")
                }
            }
            writer.line("default: \(name) = nil")
        }
        return writer
    }
}
