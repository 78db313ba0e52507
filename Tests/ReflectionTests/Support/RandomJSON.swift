import CACPProtos

@testable import RPC

/// Random JSON for a message by its schema: every kind of field, both lists and maps, one member of a oneof.
struct RandomJSON {
    /// Messages that contain themselves many times would grow without end.
    static let objectsMax = 300

    var generator: SeededGenerator
    private var objects = 0

    init(generator: SeededGenerator) { self.generator = generator }

    mutating func object(_ schema: MessageSchema, depth: Int = 0) -> String {
        if depth == 0 { objects = 0 }
        objects += 1
        var members: [String] = []
        var oneofs: Set<Int> = []
        for field in schema.fields {
            guard generator.chance(depth > 3 ? 4 : 2) else { continue }
            if field.isOneof, !oneofs.insert(field.quantifierOffset).inserted { continue }
            guard (depth < 6 && objects < Self.objectsMax) || !isMessage(field) else { continue }
            let name = generator.chance() ? field.name : field.jsonName
            members.append("\"\(name)\":\(value(field, depth))")
        }
        return "{\(members.joined(separator: ","))}"
    }

    private func isMessage(_ field: FieldSchema) -> Bool {
        if case .message = field.kind { true } else { false }
    }

    private mutating func value(_ field: FieldSchema, _ depth: Int) -> String {
        if field.isMap, case .message(let entry) = field.kind {
            var count = generator.below(4)
            if case .bool = entry.fields[0].kind { count = min(count, 2) }
            let pairs = (0..<count).map { index in
                "\"\(key(entry.fields[0], index))\":\(single(entry.fields[1], depth + 1))"
            }
            return "{\(pairs.joined(separator: ","))}"
        }
        guard field.isRepeated else { return single(field, depth) }
        return "[\((0..<generator.below(4)).map { _ in single(field, depth) }.joined(separator: ","))]"
    }

    private func key(_ field: FieldSchema, _ index: Int) -> String {
        switch field.kind {
        case .bool: index == 0 ? "true" : "false"
        case .string: "k\(index)"
        default: "\(index)"
        }
    }

    private mutating func single(_ field: FieldSchema, _ depth: Int) -> String {
        let bits = generator.chance() ? generator.next() : UInt64(generator.below(100))
        switch field.kind {
        case .int32: return "\(Int32(truncatingIfNeeded: bits))"
        case .uint32: return "\(UInt32(truncatingIfNeeded: bits))"
        case .int64: return "\"\(Int64(bitPattern: bits))\""
        case .uint64: return "\"\(bits)\""
        case .float: return "\(Float(Int16(truncatingIfNeeded: bits)) / 4)"
        case .double: return "\(Double(Int32(truncatingIfNeeded: bits)) / 8)"
        case .bool: return generator.chance() ? "true" : "false"
        case .string: return ["\"\"", "\"text\"", #""é\n\"\\ 😀""#][generator.below(3)]
        case .bytes: return ["\"\"", "\"AAEC\"", "\"/w==\""][generator.below(3)]
        case .enumeration(let type):
            guard generator.chance(4) else {
                let index = generator.below(Int(type.pointee.n_values))
                return "\"\(String(cString: type.pointee.values[index].name))\""
            }
            return "\(Int32(truncatingIfNeeded: bits))"
        case .message(let schema): return object(schema, depth: depth + 1)
        case .timestamp:
            return ["\"1970-01-01T00:00:00Z\"", "\"2026-11-22T22:41:30.120Z\""][generator.below(2)]
        }
    }
}
