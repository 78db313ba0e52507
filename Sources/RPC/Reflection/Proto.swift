/// What a proto file says, free of C: read from descriptors that any server may have sent, so names and numbers are checked but
/// references are not.
public enum Proto {
    public enum Syntax: String, Sendable, Hashable {
        case proto2, proto3, editions
    }

    public struct File: Sendable {
        /// As it is imported: `acp/v1/ingest.proto`.
        public var name: String
        public var package: String
        public var syntax: Syntax
        public var imports: [String]
        public var messages: [Message] = []
        public var enums: [Enumeration] = []
        public var services: [Service] = []
        /// Fields that the file adds to messages of others, wherever they are declared in it.
        public var extensions: [Field] = []

        public init(name: String, package: String, syntax: Syntax, imports: [String]) {
            self.name = name
            self.package = package
            self.syntax = syntax
            self.imports = imports
        }
    }

    public struct Message: Sendable {
        public var name: String
        public var fullName: String
        public var syntax: Syntax
        public var comment: String
        /// Stands for one pair of a map field.
        public var isMapEntry: Bool
        public var fields: [Field] = []
        public var oneofs: [Oneof] = []
        public var messages: [Message] = []
        public var enums: [Enumeration] = []
        /// Serialized google.protobuf.MessageOptions; empty for none.
        public var options: [UInt8]
    }

    public struct Oneof: Sendable {
        public var name: String
        public var comment: String
    }

    public struct Field: Sendable {
        /// With the numbers of google.protobuf.FieldDescriptorProto.Type.
        public enum Kind: UInt32, Sendable, Hashable {
            case double = 1
            case float, int64, uint64, int32, fixed64, fixed32, bool, string, group, message, bytes, uint32, enumeration
            case sfixed32, sfixed64, sint32, sint64
        }

        public var name: String
        /// `package.Message.field`.
        public var fullName: String
        public var jsonName: String
        public var number: UInt32
        public var kind: Kind
        /// Full name of the message or enum; empty for scalars.
        public var typeName: String
        public var isRepeated: Bool
        public var isRequired: Bool
        /// Declared `optional` in proto3: its oneof exists only to say whether it is set.
        public var isProto3Optional: Bool
        /// What the file says of packing; nil when it leaves it to the syntax.
        public var isPacked: Bool?
        /// Index in the message's oneofs.
        public var oneof: Int?
        /// proto2's default, as it is written in a descriptor; nil for none.
        public var defaultText: String?
        /// Full name of the message that an extension is added to; empty for other fields.
        public var extendee: String
        public var comment: String
        /// Serialized google.protobuf.FieldOptions.
        public var options: [UInt8]
    }

    public struct Enumeration: Sendable {
        public struct Value: Sendable {
            public var name: String
            public var number: Int32
            public var comment: String
            /// Serialized google.protobuf.EnumValueOptions.
            public var options: [UInt8]
        }

        public var name: String
        public var fullName: String
        public var comment: String
        public var values: [Value]
        /// Serialized google.protobuf.EnumOptions.
        public var options: [UInt8]
    }

    public struct Service: Sendable {
        public var name: String
        public var fullName: String
        public var comment: String
        public var methods: [Method]
        /// Serialized google.protobuf.ServiceOptions.
        public var options: [UInt8]
    }

    public struct Method: Sendable {
        public var name: String
        /// `package.Service.Method`.
        public var fullName: String
        public var service: String
        /// Full names of messages.
        public var requestType: String
        public var responseType: String
        public var clientStreaming: Bool
        public var serverStreaming: Bool
        public var comment: String
        /// Serialized google.protobuf.MethodOptions.
        public var options: [UInt8]
    }
}
