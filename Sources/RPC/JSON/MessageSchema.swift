internal import CACPProtos
internal import CProtobufC
internal import NIOCore
internal import Synchronization

/// A message type as the JSON codec needs it: protobuf-c's descriptor with JSON names added. Made once per type, and immutable from when
/// others see it.
final class MessageSchema: @unchecked Sendable {
    let typeName: String
    let descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    /// Stands for one pair of a map field.
    let isMapEntry: Bool
    private(set) var fields: [FieldSchema] = []
    /// Names of the fields in the order of their numbers, for messages.
    var fieldList: String { fields.map(\.jsonName).joined(separator: ", ") }

    /// By address of the descriptor.
    private static let known = Mutex<[Int: MessageSchema]>([:])

    /// The schema of a message such as `acp.v1.SearchRequest`; nil for a name that no proto file has.
    static func named(_ typeName: String) -> MessageSchema? {
        MessageCatalogue.descriptor(typeName).map { of($0) }
    }

    static func of(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) -> MessageSchema {
        let key = Int(bitPattern: descriptor)
        if let known = known.withLock({ $0[key] }) { return known }
        // Built outside the lock: it takes the schemas of its fields. Two threads may build the same; either serves.
        let made = MessageSchema(descriptor)
        known.withLock { $0[key] = made }
        return made
    }

    private init(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) {
        self.descriptor = descriptor
        typeName = String(cString: descriptor.pointee.name)
        isMapEntry = MessageCatalogue.mapEntryTypes.contains(typeName)
        fields = (0..<Int(descriptor.pointee.n_fields)).map {
            FieldSchema(descriptor.pointee.fields + $0, index: $0)
        }
    }

    /// A type known at run time only. It may lead to itself, so its fields come when its relatives exist (`complete`).
    init(described descriptor: UnsafePointer<ProtobufCMessageDescriptor>, isMapEntry: Bool) {
        self.descriptor = descriptor
        typeName = String(cString: descriptor.pointee.name)
        self.isMapEntry = isMapEntry
    }

    /// Gives a type made by `init(described:)` its fields, before anyone else sees it; or takes them away, after everyone has.
    func complete(_ fields: [FieldSchema]) { self.fields = fields }

    /// The field with this proto or JSON name.
    func field(_ name: UnsafeBufferPointer<UInt8>) -> FieldSchema? {
        for field in fields where field.isNamed(name) { return field }
        return nil
    }

    func field(_ name: some StringProtocol) -> FieldSchema? {
        var name = String(name)
        return name.withUTF8 { field($0) }
    }

    func unknown(_ name: String) -> JSONProblem {
        JSONProblem(
            .unknownField, "there is no such field in \(typeName)",
            remedy: fields.isEmpty ? "It has no fields." : "Its fields are: \(fieldList).")
    }
}

/// One field of a message type.
final class FieldSchema: @unchecked Sendable {
    enum Kind {
        case int32, int64, uint32, uint64, float, double, bool, string, bytes
        case enumeration(UnsafePointer<ProtobufCEnumDescriptor>)
        case message(MessageSchema)
        /// `google.protobuf.Timestamp`, which is text in JSON.
        case timestamp(MessageSchema)
    }

    let index: Int
    let number: UInt32
    let name: String
    let jsonName: String
    let kind: Kind
    /// Also true for maps, which are repeated pairs on the wire.
    let isRepeated: Bool
    let isMap: Bool
    let isOneof: Bool
    /// Where value and quantifier (count of a repeated field, case of a oneof) are in the C struct.
    let offset: Int
    let quantifierOffset: Int
    /// `"jsonName":`
    let label: [UInt8]
    private let nameBytes: [UInt8]
    private let jsonNameBytes: [UInt8]

    /// - Parameters:
    ///   - jsonName: nil for protoc's rule.
    ///   - schema: of the message that a descriptor is of.
    init(
        _ field: UnsafePointer<ProtobufCFieldDescriptor>, index: Int, jsonName: String? = nil,
        schema: (UnsafePointer<ProtobufCMessageDescriptor>) -> MessageSchema = MessageSchema.of
    ) {
        let c = field.pointee
        self.index = index
        number = c.id
        name = String(cString: c.name)
        self.jsonName = jsonName ?? Self.jsonName(of: name)
        nameBytes = Array(name.utf8)
        jsonNameBytes = Array(self.jsonName.utf8)
        label = Self.label(self.jsonName)
        isRepeated = c.label == PROTOBUF_C_LABEL_REPEATED
        isOneof = c.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0
        offset = Int(c.offset)
        quantifierOffset = Int(c.quantifier_offset)
        kind = Self.kind(c, schema)
        if case .message(let schema) = kind {
            isMap = isRepeated && schema.isMapEntry
        } else {
            isMap = false
        }
    }

