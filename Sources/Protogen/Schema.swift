/// What the generator knows of the proto files, free of C: the order is that of the files.
struct Schema {
    var files: [ProtoFile] = []

    /// Every message of every file, nested ones after their parent.
    var messages: [Message] { files.flatMap { $0.messages.flatMap(\.withNested) } }
    /// Every enum of every file, nested ones included.
    var enums: [Enumeration] { files.flatMap { $0.enums + $0.messages.flatMap(\.withNested).flatMap(\.enums) } }
    var services: [Service] { files.flatMap(\.services) }
}

/// A place in a proto file, for error messages and comments.
struct Origin: Hashable {
    var file: String
    /// Counted from 1; 0 when the descriptor set has no source information.
    var line: Int
    var comment: String = ""
}

struct ProtoFile {
    /// Path as imported, e.g. `acp/v1/search.proto`.
    var name: String
    var package: String
    var syntax: String
    /// Declares options for other proto files: read by the generator, of no use at run time.
    var declaresOptions: Bool
    /// Its FileDescriptorProto, for reflection: serialized, with the source locations that carry comments.
    var descriptor: [UInt8]
    var messages: [Message]
    var enums: [Enumeration]
    var services: [Service]
}

struct Message {
    var name: String
    /// Full protobuf name, e.g. `acp.v1.Hit.MetadataEntry`.
    var fullName: String
    var package: String
    var origin: Origin
    var isMapEntry: Bool
    var fields: [Field]
    var oneofs: [Oneof]
    var messages: [Message]
    var enums: [Enumeration]

    var withNested: [Message] { [self] + messages.flatMap(\.withNested) }
}

struct Oneof {
    var name: String
    var origin: Origin
}

struct Field {
    enum Kind: Hashable {
        case double, float, int64, uint64, int32, uint32, bool, string, bytes
        case message(String)
        case enumeration(String)
        /// A kind that the generator does not know how to write.
        case unsupported(String)
    }

    /// How a number is written.
    enum Coding { case varint, zigzag, fixed }

    /// What the low three bits of a tag say of the value behind it. Numbers are read and written by methods of these names.
    enum WireType: Int32 {
        case varint = 0, fixed64 = 1, length = 2, fixed32 = 5
    }

    var name: String
    var jsonName: String
    var number: Int32
    var kind: Kind
    /// Of numbers.
    var coding: Coding
    var isRepeated: Bool
    /// Whether the values of a repeated number stand under one tag.
    var isPacked: Bool
    var isProto3Optional: Bool
    var oneof: Int?
    var origin: Origin

    var isMessage: Bool {
        if case .message = kind { true } else { false }
    }

    /// Of one value.
    var wireType: WireType {
        switch kind {
        case .message, .string, .bytes: .length
        case .double, .int64, .uint64: coding == .fixed ? .fixed64 : .varint
        default: coding == .fixed ? .fixed32 : .varint
        }
    }
}

struct Enumeration {
    struct Value {
        var name: String
        var number: Int32
        var origin: Origin
    }

    var name: String
    var fullName: String
    var package: String
    var origin: Origin
    /// As in the file, aliases included.
    var values: [Value]

    /// The first value of every number. Aliases are only further names for JSON that comes in.
    var distinctValues: [Value] {
        var seen: Set<Int32> = []
        return values.filter { seen.insert($0.number).inserted }
    }
}

struct Service {
    var name: String
    var fullName: String
    var origin: Origin
    var methods: [Method]
}

struct Method {
    enum Access: Int32 {
        case denied = 0, open, viewer, analyst, admin
    }

    struct Policy {
        var access: Int32
        var idempotent: Bool
        var uploadStartField: String
        var uploadDataField: String
    }

    struct HTTPRule {
        var verb: String
        var template: String
        var body: String
        var responseBody: String
    }

    var name: String
    var origin: Origin
    var input: String
    var output: String
    var clientStreaming: Bool
    var serverStreaming: Bool
    var policy: Policy?
    var httpRules: [HTTPRule]
}

/// A fault in the proto files, printed as compilers print theirs.
struct Diagnostic: Error, Hashable, CustomStringConvertible {
    var origin: Origin
    var message: String

    var description: String { "\(origin.file):\(origin.line): error: \(message)" }
}

struct Diagnostics: Error, CustomStringConvertible {
    var all: [Diagnostic]

    var description: String { all.map { "\($0)\n" }.joined() }
}
