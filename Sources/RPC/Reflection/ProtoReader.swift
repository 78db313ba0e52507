internal import CACPProtos
internal import CProtobufC
internal import Core

/// Reads a serialized google.protobuf.FileDescriptorProto from an untrusted peer.
struct ProtoReader {
    /// Bytes of one name, and of a full name with all that it stands in.
    static let nameBytesMax = 255
    static let fullNameBytesMax = 1023
    /// Highest number that a field's tag has room for.
    static let fieldNumberMax = 1 << 29 - 1

    /// What may still be declared; each name of a message, field, enum, value, service or method takes one.
    var namesLeft: Int
    private var package = ""
    private var syntax = Proto.Syntax.proto2
    /// Comments by the path of field numbers and indices that descriptor.proto defines.
    private var comments: [[Int32]: String] = [:]
    private var extensions: [Proto.Field] = []

    init(namesMax: Int) { namesLeft = namesMax }

    /// - Throws: `Failure` INTERNAL `BAD_DESCRIPTOR` that says what is wrong where.
    mutating func read(_ bytes: [UInt8]) throws -> Proto.File {
        do {
            return try bytes.withUnsafeBytes { raw in
                // Options that files add of their own are unknown to protobuf-c.
                try Codec.unpack(
                    raw, acp_descriptor_google_protobuf_FileDescriptorProto(), .standard, keepsUnknown: true
                ) {
                    try file($0.assumingMemoryBound(to: Google__Protobuf__FileDescriptorProto.self).pointee)
                }
            }
        } catch let failure as Failure where failure.reason != Self.badDescriptor {
            throw Self.bad("a proto file cannot be read: \(failure.message)")
        }
    }

    static let badDescriptor = "BAD_DESCRIPTOR"

    /// - Parameter what: a clause; names in it are checked or made harmless.
    static func bad(_ what: String) -> Failure {
        Failure(
            .internalError, reason: badDescriptor, "The server describes its methods wrongly: \(what).",
            remedy: "Nothing can be called by such a description; tell whoever runs the server.")
    }

    // MARK: Names

    private mutating func declare(_ name: UnsafeMutablePointer<CChar>?, _ what: String, in scope: String) throws
        -> String
    {
        let name = swiftString(name)
        guard Self.isIdentifier(name) else {
            throw Self.bad("\(what) in \(scope.isEmpty ? "a file" : scope) has the name \"\(Self.shown(name))\"")
        }
        namesLeft -= 1
        guard namesLeft >= 0 else { throw Self.bad("it declares more names than are accepted") }
        guard scope.utf8.count + name.utf8.count < Self.fullNameBytesMax else {
            throw Self.bad(
                "the name of \(what) with everything around it is longer than \(Self.fullNameBytesMax) bytes")
        }
        return name
    }

