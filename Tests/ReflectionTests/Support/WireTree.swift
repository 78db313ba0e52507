/// Protobuf bytes as a tree that tests can build and change.
struct WireTree: Sendable {
    enum Value: Sendable {
        case varint(UInt64)
        case fixed([UInt8])
        case bytes([UInt8])
        case message(WireTree)
    }

    var fields: [(number: Int, value: Value)] = []

    init(_ fields: [(number: Int, value: Value)] = []) { self.fields = fields }

    var serialized: [UInt8] {
        var out: [UInt8] = []
        for (number, value) in fields {
            switch value {
            case .varint(let value): out += Self.varint(UInt64(number) << 3) + Self.varint(value)
            case .fixed(let bytes): out += Self.varint(UInt64(number) << 3 | (bytes.count == 4 ? 5 : 1)) + bytes
            case .bytes(let bytes): out += Self.lengthPrefixed(number, bytes)
            case .message(let tree): out += Self.lengthPrefixed(number, tree.serialized)
            }
        }
        return out
    }

    private static func lengthPrefixed(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
        varint(UInt64(number) << 3 | 2) + varint(UInt64(bytes.count)) + bytes
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        var left = value
        while left > 0x7F {
            out.append(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        return out + [UInt8(left)]
    }

    /// The length-prefixed fields of well-formed bytes.
    static func fields(_ bytes: [UInt8]) -> [(number: Int, bytes: [UInt8])] {
        WireTree(bytes) { _, _ in nil }.fields.compactMap { number, value in
            if case .bytes(let bytes) = value { (number, bytes) } else { nil }
        }
    }

    /// - Parameter inner: whether a length-prefixed field is a message, and of which kind.
    init(_ bytes: [UInt8], _ kind: String = "", _ inner: (String, Int) -> String?) {
        var rest = bytes[...]
        func varint() -> UInt64 {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while let byte = rest.popFirst() {
                value |= UInt64(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { break }
            }
            return value
        }
        while !rest.isEmpty {
            let tag = varint()
            let number = Int(tag >> 3)
            switch tag & 7 {
            case 0: fields.append((number, .varint(varint())))
            case 2:
                let count = Int(varint())
                let content = Array(rest.prefix(count))
                rest = rest.dropFirst(content.count)
                if let kind = inner(kind, number) {
                    fields.append((number, .message(WireTree(content, kind, inner))))
                } else {
                    fields.append((number, .bytes(content)))
                }
            case let type:
                let content = Array(rest.prefix(type == 5 ? 4 : 8))
                rest = rest.dropFirst(content.count)
                fields.append((number, .fixed(content)))
            }
        }
    }
}

/// The messages of descriptor.proto by field, as far as reflection reads them.
func descriptorKind(_ kind: String, _ number: Int) -> String? {
    switch (kind, number) {
    case ("", 4), ("message", 3): "message"
    case ("", 5), ("message", 4): "enum"
    case ("", 6): "service"
    case ("", 7), ("message", 2), ("message", 6): "field"
    case ("", 9): "sources"
    case ("sources", 1): "location"
    case ("message", 7), ("field", 8), ("enum", 3), ("value", 3), ("method", 4), ("service", 3): "options"
    case ("message", 8): "oneof"
    case ("enum", 2): "value"
    case ("service", 2): "method"
    default: nil
    }
}

/// Descriptors written by hand, right or wrong.
enum Describe {
    static func text(_ number: Int, _ text: String) -> (number: Int, value: WireTree.Value) {
        (number, .bytes(Array(text.utf8)))
    }

    static func file(
        _ content: [(number: Int, value: WireTree.Value)], name: String = "bad.proto", package: String = "bad",
        syntax: String = "proto3"
    ) -> [UInt8] {
        WireTree([text(1, name), text(2, package), text(12, syntax)] + content).serialized
    }

    static func message(
        _ name: String, _ fields: [WireTree], nested: [WireTree] = [], oneofs: [String] = [], isMapEntry: Bool = false
    ) -> WireTree {
        var tree = WireTree([text(1, name)])
        tree.fields += fields.map { (2, .message($0)) } + nested.map { (3, .message($0)) }
        tree.fields += oneofs.map { (8, .message(WireTree([text(1, $0)]))) }
        if isMapEntry { tree.fields.append((7, .message(WireTree([(7, .varint(1))])))) }
        return tree
    }

    /// - Parameters:
    ///   - type: the number of google.protobuf.FieldDescriptorProto.Type; nil leaves it out.
    ///   - label: 1 optional, 2 required, 3 repeated.
    static func field(
        _ name: String, _ number: UInt64, type: UInt64? = 5, typeName: String? = nil, label: UInt64 = 1,
        oneof: UInt64? = nil, jsonName: String? = nil
    ) -> WireTree {
        var tree = WireTree([text(1, name), (3, .varint(number)), (4, .varint(label))])
        if let type { tree.fields.append((5, .varint(type))) }
        if let typeName { tree.fields.append(text(6, typeName)) }
        if let oneof { tree.fields.append((9, .varint(oneof))) }
        if let jsonName { tree.fields.append(text(10, jsonName)) }
        return tree
    }

    static func enumeration(_ name: String, _ values: [(String, Int64)]) -> WireTree {
        WireTree(
            [text(1, name)]
                + values.map { (2, .message(WireTree([text(1, $0.0), (2, .varint(UInt64(bitPattern: $0.1)))]))) })
    }

    static func service(_ name: String, _ methods: [(name: String, input: String, output: String)]) -> WireTree {
        WireTree(
            [text(1, name)]
                + methods.map { (2, .message(WireTree([text(1, $0.name), text(2, $0.input), text(3, $0.output)]))) })
    }
}
