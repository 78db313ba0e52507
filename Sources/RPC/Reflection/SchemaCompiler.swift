internal import CACPProtos
internal import CProtobufC
internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Makes protobuf-c's descriptors for messages that are known from proto files only, laid out as protoc-c would, so that everything that
/// works by descriptor works on them.
///
/// A message's C struct is the header, then for each field:
/// - singular: the value, in a slot of 8 bytes (16 for bytes);
/// - repeated: count and pointer, 8 bytes each;
/// - in a oneof: the case once for the oneof and one slot of 16 bytes that its members share. protobuf-c frees the old member through
///   the new one's address, so they must share it.
/// Fields of proto2 and `optional` ones of proto3 that are not messages get a oneof of their own: it says whether they are set.
struct SchemaCompiler {
    let pool: DescriptorPool
    /// Types that are there already; they refer to nothing outside themselves.
    let known: [String: MessageSchema]
    let memory = DescriptorMemory()
    private var enums: [String: UnsafePointer<ProtobufCEnumDescriptor>] = [:]

    init(pool: DescriptorPool, known: [String: MessageSchema]) {
        self.pool = pool
        self.known = known
    }

    /// The schemas of `root` and of every message that it leads to, except those known already.
    /// - Throws: `Failure` INTERNAL `BAD_DESCRIPTOR` naming the field that makes a message unusable.
    mutating func compile(_ root: String) throws -> [String: MessageSchema] {
        let messages = try reachable(from: root)
        var descriptors: [String: UnsafeMutablePointer<ProtobufCMessageDescriptor>] = [:]
        for message in messages { descriptors[message.fullName] = memory.allocate(ProtobufCMessageDescriptor.self) }
        for (name, schema) in known { descriptors[name] = UnsafeMutablePointer(mutating: schema.descriptor) }
        var layouts: [String: [Proto.Field]] = [:]
        for message in messages {
            let fields = try checkedFields(message)
            layouts[message.fullName] = fields
            try fill(descriptors, message, fields)
        }
        // Schemas refer to each other in circles: first all of them, then their fields.
        var schemas: [String: MessageSchema] = [:]
        var byDescriptor: [UnsafePointer<ProtobufCMessageDescriptor>: MessageSchema] = [:]
        for schema in known.values { byDescriptor[schema.descriptor] = schema }
        for message in messages {
            guard let descriptor = descriptors[message.fullName] else { continue }
            let schema = MessageSchema(described: descriptor, isMapEntry: message.isMapEntry)
            schemas[message.fullName] = schema
            byDescriptor[schema.descriptor] = schema
        }
        for (name, schema) in schemas {
            schema.complete(
                (layouts[name] ?? []).enumerated().map { index, field in
                    FieldSchema(schema.descriptor.pointee.fields + index, index: index, jsonName: Self.jsonName(field))
                    {
                        guard let schema = byDescriptor[$0] else { preconditionFailure("a reference was resolved") }
                        return schema
                    }
                })
        }
        do { try schemas.values.forEach(WellKnownTypes.check) } catch {
            for schema in schemas.values { schema.complete([]) }
            throw error
        }
        return schemas
    }

    /// Messages in the order in which they are met; without recursion, because a server decides how deep they refer.
    private func reachable(from root: String) throws -> [Proto.Message] {
        guard let first = pool.message(root) else {
            throw ProtoReader.bad("the message \(root) is not in its files")
        }
        var found = [first]
        var names: Set<String> = [root]
        var next = 0
        while next < found.count {
            let message = found[next]
            next += 1
            for field in allFields(message) where field.kind == .message && known[field.typeName] == nil {
                guard names.insert(field.typeName).inserted else { continue }
                guard let target = pool.message(field.typeName) else {
                    throw ProtoReader.bad("\(field.fullName) has the type \(field.typeName), which is not in its files")
                }
                guard found.count < pool.limits.reachableMessagesMax else {
                    throw ProtoReader.bad("\(root) leads to more than \(pool.limits.reachableMessagesMax) messages")
                }
                found.append(target)
            }
        }
        return found
    }

    /// A message's fields; for options, which are read for people only, also what other files add to them.
    private func allFields(_ message: Proto.Message) -> [Proto.Field] {
        guard message.fullName.hasPrefix("google.protobuf."), message.fullName.hasSuffix("Options") else {
            return message.fields
        }
        return message.fields + (pool.extensions[message.fullName] ?? [])
    }

    private static func jsonName(_ field: Proto.Field) -> String {
        field.extendee.isEmpty ? field.jsonName : "[\(field.fullName)]"
    }

    // MARK: Checks

