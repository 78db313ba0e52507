internal import CACPProtos
internal import CProtobufC
internal import Core

/// Options of proto files as text: protobuf's own and the ones that files add, such as `(google.api.http)`.
struct OptionReader {
    let pool: DescriptorPool

    /// One option as it is written in a proto file: `deprecated = true`.
    struct Option: Equatable {
        var name: String
        var value: String
    }

    /// In the order of their numbers.
    /// - Parameter type: such as `google.protobuf.MethodOptions`.
    /// - Throws: `Failure` for options that cannot be read.
    func options(_ bytes: [UInt8], of type: String) throws -> [Option] {
        try read(bytes, of: type) { schema, base in
            schema.fields.flatMap { field -> [Option] in
                guard Self.isSet(field, base) else { return [] }
                return Self.values(of: field, base).map { Option(name: field.name, value: $0) }
            }
        } ?? []
    }

    /// Whether `(acp.v1.policy).idempotent` is set: the method may then be retried.
    func isIdempotent(_ method: Proto.Method) -> Bool {
        let flag = try? read(method.options, of: "google.protobuf.MethodOptions") { schema, base -> Bool in
            guard let policy = schema.field("(acp.v1.policy)"), case .message(let type) = policy.kind,
                !policy.isRepeated,
                let message = base.load(fromByteOffset: policy.offset, as: UnsafeRawPointer?.self),
                let flag = type.field("idempotent"), case .bool = flag.kind, !flag.isRepeated
            else { return false }
            return Self.isSet(flag, message)
        }
        return flag ?? false
    }

    /// - Returns: nil for no options.
    private func read<T>(
        _ bytes: [UInt8], of type: String, _ body: (MessageSchema, UnsafeRawPointer) -> T
    ) throws -> T? {
        guard !bytes.isEmpty else { return nil }
        // A server sends descriptor.proto only when its files add options of their own.
        let pool = self.pool.message(type) == nil ? DescriptorSet.embedded.pool : self.pool
        return try withExtendedLifetime(pool) {
            let schema = try pool.schema(type)
            return try bytes.withUnsafeBytes { raw in
                try Codec.unpack(raw, schema.descriptor, .standard) { body(schema, UnsafeRawPointer($0)) }
            }
        }
    }

    // MARK: Text format

    private static func isSet(_ field: FieldSchema, _ base: UnsafeRawPointer) -> Bool {
        MessageEncoder(MessageJSON.Options(), capacity: 0).isPresent(field, base)
    }

    /// Every value of a field, as protobuf's text format has it.
    private static func values(of field: FieldSchema, _ base: UnsafeRawPointer) -> [String] {
        guard field.isRepeated else { return [value(field, base + field.offset)] }
        guard let elements = base.load(fromByteOffset: field.offset, as: UnsafeRawPointer?.self) else { return [] }
        let count = base.load(fromByteOffset: field.quantifierOffset, as: Int.self)
        return (0..<count).map { value(field, elements + $0 * field.stride) }
    }

    private static func value(_ field: FieldSchema, _ target: UnsafeRawPointer) -> String {
        switch field.kind {
        case .int32: return String(target.load(as: Int32.self))
        case .uint32: return String(target.load(as: UInt32.self))
        case .int64: return String(target.load(as: Int64.self))
        case .uint64: return String(target.load(as: UInt64.self))
        case .float: return String(target.load(as: Float.self))
        case .double: return String(target.load(as: Double.self))
        case .bool: return target.load(as: protobuf_c_boolean.self) != 0 ? "true" : "false"
        case .string: return quoted(swiftString(target.load(as: UnsafeMutablePointer<CChar>?.self)))
        case .bytes: return quoted(swiftBytes(target.load(as: ProtobufCBinaryData.self)))
        case .enumeration(let type):
            let number = target.load(as: Int32.self)
            guard let known = protobuf_c_enum_descriptor_get_value(type, number) else { return String(number) }
            return String(cString: known.pointee.name)
        case .message(let schema), .timestamp(let schema):
            guard let message = target.load(as: UnsafeRawPointer?.self) else { return "{}" }
            return text(schema, message)
        }
    }

    /// `{get: "/v1/health", body: "*"}`.
    private static func text(_ schema: MessageSchema, _ message: UnsafeRawPointer) -> String {
        let members = schema.fields.filter { isSet($0, message) }.flatMap { field in
            values(of: field, message).map { "\(field.name): \($0)" }
        }
        return "{\(members.joined(separator: ", "))}"
    }

    private static func quoted(_ text: String) -> String {
        var quoted: [UInt8] = []
        JSONString.append(text, to: &quoted)
        return String(decoding: quoted, as: UTF8.self)
    }

    private static func quoted(_ bytes: [UInt8]) -> String {
        let escaped = bytes.map { byte -> String in
            if (0x20...0x7E).contains(byte), byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                return String(UnicodeScalar(byte))
            }
            let octal = String(byte, radix: 8)
            return "\\" + String(repeating: "0", count: 3 - octal.utf8.count) + octal
        }
        return "\"\(escaped.joined())\""
    }
}
