internal import CACPProtos
internal import CProtobufC
internal import Core
public import NIOCore

/// Protobuf messages as JSON and back, exactly by the proto3 JSON mapping, generic over protobuf-c's descriptors.
///
/// Out: lowerCamelCase names, 64-bit integers as strings, bytes as padded base64, enums by name, times as RFC 3339, defaults omitted.
/// In: both name styles, numbers or text for integers, both base64 alphabets, enum names or numbers; null is the default.
/// Refused with their path: unknown names, names given twice, two members of a oneof, values out of range, text with NUL.
public enum MessageJSON {
    public struct Options: Sendable, Hashable {
        /// Spaces per level; nil for one line.
        public var indent: Int?
        /// Also writes scalars, lists and maps that are at their default.
        public var printsDefaults: Bool

        public init(indent: Int? = nil, printsDefaults: Bool = false) {
            self.indent = indent
            self.printsDefaults = printsDefaults
        }
    }

    /// What reading JSON may cost.
    public struct Limits: Sendable, Hashable {
        /// Bytes of JSON.
        public var jsonBytesMax: Int
        /// Bytes of memory the message may take while it is built.
        public var unpackedBytesMax: Int

        public init(jsonBytesMax: Int = 8 << 20, unpackedBytesMax: Int = 64 << 20) {
            self.jsonBytesMax = jsonBytesMax
            self.unpackedBytesMax = unpackedBytesMax
        }
    }

    // MARK: Out

    /// The message in `bytes` as JSON.
    /// - Parameter type: full name such as `acp.v1.SearchResponse`.
    /// - Throws: `Failure` INVALID_ARGUMENT for bytes that are not the message, INTERNAL for a type that no proto file has or a value that JSON cannot say.
    public static func encode(_ bytes: ByteBuffer, type: String, options: Options = Options()) throws -> [UInt8] {
        try encode(bytes, schema(type), options: options)
    }

    static func encode(_ bytes: ByteBuffer, _ schema: MessageSchema, options: Options) throws -> [UInt8] {
        try unpacked(bytes, schema, options) { encoder, base throws(JSONProblem) in
            // A time alone is text.
            if schema.typeName == "google.protobuf.Timestamp" {
                try encoder.timestamp(schema, base)
            } else {
                try encoder.message(schema, base)
            }
        }
    }

    /// One field of the message in `bytes` as JSON; nil when it is not set.
    /// - Throws: as `encode`; INTERNAL for a field the type does not have.
    public static func encode(
        _ bytes: ByteBuffer, type: String, field name: String, options: Options = Options()
    ) throws -> [UInt8]? {
        let schema = try self.schema(type)
        guard let field = schema.field(name) else { throw unknown("\(type).\(name)") }
        var isSet = false
        let json = try unpacked(bytes, schema, options) { encoder, base throws(JSONProblem) in
            isSet = encoder.isPresent(field, base)
            if isSet { try encoder.value(of: field, base) }
        }
        return isSet ? json : nil
    }

    public static func encode(_ message: some WireMessage, options: Options = Options()) throws -> String {
        let json = try encode(message.encoded(), type: Swift.type(of: message).typeName, options: options)
        return String(decoding: json, as: UTF8.self)
    }

    private static func unpacked(
        _ bytes: ByteBuffer, _ schema: MessageSchema, _ options: Options,
        _ body: (inout MessageEncoder, UnsafeRawPointer) throws(JSONProblem) -> Void
    ) throws -> [UInt8] {
        var encoder = MessageEncoder(options, capacity: bytes.readableBytes * 3 / 2 + 64)
        do {
            try bytes.withUnsafeReadableBytes { raw in
                try Codec.unpack(raw, schema.descriptor, .standard) { try body(&encoder, UnsafeRawPointer($0)) }
            }
        } catch let problem as JSONProblem {
            var failure = problem.failure("The message \(schema.typeName)")
            failure.code = .internalError
            throw failure
        }
        return encoder.out
    }

    // MARK: In

    /// The packed message that the JSON object says.
    /// - Throws: `Failure` INVALID_ARGUMENT with reason MALFORMED_JSON, UNKNOWN_FIELD, DUPLICATE_FIELD or INVALID_VALUE and the path of the field;
    ///   RESOURCE_EXHAUSTED `TOO_LARGE` beyond `limits`.
    public static func decode(
        _ json: UnsafeRawBufferPointer, type: String, limits: Limits = Limits()
    ) throws -> ByteBuffer {
        try decode(json, schema(type), limits: limits)
    }

    static func decode(_ json: UnsafeRawBufferPointer, _ schema: MessageSchema, limits: Limits) throws -> ByteBuffer {
        try build(schema, limits, "The JSON") { arena, base throws(JSONProblem) in
            try read(json, bodyField: "*", schema, base, arena, limits)
        }
    }

