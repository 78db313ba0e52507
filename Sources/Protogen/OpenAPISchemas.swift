/// JSON schemas of messages and enums by proto3's JSON mapping.
struct OpenAPISchemas {
    let types: TypeNames
    private let enums: [String: Enumeration]
    /// Messages that occur in requests only: there, unknown fields are refused.
    private let requestOnly: Set<String>
    private let reachable: Set<String>

    init(_ schema: Schema, _ types: TypeNames) {
        self.types = types
        enums = Dictionary(schema.enums.map { ($0.fullName, $0) }, uniquingKeysWith: { first, _ in first })
        let methods = schema.services.flatMap(\.methods).filter { !$0.httpRules.isEmpty }
        let requests = Self.closure(methods.map(\.input), types)
        let responses = Self.closure(methods.map(\.output), types)
        requestOnly = requests.subtracting(responses)
        reachable = requests.union(responses)
    }

    /// The named types and all that they contain.
    private static func closure(_ roots: [String], _ types: TypeNames) -> Set<String> {
        var pending = roots
        var seen = Set(roots)
        while let name = pending.popLast() {
            for field in types.message(name)?.fields ?? [] {
                switch field.kind {
                case .message(let type), .enumeration(let type):
                    if seen.insert(type).inserted { pending.append(type) }
                default: break
                }
            }
        }
        return seen
    }

    /// `components.schemas`, by name.
    func components() -> JSON {
        var pairs: [JSON.Pair] = []
        for name in reachable where name != "google.protobuf.Timestamp" {
            if let message = types.message(name), !message.isMapEntry {
                pairs.append(.init(key: types.swiftName(name), value: object(message)))
            } else if let enumeration = enums[name] {
                pairs.append(.init(key: types.swiftName(name), value: self.enumeration(enumeration)))
            }
        }
        return .object(pairs.sorted { $0.key < $1.key })
    }

    func reference(_ fullName: String) -> JSON {
        if fullName == "google.protobuf.Timestamp" { return ["type": "string", "format": "date-time"] }
        return ["$ref": .string("#/components/schemas/" + types.swiftName(fullName))]
    }

    /// A message as an object, without the fields that something else carries.
    func object(_ message: Message, without excluded: Set<String> = []) -> JSON {
        let fields = message.fields.filter { !excluded.contains($0.name) }
        var schema: JSON = ["type": "object"]
        schema = schema.adding("description", .string(message.origin.comment))
        schema = schema.adding(
            "properties", .object(fields.map { .init(key: $0.jsonName, value: property($0)) }))
        let oneofs = Set(fields.map(\.oneof))
        if oneofs.count == 1, oneofs.first != .some(nil), fields.count > 1 {
            schema = schema.adding(
                "oneOf", .array(fields.map { ["required": [.string($0.jsonName)]] }))
        }
        return requestOnly.contains(message.fullName) ? schema.adding("additionalProperties", false) : schema
    }

    /// A field as a property of its message, with its comment.
    func property(_ field: Field) -> JSON {
        value(field).adding("description", .string(field.origin.comment))
    }

    /// The JSON of a field.
    func value(_ field: Field) -> JSON {
        if let entry = types.mapEntry(field) {
            return ["type": "object", "additionalProperties": element(entry.fields[1])]
        }
        return field.isRepeated ? ["type": "array", "items": element(field)] : element(field)
    }

    func element(_ field: Field) -> JSON {
        switch field.kind {
        case .double: ["type": "number", "format": "double"]
        case .float: ["type": "number", "format": "float"]
        // 64 bits do not fit into the numbers of JavaScript, so proto3 writes them as strings.
        case .int64: ["type": "string", "format": "int64"]
        case .uint64: ["type": "string", "format": "uint64"]
        case .int32: ["type": "integer", "format": "int32"]
        case .uint32: ["type": "integer", "format": "uint32", "minimum": 0, "maximum": 4_294_967_295]
        case .bool: ["type": "boolean"]
        case .string: ["type": "string"]
        case .bytes: ["type": "string", "contentEncoding": "base64"]
        case .message(let name), .enumeration(let name): reference(name)
        case .unsupported: [:]
        }
    }

    private func enumeration(_ enumeration: Enumeration) -> JSON {
        var lines = enumeration.origin.comment.isEmpty ? [] : [enumeration.origin.comment]
        for value in enumeration.values where !value.origin.comment.isEmpty {
            lines.append("`\(value.name)`: \(value.origin.comment)")
        }
        let schema: JSON = ["type": "string", "enum": .array(enumeration.values.map { .string($0.name) })]
        return schema.adding("description", .string(lines.joined(separator: "\n")))
    }
}