    /// The fields in the order of their numbers.
    private func checkedFields(_ message: Proto.Message) throws -> [Proto.Field] {
        let name = message.fullName
        guard message.syntax != .editions else {
            throw ProtoReader.bad("\(name) is written in an edition of protobuf; proto2 and proto3 can be called")
        }
        let fields = allFields(message).sorted { $0.number < $1.number }
        guard fields.count <= pool.limits.fieldsPerMessageMax else {
            throw ProtoReader.bad("\(name) has more than \(pool.limits.fieldsPerMessageMax) fields")
        }
        var jsonNames: Set<String> = []
        for (index, field) in fields.enumerated() {
            guard index == 0 || fields[index - 1].number != field.number else {
                throw ProtoReader.bad("\(fields[index - 1].fullName) and \(field.fullName) have the same number")
            }
            guard jsonNames.insert(Self.jsonName(field)).inserted else {
                throw ProtoReader.bad("\(field.fullName) has the JSON name of another field")
            }
            guard field.kind != .group else {
                throw ProtoReader.bad("\(field.fullName) is a group, which cannot be called with")
            }
        }
        if message.isMapEntry { try checkMapEntry(message, fields) }
        return fields
    }

    private func checkMapEntry(_ message: Proto.Message, _ fields: [Proto.Field]) throws {
        let isPair =
            fields.map(\.number) == [1, 2] && fields.map(\.name) == ["key", "value"]
            && fields.allSatisfy { !$0.isRepeated && $0.oneof == nil }
        var isKey = false
        if let key = fields.first?.kind {
            isKey = ![.double, .float, .bytes, .message, .enumeration, .group].contains(key)
        }
        guard isPair, isKey else { throw ProtoReader.bad("\(message.fullName) is not the pair of a map") }
    }

    // MARK: Descriptors

    private mutating func fill(
        _ descriptors: [String: UnsafeMutablePointer<ProtobufCMessageDescriptor>], _ message: Proto.Message,
        _ fields: [Proto.Field]
    ) throws {
        guard let target = descriptors[message.fullName] else { preconditionFailure("every message has a descriptor") }
        var layout = StructLayout(message)
        var c: [ProtobufCFieldDescriptor] = []
        for field in fields {
            let place = layout.place(field)
            var type: UnsafeRawPointer?
            if field.kind == .message { type = descriptors[field.typeName].map { UnsafeRawPointer($0) } }
            if field.kind == .enumeration { type = UnsafeRawPointer(try enumeration(field)) }
            let isPacked = field.isRepeated && (field.isPacked ?? (message.syntax == .proto3)) && field.kind.isPackable
            let flags =
                (place.isOneof ? UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) : 0)
                | (isPacked ? UInt32(PROTOBUF_C_FIELD_FLAG_PACKED.rawValue) : 0)
            c.append(
                ProtobufCFieldDescriptor(
                    name: memory.string(field.extendee.isEmpty ? field.name : "(\(field.fullName))"), id: field.number,
                    label: field.isRepeated ? PROTOBUF_C_LABEL_REPEATED : PROTOBUF_C_LABEL_NONE, type: field.kind.c,
                    quantifier_offset: UInt32(place.quantifier), offset: UInt32(place.value), descriptor: type,
                    default_value: nil, flags: flags, reserved_flags: 0, reserved2: nil, reserved3: nil))
        }
        let byName = c.indices.sorted { strcmp(c[$0].name, c[$1].name) < 0 }.map { UInt32($0) }
        let ranges = Self.ranges(fields.map { Int32($0.number) })
        let name = memory.string(message.fullName)
        target.initialize(
            to: ProtobufCMessageDescriptor(
                magic: UInt32(PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC), name: name,
                short_name: memory.string(message.name),
                c_name: name, package_name: memory.string(""), sizeof_message: layout.size, n_fields: UInt32(c.count),
                // A message without fields has no array: protobuf-c looks at the first element of one that is there.
                fields: memory.array(c), fields_sorted_by_name: memory.array(byName),
                n_field_ranges: UInt32(max(0, ranges.count - 1)), field_ranges: memory.array(ranges),
                // protobuf-c and `MessageArena` then clear the struct and set its descriptor.
                message_init: nil, reserved1: nil, reserved2: nil, reserved3: nil))
    }

    private mutating func enumeration(_ field: Proto.Field) throws -> UnsafePointer<ProtobufCEnumDescriptor> {
        if let known = enums[field.typeName] { return known }
        guard let enumeration = pool.enumeration(field.typeName) else {
            throw ProtoReader.bad("\(field.fullName) has the type \(field.typeName), which is not in its files")
        }
        // Of names with the same number the first one is written; all are read.
        var distinct: [Proto.Enumeration.Value] = []
        var seen: Set<Int32> = []
        for value in enumeration.values where seen.insert(value.number).inserted { distinct.append(value) }
        distinct.sort { $0.number < $1.number }
        let index = Dictionary(uniqueKeysWithValues: distinct.enumerated().map { ($1.number, UInt32($0)) })
        let values = distinct.map { value -> ProtobufCEnumValue in
            let name = memory.string(value.name)
            return ProtobufCEnumValue(name: name, c_name: name, value: value.number)
        }
        let names = enumeration.values.map {
            ProtobufCEnumValueIndex(name: memory.string($0.name), index: index[$0.number] ?? 0)
        }.sorted { strcmp($0.name, $1.name) < 0 }
        let ranges = Self.ranges(distinct.map(\.number))
        let name = memory.string(enumeration.fullName)
        let made = memory.allocate(ProtobufCEnumDescriptor.self)
        made.initialize(
            to: ProtobufCEnumDescriptor(
                magic: UInt32(PROTOBUF_C__ENUM_DESCRIPTOR_MAGIC), name: name,
                short_name: memory.string(enumeration.name),
                c_name: name, package_name: memory.string(""), n_values: UInt32(values.count),
                values: memory.array(values), n_value_names: UInt32(names.count), values_by_name: memory.array(names),
                n_value_ranges: UInt32(max(0, ranges.count - 1)), value_ranges: memory.array(ranges), reserved1: nil,
                reserved2: nil, reserved3: nil, reserved4: nil))
        enums[field.typeName] = UnsafePointer(made)
        return UnsafePointer(made)
    }

    /// Runs of consecutive numbers, and the end that protobuf-c expects after them; nothing for no numbers.
    private static func ranges(_ numbers: [Int32]) -> [ProtobufCIntRange] {
        var ranges: [ProtobufCIntRange] = []
        for (index, number) in numbers.enumerated() where index == 0 || Int(numbers[index - 1]) + 1 != Int(number) {
            ranges.append(ProtobufCIntRange(start_value: number, orig_index: UInt32(index)))
        }
        return ranges.isEmpty ? [] : ranges + [ProtobufCIntRange(start_value: 0, orig_index: UInt32(numbers.count))]
    }
}

