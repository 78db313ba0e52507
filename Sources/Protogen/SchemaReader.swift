internal import CACPProtos
internal import CProtobufC

/// Turns a serialized `google.protobuf.FileDescriptorSet` into a `Schema`.
enum SchemaReader {
    static func read(_ bytes: [UInt8]) throws -> Schema {
        guard let set = google__protobuf__file_descriptor_set__unpack(nil, bytes.count, bytes) else {
            throw Diagnostics(all: [
                Diagnostic(origin: Origin(file: "input", line: 0), message: "not a serialized FileDescriptorSet")
            ])
        }
        defer { google__protobuf__file_descriptor_set__free_unpacked(set, nil) }
        return Schema(
            files: try items(set.pointee.file, set.pointee.n_file).map { try FileReader(file: $0).read() })
    }
}

/// The elements of a repeated message field of protobuf-c.
func items<T>(_ base: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?, _ count: Int) -> [UnsafeMutablePointer<
    T
>] {
    UnsafeBufferPointer(start: base, count: base == nil ? 0 : count).compactMap { $0 }
}

private func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

/// Reads one file. Locations are found by the path of field numbers and indices that descriptor.proto defines.
private struct FileReader {
    let file: UnsafeMutablePointer<Google__Protobuf__FileDescriptorProto>
    let name: String
    let package: String
    private let locations: [[Int32]: Origin]

    init(file: UnsafeMutablePointer<Google__Protobuf__FileDescriptorProto>) {
        self.file = file
        name = text(file.pointee.name)
        package = text(file.pointee.package)
        var locations: [[Int32]: Origin] = [:]
        if let info = file.pointee.source_code_info {
            for location in items(info.pointee.location, info.pointee.n_location) {
                let path = Array(UnsafeBufferPointer(start: location.pointee.path, count: location.pointee.n_path))
                let line = location.pointee.n_span > 0 ? Int(location.pointee.span[0]) + 1 : 0
                let leading = text(location.pointee.leading_comments)
                let comment = leading.isEmpty ? text(location.pointee.trailing_comments) : leading
                if locations[path] == nil {
                    locations[path] = Origin(file: name, line: line, comment: trimmed(comment))
                }
            }
        }
        self.locations = locations
    }

    private func origin(_ path: [Int32]) -> Origin { locations[path] ?? Origin(file: name, line: 0) }

    func read() throws -> ProtoFile {
        ProtoFile(
            name: name, package: package, syntax: text(file.pointee.syntax),
            declaresOptions: items(file.pointee.`extension`, file.pointee.n_extension)
                .contains { text($0.pointee.extendee).hasPrefix(".google.protobuf.") },
            descriptor: DescriptorPacking.pack(file, keepsComments: !package.hasPrefix("google.")),
            messages: items(file.pointee.message_type, file.pointee.n_message_type).enumerated()
                .map { message($1, in: package, path: [4, Int32($0)]) },
            enums: items(file.pointee.enum_type, file.pointee.n_enum_type).enumerated()
                .map { enumeration($1, in: package, path: [5, Int32($0)]) },
            services: try items(file.pointee.service, file.pointee.n_service).enumerated()
                .map { try service($1, path: [6, Int32($0)]) })
    }

    private func message(
        _ proto: UnsafeMutablePointer<Google__Protobuf__DescriptorProto>, in scope: String, path: [Int32]
    ) -> Message {
        let name = text(proto.pointee.name)
        let fullName = scope.isEmpty ? name : scope + "." + name
        return Message(
            name: name, fullName: fullName, package: package, origin: origin(path),
            isMapEntry: proto.pointee.options.map { $0.pointee.map_entry != 0 } ?? false,
            fields: items(proto.pointee.field, proto.pointee.n_field).enumerated()
                .map { field($1, path: path + [2, Int32($0)]) },
            oneofs: items(proto.pointee.oneof_decl, proto.pointee.n_oneof_decl).enumerated()
                .map { Oneof(name: text($1.pointee.name), origin: origin(path + [8, Int32($0)])) },
            messages: items(proto.pointee.nested_type, proto.pointee.n_nested_type).enumerated()
                .map { message($1, in: fullName, path: path + [3, Int32($0)]) },
            enums: items(proto.pointee.enum_type, proto.pointee.n_enum_type).enumerated()
                .map { enumeration($1, in: fullName, path: path + [4, Int32($0)]) })
    }

