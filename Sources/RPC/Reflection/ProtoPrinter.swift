/// Writes declarations as a proto file has them, with comments and options; names of types in full, so that they can be asked for.
public struct ProtoPrinter: Sendable {
    private let pool: DescriptorPool

    public init(_ pool: DescriptorPool) { self.pool = pool }

    /// The declaration of a symbol, ending in a line break: of a method with its messages, of a field with its message, of a value with its
    /// enum.
    public func text(_ symbol: DescriptorPool.Symbol) -> String {
        var writer = ProtoWriter()
        switch symbol {
        case .service(let service): write(service, to: &writer)
        case .method(let method):
            write(method, to: &writer)
            for name in method.requestType == method.responseType
                ? [method.requestType] : [method.requestType, method.responseType]
            {
                guard let message = pool.message(name) else { continue }
                writer.line("")
                write(message, to: &writer)
            }
        case .message(let message), .field(_, let message): write(message, to: &writer)
        case .enumeration(let enumeration), .value(_, let enumeration): write(enumeration, to: &writer)
        case .extension(let field):
            writer.block("extend \(field.extendee)") { write(field, syntax: .proto2, isMember: false, to: &$0) }
        }
        return writer.text
    }

    // MARK: Declarations

    private func write(_ service: Proto.Service, to writer: inout ProtoWriter) {
        writer.comment(service.comment)
        writer.block("service \(service.name)") { writer in
            writeOptions(service.options, "google.protobuf.ServiceOptions", to: &writer)
            for method in service.methods { write(method, to: &writer) }
        }
    }

    private func write(_ method: Proto.Method, to writer: inout ProtoWriter) {
        writer.comment(method.comment)
        let request = (method.clientStreaming ? "stream " : "") + method.requestType
        let response = (method.serverStreaming ? "stream " : "") + method.responseType
        let head = "rpc \(method.name)(\(request)) returns (\(response))"
        guard !method.options.isEmpty else { return writer.line(head + ";") }
        writer.block(head) { writeOptions(method.options, "google.protobuf.MethodOptions", to: &$0) }
    }

    private func write(_ message: Proto.Message, to writer: inout ProtoWriter) {
        writer.comment(message.comment)
        writer.block("message \(message.name)") { writer in
            writeOptions(message.options, "google.protobuf.MessageOptions", to: &writer)
            var written: Set<Int> = []
            for field in message.fields {
                guard let oneof = field.oneof, !field.isProto3Optional else {
                    write(field, syntax: message.syntax, isMember: false, to: &writer)
                    continue
                }
                guard written.insert(oneof).inserted else { continue }
                writer.comment(message.oneofs[oneof].comment)
                writer.block("oneof \(message.oneofs[oneof].name)") { writer in
                    for member in message.fields where member.oneof == oneof {
                        write(member, syntax: message.syntax, isMember: true, to: &writer)
                    }
                }
            }
            for nested in message.messages where !nested.isMapEntry { write(nested, to: &writer) }
            for enumeration in message.enums { write(enumeration, to: &writer) }
        }
    }

    private func write(_ enumeration: Proto.Enumeration, to writer: inout ProtoWriter) {
        writer.comment(enumeration.comment)
        writer.block("enum \(enumeration.name)") { writer in
            writeOptions(enumeration.options, "google.protobuf.EnumOptions", to: &writer)
            for value in enumeration.values {
                writer.comment(value.comment)
                let options = inline(options(value.options, "google.protobuf.EnumValueOptions"))
                writer.line("\(value.name) = \(value.number)\(options);")
            }
        }
    }

    private func write(_ field: Proto.Field, syntax: Proto.Syntax, isMember: Bool, to writer: inout ProtoWriter) {
        writer.comment(field.comment)
        var type = field.typeName.isEmpty ? field.kind.keyword : field.typeName
        var label = ""
        if field.isRepeated, let entry = pool.message(field.typeName), entry.isMapEntry, entry.fields.count == 2 {
            let pair = entry.fields.map { $0.typeName.isEmpty ? $0.kind.keyword : $0.typeName }
            type = "map<\(pair[0]), \(pair[1])>"
        } else if field.isRepeated {
            label = "repeated "
        } else if field.isRequired {
            label = "required "
        } else if field.isProto3Optional || (syntax == .proto2 && !isMember) {
            label = "optional "
        }
        var extras: [OptionReader.Option] = []
        if let value = field.defaultText {
            let isText = field.kind == .string || field.kind == .bytes
            extras.append(.init(name: "default", value: isText ? "\"\(value)\"" : value))
        }
        if field.jsonName != FieldSchema.jsonName(of: field.name) {
            extras.append(.init(name: "json_name", value: "\"\(field.jsonName)\""))
        }
        let all = extras + (options(field.options, "google.protobuf.FieldOptions") ?? [])
        writer.line("\(label)\(type) \(field.name) = \(field.number)\(inline(all));")
    }

    // MARK: Options

    /// nil for options that cannot be read: the rest of a description is worth having without them.
    private func options(_ bytes: [UInt8], _ type: String) -> [OptionReader.Option]? {
        try? OptionReader(pool: pool).options(bytes, of: type)
    }

    private func writeOptions(_ bytes: [UInt8], _ type: String, to writer: inout ProtoWriter) {
        guard let options = options(bytes, type) else { return writer.comment("Its options cannot be read.") }
        for option in options where option.name != "map_entry" {
            writer.line("option \(option.name) = \(option.value);")
        }
    }

    private func inline(_ options: [OptionReader.Option]?) -> String {
        guard let options else { return " /* its options cannot be read */" }
        return options.isEmpty ? "" : " [\(options.map { "\($0.name) = \($0.value)" }.joined(separator: ", "))]"
    }
}

/// Lines with their indentation.
private struct ProtoWriter {
    private(set) var text = ""
    private var depth = 0

    mutating func line(_ line: String) {
        text += line.isEmpty ? "\n" : String(repeating: "  ", count: depth) + line + "\n"
    }

    mutating func comment(_ comment: String) {
        guard !comment.isEmpty else { return }
        for text in comment.split(separator: "\n", omittingEmptySubsequences: false) {
            line(text.isEmpty ? "//" : "// \(text)")
        }
    }

    mutating func block(_ head: String, _ body: (inout ProtoWriter) -> Void) {
        var inner = ProtoWriter()
        inner.depth = depth + 1
        body(&inner)
        guard !inner.text.isEmpty else { return line(head + " {}") }
        line(head + " {")
        text += inner.text
        line("}")
    }
}

extension Proto.Field.Kind {
    /// As proto files write it.
    var keyword: String {
        switch self {
        case .double: "double"
        case .float: "float"
        case .int64: "int64"
        case .uint64: "uint64"
        case .int32: "int32"
        case .fixed64: "fixed64"
        case .fixed32: "fixed32"
        case .bool: "bool"
        case .string: "string"
        case .group: "group"
        case .message: "message"
        case .bytes: "bytes"
        case .uint32: "uint32"
        case .enumeration: "enum"
        case .sfixed32: "sfixed32"
        case .sfixed64: "sfixed64"
        case .sint32: "sint32"
        case .sint64: "sint64"
        }
    }
}
