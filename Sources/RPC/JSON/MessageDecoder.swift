internal import CProtobufC

/// Fills C structs from JSON, by descriptor. Everything it makes lives in the arena.
struct MessageDecoder {
    /// Deeper than any of our messages; a bound for the stack that does not depend on the schema.
    static let depthMax = 32

    var reader: JSONReader
    let arena: MessageArena

    /// Reads what a message is in JSON, an object or the text of a time, into the struct at `base`, which is initialised.
    mutating func message(_ schema: MessageSchema, into base: UnsafeMutableRawPointer) throws(JSONProblem) {
        guard schema.typeName == "google.protobuf.Timestamp" else { return try object(schema, into: base) }
        guard try reader.peek() == UInt8(ascii: "\""), let (seconds, nanos) = timestampValue(try text()) else {
            throw JSONProblem(.value, "it must be an RFC 3339 time such as 2026-11-22T22:41:30Z")
        }
        storeTimestamp(seconds, nanos, base, schema)
    }

    /// Reads an object into the struct at `base`, which is initialised.
    mutating func object(
        _ schema: MessageSchema, into base: UnsafeMutableRawPointer, depth: Int = 0
    ) throws(JSONProblem) {
        guard depth < Self.depthMax else { throw JSONProblem(.tooLarge, "it is nested too deeply") }
        guard try reader.take(UInt8(ascii: "{")) else { throw notA("an object") }
        if try reader.take(UInt8(ascii: "}")) { return }
        let seen = try arena.take(schema.fields.count).assumingMemoryBound(to: Bool.self)
        seen.update(repeating: false, count: schema.fields.count)
        repeat {
            let (field, name) = try self.field(of: schema)
            guard !seen[field.index] else { throw JSONProblem(.duplicateField, "it is given twice").at(name) }
            seen[field.index] = true
            do throws(JSONProblem) { try value(of: field, into: base, depth: depth) } catch {
                throw error.at(field.name)
            }
        } while try reader.take(UInt8(ascii: ","))
        try reader.expect(UInt8(ascii: "}"))
    }

    private mutating func field(of schema: MessageSchema) throws(JSONProblem) -> (FieldSchema, String) {
        let raw = try reader.string()
        try reader.expect(UInt8(ascii: ":"))
        let found = raw.hasEscapes ? schema.field(raw.text) : schema.field(raw.bytes)
        guard let found else {
            let name = raw.text
            throw schema.unknown(name).at(String(name.prefix(100)))
        }
        return (found, found.name)
    }