    private func field(
        _ proto: UnsafeMutablePointer<Google__Protobuf__FieldDescriptorProto>, path: [Int32]
    ) -> Field {
        let type = String(text(proto.pointee.type_name).drop { $0 == "." })
        let kind: Field.Kind =
            switch proto.pointee.type.rawValue {
            case 1: .double
            case 2: .float
            case 3, 16, 18: .int64
            case 4, 6: .uint64
            case 5, 15, 17: .int32
            case 7, 13: .uint32
            case 8: .bool
            case 9: .string
            case 10: .unsupported("group")
            case 11: .message(type)
            case 12: .bytes
            case 14: .enumeration(type)
            default: .unsupported("type \(proto.pointee.type.rawValue)")
            }
        let coding: Field.Coding =
            switch proto.pointee.type.rawValue {
            case 17, 18: .zigzag
            case 1, 2, 6, 7, 15, 16: .fixed
            default: .varint
            }
        // proto3's default.
        let isPacked = proto.pointee.options.map { $0.pointee.has_packed == 0 || $0.pointee.packed != 0 } ?? true
        return Field(
            name: text(proto.pointee.name), jsonName: text(proto.pointee.json_name), number: proto.pointee.number,
            kind: kind, coding: coding, isRepeated: proto.pointee.label.rawValue == 3, isPacked: isPacked,
            isProto3Optional: proto.pointee.proto3_optional != 0,
            oneof: proto.pointee.has_oneof_index != 0 ? Int(proto.pointee.oneof_index) : nil, origin: origin(path))
    }

    private func enumeration(
        _ proto: UnsafeMutablePointer<Google__Protobuf__EnumDescriptorProto>, in scope: String, path: [Int32]
    ) -> Enumeration {
        let name = text(proto.pointee.name)
        return Enumeration(
            name: name, fullName: scope.isEmpty ? name : scope + "." + name, package: package, origin: origin(path),
            values: items(proto.pointee.value, proto.pointee.n_value).enumerated().map {
                .init(name: text($1.pointee.name), number: $1.pointee.number, origin: origin(path + [2, Int32($0)]))
            })
    }

    private func service(
        _ proto: UnsafeMutablePointer<Google__Protobuf__ServiceDescriptorProto>, path: [Int32]
    ) throws -> Service {
        let name = text(proto.pointee.name)
        return Service(
            name: name, fullName: package.isEmpty ? name : package + "." + name, origin: origin(path),
            methods: try items(proto.pointee.method, proto.pointee.n_method).enumerated()
                .map { try method($1, path: path + [2, Int32($0)]) })
    }

    private func method(
        _ proto: UnsafeMutablePointer<Google__Protobuf__MethodDescriptorProto>, path: [Int32]
    ) throws -> Method {
        let origin = origin(path)
        var options: UnsafeMutablePointer<ProtobufCMessage>?
        if let raw = proto.pointee.options {
            options = UnsafeMutableRawPointer(raw).assumingMemoryBound(to: ProtobufCMessage.self)
        }
        return Method(
            name: text(proto.pointee.name), origin: origin,
            input: String(text(proto.pointee.input_type).drop { $0 == "." }),
            output: String(text(proto.pointee.output_type).drop { $0 == "." }),
            clientStreaming: proto.pointee.client_streaming != 0, serverStreaming: proto.pointee.server_streaming != 0,
            policy: try MethodOptions.policy(options, origin), httpRules: try MethodOptions.httpRules(options, origin))
    }
}

/// A comment without the blank that follows `//` on each line, and without blank lines around it.
private func trimmed(_ comment: String) -> String {
    var lines = comment.split(separator: "\n", omittingEmptySubsequences: false)
        .map { $0.hasPrefix(" ") ? $0.dropFirst() : $0 }
    while lines.first?.isEmpty == true { lines.removeFirst() }
    while lines.last?.isEmpty == true { lines.removeLast() }
    return lines.joined(separator: "\n")
}