    static func isIdentifier(_ name: some StringProtocol) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= nameBytesMax, !(0x30...0x39).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy {
            switch $0 {
            case 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A: true
            default: false
            }
        }
    }

    private static func isFullName(_ name: Substring) -> Bool {
        name.utf8.count <= fullNameBytesMax
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { isIdentifier($0) }
    }

    /// The start of a text that may be anything.
    private static func shown(_ text: String) -> String { String(text.prefix(60)) }

    /// A reference to a message or enum. Compilers write full names with a dot in front; without it a name would have to be searched for.
    private func reference(_ name: UnsafeMutablePointer<CChar>?, of what: String) throws -> String {
        let name = swiftString(name)
        guard name.hasPrefix("."), Self.isFullName(name.dropFirst()) else {
            throw Self.bad("\(what) has the type \"\(Self.shown(name))\", which is not a full name")
        }
        return String(name.dropFirst())
    }

    private static func join(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : scope + "." + name }

    // MARK: Declarations

    private mutating func file(_ c: Google__Protobuf__FileDescriptorProto) throws -> Proto.File {
        let name = swiftString(c.name)
        guard !name.isEmpty, name.utf8.count <= Self.fullNameBytesMax, name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F })
        else { throw Self.bad("a file has the name \"\(Self.shown(name))\"") }
        package = swiftString(c.package)
        guard package.isEmpty || Self.isFullName(package[...]) else {
            throw Self.bad("\(Self.shown(name)) has the package \"\(Self.shown(package))\"")
        }
        let syntax = swiftString(c.syntax)
        guard let known = Proto.Syntax(rawValue: syntax.isEmpty ? "proto2" : syntax) else {
            throw Self.bad("\(Self.shown(name)) has the syntax \"\(Self.shown(syntax))\"")
        }
        self.syntax = known
        comments = Self.comments(c.source_code_info)
        extensions = []
        let imports = UnsafeBufferPointer(start: c.dependency, count: c.dependency == nil ? 0 : c.n_dependency)
        var file = Proto.File(name: name, package: package, syntax: known, imports: imports.map { swiftString($0) })
        file.messages = try elements(c.message_type, c.n_message_type).enumerated().map {
            try message($1, in: package, path: [4, Int32($0)])
        }
        file.enums = try elements(c.enum_type, c.n_enum_type).enumerated().map {
            try enumeration($1, in: package, path: [5, Int32($0)])
        }
        file.services = try elements(c.service, c.n_service).enumerated().map { try service($1, path: [6, Int32($0)]) }
        for (index, field) in elements(c.extension, c.n_extension).enumerated() {
            extensions.append(
                try self.field(field, in: package, path: [7, Int32(index)], oneofs: 0, isExtension: true))
        }
        file.extensions = extensions
        return file
    }

    private mutating func message(
        _ c: UnsafeMutablePointer<Google__Protobuf__DescriptorProto>, in scope: String, path: [Int32]
    ) throws -> Proto.Message {
        let name = try declare(c.pointee.name, "a message", in: scope)
        let fullName = Self.join(scope, name)
        var message = Proto.Message(
            name: name, fullName: fullName, syntax: syntax, comment: comments[path] ?? "",
            isMapEntry: c.pointee.options.map { $0.pointee.map_entry != 0 } ?? false, options: packed(c.pointee.options)
        )
        message.oneofs = try elements(c.pointee.oneof_decl, c.pointee.n_oneof_decl).enumerated().map {
            Proto.Oneof(
                name: try declare($1.pointee.name, "a oneof", in: fullName),
                comment: comments[path + [8, Int32($0)]] ?? "")
        }
        message.fields = try elements(c.pointee.field, c.pointee.n_field).enumerated().map {
            try field($1, in: fullName, path: path + [2, Int32($0)], oneofs: message.oneofs.count, isExtension: false)
        }
        message.messages = try elements(c.pointee.nested_type, c.pointee.n_nested_type).enumerated().map {
            try self.message($1, in: fullName, path: path + [3, Int32($0)])
        }
        message.enums = try elements(c.pointee.enum_type, c.pointee.n_enum_type).enumerated().map {
            try enumeration($1, in: fullName, path: path + [4, Int32($0)])
        }
        for (index, field) in elements(c.pointee.extension, c.pointee.n_extension).enumerated() {
            extensions.append(
                try self.field(field, in: fullName, path: path + [6, Int32(index)], oneofs: 0, isExtension: true))
        }
        return message
    }

    private mutating func field(
        _ c: UnsafeMutablePointer<Google__Protobuf__FieldDescriptorProto>, in scope: String, path: [Int32], oneofs: Int,
        isExtension: Bool
    ) throws -> Proto.Field {
        let name = try declare(c.pointee.name, "a field", in: scope)
        let fullName = Self.join(scope, name)
        guard (1...Self.fieldNumberMax).contains(Int(c.pointee.number)) else {
            throw Self.bad("\(fullName) has the number \(c.pointee.number)")
        }
        guard c.pointee.has_type != 0, let kind = Proto.Field.Kind(rawValue: c.pointee.type.rawValue) else {
            throw Self.bad("\(fullName) has no type")
        }
        let isNamed = kind == .message || kind == .group || kind == .enumeration
        var oneof: Int?
        if c.pointee.has_oneof_index != 0 {
            guard (0..<oneofs).contains(Int(c.pointee.oneof_index)) else {
                throw Self.bad("\(fullName) is in a oneof that does not exist")
            }
            oneof = Int(c.pointee.oneof_index)
        }
        let isRepeated = c.pointee.label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED
        guard !isRepeated || oneof == nil else { throw Self.bad("\(fullName) is repeated and in a oneof") }
        let jsonName = swiftString(c.pointee.json_name)
        guard jsonName.utf8.count <= Self.nameBytesMax else { throw Self.bad("\(fullName) has too long a JSON name") }
        return Proto.Field(
            name: name, fullName: fullName, jsonName: jsonName.isEmpty ? FieldSchema.jsonName(of: name) : jsonName,
            number: UInt32(c.pointee.number), kind: kind,
            typeName: isNamed ? try reference(c.pointee.type_name, of: fullName) : "", isRepeated: isRepeated,
            isRequired: c.pointee.label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED,
            isProto3Optional: c.pointee.proto3_optional != 0,
            isPacked: c.pointee.options.flatMap { $0.pointee.has_packed != 0 ? $0.pointee.packed != 0 : nil },
            oneof: oneof, defaultText: c.pointee.default_value.map { swiftString($0) },
            extendee: isExtension ? try reference(c.pointee.extendee, of: fullName) : "",
            comment: comments[path] ?? "", options: packed(c.pointee.options))
    }

    private mutating func enumeration(
        _ c: UnsafeMutablePointer<Google__Protobuf__EnumDescriptorProto>, in scope: String, path: [Int32]
    ) throws -> Proto.Enumeration {
        let name = try declare(c.pointee.name, "an enum", in: scope)
        let fullName = Self.join(scope, name)
        let values = try elements(c.pointee.value, c.pointee.n_value).enumerated().map {
            Proto.Enumeration.Value(
                name: try declare($1.pointee.name, "a value", in: fullName), number: $1.pointee.number,
                comment: comments[path + [2, Int32($0)]] ?? "", options: packed($1.pointee.options))
        }
        guard !values.isEmpty else { throw Self.bad("the enum \(fullName) has no values") }
        return Proto.Enumeration(
            name: name, fullName: fullName, comment: comments[path] ?? "", values: values,
            options: packed(c.pointee.options))
    }

    private mutating func service(
        _ c: UnsafeMutablePointer<Google__Protobuf__ServiceDescriptorProto>, path: [Int32]
    ) throws -> Proto.Service {
        let name = try declare(c.pointee.name, "a service", in: package)
        let fullName = Self.join(package, name)
        let methods = try elements(c.pointee.method, c.pointee.n_method).enumerated().map {
            let methodPath = path + [2, Int32($0)]
            let name = try declare($1.pointee.name, "a method", in: fullName)
            return Proto.Method(
                name: name, fullName: "\(fullName).\(name)", service: fullName,
                requestType: try reference($1.pointee.input_type, of: "\(fullName).\(name)"),
                responseType: try reference($1.pointee.output_type, of: "\(fullName).\(name)"),
                clientStreaming: $1.pointee.client_streaming != 0, serverStreaming: $1.pointee.server_streaming != 0,
                comment: comments[methodPath] ?? "", options: packed($1.pointee.options))
        }
        return Proto.Service(
            name: name, fullName: fullName, comment: comments[path] ?? "", methods: methods,
            options: packed(c.pointee.options))
    }

    // MARK: Comments and options

    private static func comments(_ info: UnsafeMutablePointer<Google__Protobuf__SourceCodeInfo>?) -> [[Int32]: String] {
        guard let info else { return [:] }
        var comments: [[Int32]: String] = [:]
        for location in elements(info.pointee.location, info.pointee.n_location) {
            let leading = swiftString(location.pointee.leading_comments)
            let comment = leading.isEmpty ? swiftString(location.pointee.trailing_comments) : leading
            guard !comment.isEmpty else { continue }
            let path = UnsafeBufferPointer(
                start: location.pointee.path, count: location.pointee.path == nil ? 0 : location.pointee.n_path)
            comments[Array(path)] = trimmed(comment)
        }
        return comments
    }

    /// Without the blank that follows `//` on each line, and without blank lines around it.
    private static func trimmed(_ comment: String) -> String {
        var lines = comment.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix(" ") ? $0.dropFirst() : $0 }[...]
        while lines.first?.isEmpty == true { lines.removeFirst() }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.joined(separator: "\n")
    }
}

/// The elements of a repeated message field of protobuf-c.
private func elements<T>(
    _ base: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?, _ count: Int
) -> [UnsafeMutablePointer<T>] {
    UnsafeBufferPointer(start: base, count: base == nil ? 0 : count).compactMap { $0 }
}

/// A message as it would be on the wire, fields unknown to protobuf-c included: extensions are among those.
private func packed<T>(_ message: UnsafeMutablePointer<T>?) -> [UInt8] {
    guard let message else { return [] }
    let base = UnsafeMutableRawPointer(message).assumingMemoryBound(to: ProtobufCMessage.self)
    return [UInt8](unsafeUninitializedCapacity: protobuf_c_message_get_packed_size(base)) {
        $1 = $0.baseAddress.map { protobuf_c_message_pack(base, $0) } ?? 0
    }
}