/// Where the fields of one message are in its C struct.
private struct StructLayout {
    struct Place {
        var value: Int
        /// 0 when there is none.
        var quantifier = 0
        var isOneof = false
    }

    private(set) var size = MemoryLayout<ProtobufCMessage>.stride
    private let message: Proto.Message
    private var oneofs: [Int: Place] = [:]

    init(_ message: Proto.Message) { self.message = message }

    private mutating func take(_ bytes: Int) -> Int {
        defer { size += bytes }
        return size
    }

    mutating func place(_ field: Proto.Field) -> Place {
        if field.isRepeated {
            let count = take(8)
            return Place(value: take(8), quantifier: count)
        }
        if let oneof = field.oneof {
            if let known = oneofs[oneof] { return known }
            let made = choice()
            oneofs[oneof] = made
            return made
        }
        // The pairs of maps are written and read without looking at what is set.
        let tellsPresence = message.syntax == .proto2 && field.kind != .message && !message.isMapEntry
        return tellsPresence ? choice() : Place(value: take(field.kind == .bytes ? 16 : 8))
    }

    private mutating func choice() -> Place {
        let quantifier = take(8)
        return Place(value: take(16), quantifier: quantifier, isOneof: true)
    }
}

extension Proto.Field.Kind {
    fileprivate var isPackable: Bool { ![.string, .bytes, .message, .group].contains(self) }

    fileprivate var c: ProtobufCType {
        switch self {
        case .double: PROTOBUF_C_TYPE_DOUBLE
        case .float: PROTOBUF_C_TYPE_FLOAT
        case .int64: PROTOBUF_C_TYPE_INT64
        case .uint64: PROTOBUF_C_TYPE_UINT64
        case .int32: PROTOBUF_C_TYPE_INT32
        case .fixed64: PROTOBUF_C_TYPE_FIXED64
        case .fixed32: PROTOBUF_C_TYPE_FIXED32
        case .bool: PROTOBUF_C_TYPE_BOOL
        case .string: PROTOBUF_C_TYPE_STRING
        case .message, .group: PROTOBUF_C_TYPE_MESSAGE
        case .bytes: PROTOBUF_C_TYPE_BYTES
        case .uint32: PROTOBUF_C_TYPE_UINT32
        case .enumeration: PROTOBUF_C_TYPE_ENUM
        case .sfixed32: PROTOBUF_C_TYPE_SFIXED32
        case .sfixed64: PROTOBUF_C_TYPE_SFIXED64
        case .sint32: PROTOBUF_C_TYPE_SINT32
        case .sint64: PROTOBUF_C_TYPE_SINT64
        }
    }
}