    /// What is wrong when the next value is of another type.
    private mutating func notA(_ wanted: String) -> JSONProblem {
        guard let next = try? reader.peek() else { return reader.unexpected(wanted) }
        let found: String? =
            switch next {
            case UInt8(ascii: "{"): "an object"
            case UInt8(ascii: "["): "an array"
            case UInt8(ascii: "\""): "a string"
            case UInt8(ascii: "t"), UInt8(ascii: "f"): "a boolean"
            case UInt8(ascii: "n"): "null"
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): "a number"
            default: nil
            }
        guard let found else { return reader.unexpected(wanted) }
        return JSONProblem(.value, "it must be \(wanted), not \(found)")
    }

    /// Reads the value of a field; null leaves it at its default.
    mutating func value(
        of field: FieldSchema, into base: UnsafeMutableRawPointer, depth: Int
    ) throws(JSONProblem) {
        if try reader.takeNull() { return }
        if field.isMap { return try map(field, into: base, depth: depth) }
        if field.isRepeated { return try array(field, into: base, depth: depth) }
        try claimOneof(field, base)
        try single(field, into: base + field.offset, depth: depth)
    }

    private mutating func single(
        _ field: FieldSchema, into target: UnsafeMutableRawPointer, depth: Int
    ) throws(JSONProblem) {
        switch field.kind {
        case .message(let schema):
            let message = try arena.message(schema)
            try object(schema, into: message, depth: depth + 1)
            target.storeBytes(of: message, as: UnsafeMutableRawPointer.self)
        case .bool:
            let next = try reader.peek()
            let isTrue = next == UInt8(ascii: "t")
            guard isTrue || next == UInt8(ascii: "f") else { throw notA("true or false") }
            try reader.literal(isTrue ? "true" : "false")
            target.storeBytes(of: isTrue ? 1 : 0, as: protobuf_c_boolean.self)
        default:
            let next = try reader.peek()
            if next == UInt8(ascii: "\"") {
                try storeText(try text(), of: field, into: target, arena)
            } else if next == UInt8(ascii: "-") || isDigit(next) {
                guard storeNumber(try reader.number(), of: field, into: target) else { throw refused(field) }
            } else {
                throw notA(expected(field))
            }
        }
    }

    /// The next string, unescaped.
    private mutating func text() throws(JSONProblem) -> UnsafeBufferPointer<UInt8> {
        let raw = try reader.string()
        guard raw.hasEscapes else { return raw.bytes }
        let copy = try arena.take(raw.bytes.count).assumingMemoryBound(to: UInt8.self)
        return UnsafeBufferPointer(start: copy, count: raw.unescape(to: copy))
    }

    private mutating func array(
        _ field: FieldSchema, into base: UnsafeMutableRawPointer, depth: Int
    ) throws(JSONProblem) {
        guard try reader.take(UInt8(ascii: "[")) else { throw notA("an array") }
        if try reader.take(UInt8(ascii: "]")) { return }
        var list = GrowingList(field, base)
        repeat {
            let index = list.count
            do throws(JSONProblem) {
                guard try reader.peek() != UInt8(ascii: "n") else { throw notA("a value") }
                try single(field, into: try list.next(arena), depth: depth)
            } catch {
                throw error.at(index)
            }
        } while try reader.take(UInt8(ascii: ","))
        try reader.expect(UInt8(ascii: "]"))
        list.store()
    }

    private mutating func map(
        _ field: FieldSchema, into base: UnsafeMutableRawPointer, depth: Int
    ) throws(JSONProblem) {
        guard case .message(let entry) = field.kind, entry.fields.count == 2 else {
            preconditionFailure("a map entry has a key and a value")
        }
        guard try reader.take(UInt8(ascii: "{")) else { throw notA("an object") }
        if try reader.take(UInt8(ascii: "}")) { return }
        var list = GrowingList(field, base)
        var keys: Set<String> = []
        repeat {
            let raw = try reader.string()
            let key = raw.text
            guard keys.insert(key).inserted else { throw JSONProblem(.duplicateField, "it is given twice").at(key) }
            try reader.expect(UInt8(ascii: ":"))
            do throws(JSONProblem) {
                let pair = try arena.message(entry)
                try storeKey(key, of: entry.fields[0], into: pair, arena)
                guard try reader.peek() != UInt8(ascii: "n") else { throw notA("a value") }
                try single(entry.fields[1], into: pair + entry.fields[1].offset, depth: depth + 1)
                try list.next(arena).storeBytes(of: pair, as: UnsafeMutableRawPointer.self)
            } catch {
                throw error.at(key)
            }
        } while try reader.take(UInt8(ascii: ","))
        try reader.expect(UInt8(ascii: "}"))
        list.store()
    }
}

/// The array of a repeated field while it grows.
struct GrowingList {
    private let field: FieldSchema
    private let base: UnsafeMutableRawPointer
    private let stride: Int
    private(set) var count: Int
    private var capacity: Int
    private var memory: UnsafeMutableRawPointer?

    /// Continues with what the field of the struct at `base` holds.
    init(_ field: FieldSchema, _ base: UnsafeMutableRawPointer) {
        self.field = field
        self.base = base
        stride = field.stride
        count = base.load(fromByteOffset: field.quantifierOffset, as: Int.self)
        capacity = count
        memory = base.load(fromByteOffset: field.offset, as: UnsafeMutableRawPointer?.self)
    }

    /// The place of one more value.
    mutating func next(_ arena: MessageArena) throws(JSONProblem) -> UnsafeMutableRawPointer {
        if count == capacity {
            let larger = max(8, capacity * 2)
            let grown = try arena.take(larger * stride)
            if let memory { grown.copyMemory(from: memory, byteCount: count * stride) }
            memory = grown
            capacity = larger
        }
        guard let memory else { preconditionFailure("a list with capacity has memory") }
        count += 1
        return memory + (count - 1) * stride
    }

    /// Puts array and count into the struct.
    func store() {
        base.storeBytes(of: count, toByteOffset: field.quantifierOffset, as: Int.self)
        base.storeBytes(of: memory, toByteOffset: field.offset, as: UnsafeMutableRawPointer?.self)
    }
}