    private static func label(_ jsonName: String) -> [UInt8] {
        var label: [UInt8] = []
        JSONString.append(jsonName, to: &label)
        return label + [UInt8(ascii: ":")]
    }

    private static func kind(
        _ c: ProtobufCFieldDescriptor, _ schema: (UnsafePointer<ProtobufCMessageDescriptor>) -> MessageSchema
    ) -> Kind {
        switch c.type {
        case PROTOBUF_C_TYPE_INT32, PROTOBUF_C_TYPE_SINT32, PROTOBUF_C_TYPE_SFIXED32: return .int32
        case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64: return .int64
        case PROTOBUF_C_TYPE_UINT32, PROTOBUF_C_TYPE_FIXED32: return .uint32
        case PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_FIXED64: return .uint64
        case PROTOBUF_C_TYPE_FLOAT: return .float
        case PROTOBUF_C_TYPE_DOUBLE: return .double
        case PROTOBUF_C_TYPE_BOOL: return .bool
        case PROTOBUF_C_TYPE_STRING: return .string
        case PROTOBUF_C_TYPE_BYTES: return .bytes
        case PROTOBUF_C_TYPE_ENUM:
            return .enumeration(c.descriptor.assumingMemoryBound(to: ProtobufCEnumDescriptor.self))
        default:
            let schema = schema(c.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self))
            return schema.typeName == "google.protobuf.Timestamp" ? .timestamp(schema) : .message(schema)
        }
    }

    /// protoc's rule: underscores go, and the letter after one is upper case.
    static func jsonName(of name: String) -> String {
        var result = ""
        var upper = false
        for scalar in name.unicodeScalars {
            if scalar == "_" {
                upper = true
            } else {
                result += upper ? String(scalar).uppercased() : String(scalar)
                upper = false
            }
        }
        return result
    }

    func isNamed(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        (other.count == jsonNameBytes.count && other.elementsEqual(jsonNameBytes))
            || (other.count == nameBytes.count && other.elementsEqual(nameBytes))
    }

    /// Bytes of one value in a C array.
    var stride: Int {
        switch kind {
        case .int32, .uint32, .float, .enumeration: 4
        case .int64, .uint64, .double: 8
        case .bool: MemoryLayout<protobuf_c_boolean>.stride
        case .string, .message, .timestamp: MemoryLayout<UnsafeRawPointer>.stride
        case .bytes: MemoryLayout<ProtobufCBinaryData>.stride
        }
    }
}

/// Memory for C structs and strings while one message is handled: the thread's arena with a budget.
struct MessageArena {
    private let arena: UnsafeMutablePointer<acp_arena>
    private let takenMax: Int

    /// Runs `body` with an arena that is emptied afterwards.
    static func run<T>(bytesMax: Int, _ body: (MessageArena) throws(JSONProblem) -> T) throws(JSONProblem) -> T {
        guard let arena = acp_arena_of_thread() else { throw tooLarge }
        let mark = acp_arena_save(arena)
        defer { acp_arena_release(arena, mark) }
        let (limit, overflow) = mark.taken.addingReportingOverflow(max(0, bytesMax))
        return try body(MessageArena(arena: arena, takenMax: overflow ? .max : limit))
    }

    private static var tooLarge: JSONProblem {
        JSONProblem(.tooLarge, "it needs more memory than is allowed", remedy: "Send it in smaller parts.")
    }

    private func hasRoom(_ bytes: Int) -> Bool { acp_arena_save(arena).taken <= takenMax - min(bytes, takenMax) }

    /// Uninitialised memory, 8-byte aligned.
    func take(_ bytes: Int) throws(JSONProblem) -> UnsafeMutableRawPointer {
        guard hasRoom(bytes), let memory = acp_arena_take(arena, bytes) else { throw Self.tooLarge }
        return memory
    }

    /// A struct with every field at its default.
    func message(_ schema: MessageSchema) throws(JSONProblem) -> UnsafeMutableRawPointer {
        let size = schema.descriptor.pointee.sizeof_message
        let memory = try take(size)
        let header = memory.assumingMemoryBound(to: ProtobufCMessage.self)
        if let initialize = schema.descriptor.pointee.message_init {
            initialize(header)
        } else {
            // A type known at run time only: every default is zero.
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: size)
            header.pointee.descriptor = schema.descriptor
        }
        return memory
    }

    /// A copy as messages have their texts.
    func string(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONProblem) -> UnsafeMutablePointer<CChar> {
        guard hasRoom(bytes.count + 16), let text = acp_text_copy(arena, bytes.baseAddress, bytes.count) else {
            throw Self.tooLarge
        }
        return text
    }

    /// The packed message whose struct and all that belongs to it are in this arena.
    func pack(_ message: UnsafePointer<ProtobufCMessage>) -> ByteBuffer {
        var buffer = ByteBuffer()
        Codec.pack(message, arena, into: &buffer)
        return buffer
    }
}