    public static func decode(_ json: some Sequence<UInt8>, type: String, limits: Limits = Limits()) throws
        -> ByteBuffer
    {
        try Array(json).withUnsafeBytes { try decode($0, type: type, limits: limits) }
    }

    /// The message that the JSON object says.
    public static func decode<Message: WireMessage>(
        _ json: some Sequence<UInt8>, as type: Message.Type, limits: Limits = Limits()
    ) throws -> Message {
        try Message.decode(decode(json, type: type.typeName, limits: limits))
    }

    /// The packed message that a request's parts make together: the body first, then path variables, which overrule it, then parameters.
    /// - Throws: as `decode`. Parameters are refused when the body is the whole message, or names the same field.
    public static func build(type: String, _ bindings: MessageBindings, limits: Limits = Limits()) throws -> ByteBuffer
    {
        let schema = try self.schema(type)
        return try build(schema, limits, "The request") { arena, base throws(JSONProblem) in
            if let body = bindings.body, body.readableBytes > 0 {
                try body.withUnsafeReadableBytes { raw in
                    Result { () throws(JSONProblem) in
                        try read(raw, bodyField: bindings.bodyField, schema, base, arena, limits)
                    }
                }.get()
            }
            var binder = MessageBinder(arena: arena, schema: schema, base: base)
            for variable in bindings.path { try binder.set(variable.name, variable.value, replacing: true) }
            for parameter in bindings.query {
                let top = parameter.name.prefix { $0 != "." && $0 != "[" }
                guard bindings.bodyField != "*",
                    bindings.bodyField.isEmpty || schema.field(top)?.name != bindings.bodyField
                else {
                    throw JSONProblem(.unknownField, "it is not a parameter here", remedy: "Put it into the body.")
                        .at(String(parameter.name.prefix(100)))
                }
                try binder.set(parameter.name, parameter.value, replacing: false)
            }
            for field in bindings.fields { try binder.setJSON(field.name, field.value) }
            for value in bindings.defaults where !binder.isGiven(value.name) {
                try binder.set(value.name, value.value, replacing: false)
            }
        }
    }

    private static func read(
        _ json: UnsafeRawBufferPointer, bodyField: String, _ schema: MessageSchema, _ base: UnsafeMutableRawPointer,
        _ arena: MessageArena, _ limits: Limits
    ) throws(JSONProblem) {
        guard json.count <= limits.jsonBytesMax else {
            throw JSONProblem(.tooLarge, "it is larger than \(limits.jsonBytesMax) bytes")
        }
        var decoder = MessageDecoder(reader: JSONReader(json.bindMemory(to: UInt8.self)), arena: arena)
        if bodyField == "*" {
            try decoder.message(schema, into: base)
        } else if let field = schema.field(bodyField) {
            try within(field.name) { () throws(JSONProblem) in try decoder.value(of: field, into: base, depth: 0) }
        } else {
            throw schema.unknown(bodyField)
        }
        try decoder.reader.expectEnd()
    }

    private static func build(
        _ schema: MessageSchema, _ limits: Limits, _ what: String,
        _ fill: (MessageArena, UnsafeMutableRawPointer) throws(JSONProblem) -> Void
    ) throws -> ByteBuffer {
        do throws(JSONProblem) {
            return try MessageArena.run(bytesMax: limits.unpackedBytesMax) { arena throws(JSONProblem) in
                let base = try arena.message(schema)
                try fill(arena, base)
                return arena.pack(base.assumingMemoryBound(to: ProtobufCMessage.self))
            }
        } catch {
            throw error.failure(what)
        }
    }

    // MARK: Types

    /// Whether the message has a field with this proto or JSON name.
    public static func hasField(_ name: String, in type: String) -> Bool {
        MessageSchema.named(type)?.field(name) != nil
    }

    private static func schema(_ type: String) throws -> MessageSchema {
        guard let schema = MessageSchema.named(type) else { throw unknown(type) }
        return schema
    }

    private static func unknown(_ name: String) -> Failure {
        Failure(.internalError, reason: "UNKNOWN_TYPE", "The program has no message or field called \(name).")
    }
}

/// The parts of a request that make one message.
public struct MessageBindings: Sendable {
    /// A name as it was written and its decoded value.
    public struct Parameter: Sendable, Hashable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// JSON; nil or empty for none.
    public var body: ByteBuffer?
    /// What the body is: `*` for the message, a field's name, or empty when there is none.
    public var bodyField: String
    public var path: [Parameter]
    public var query: [Parameter]
    /// Top-level fields whose value is JSON text.
    public var fields: [Parameter] = []
    /// Scalars for top-level fields that nothing else has set.
    public var defaults: [Parameter] = []

    public init(body: ByteBuffer? = nil, bodyField: String = "", path: [Parameter] = [], query: [Parameter] = []) {
        self.body = body
        self.bodyField = bodyField
        self.path = path
        self.query = query
    }
}
