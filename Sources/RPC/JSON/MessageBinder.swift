/// Fills C structs from named parameters: path variables and query strings.
struct MessageBinder {
    let arena: MessageArena
    let schema: MessageSchema
    let base: UnsafeMutableRawPointer
    /// Scalars that were given, by path with proto names: giving one twice is ambiguous.
    private var given: Set<String> = []

    init(arena: MessageArena, schema: MessageSchema, base: UnsafeMutableRawPointer) {
        self.arena = arena
        self.schema = schema
        self.base = base
    }

    /// A part of the name `filter.key`, `filter[key]` or `start.metadata.a.b`.
    private struct Name {
        var rest: Substring
        var isBracketed = false

        /// Takes the next part off.
        mutating func next() throws(JSONProblem) -> Substring {
            if rest.first == "[" {
                guard let end = rest.firstIndex(of: "]") else { throw JSONProblem(.value, "a bracket is not closed") }
                let part = rest[rest.index(after: rest.startIndex)..<end]
                rest = rest[rest.index(after: end)...]
                isBracketed = true
                if rest.first == "." { rest = rest.dropFirst() }
                return part
            }
            let end = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
            let part = rest[..<end]
            rest = rest[end...]
            if rest.first == "." { rest = rest.dropFirst() }
            isBracketed = false
            return part
        }

        /// Everything that is left is one map key.
        mutating func key() throws(JSONProblem) -> String {
            guard rest.first == "[" else { return String(rest) }
            let part = try next()
            guard rest.isEmpty else { throw JSONProblem(.value, "something follows the key in brackets") }
            return String(part)
        }
    }

    /// Sets the field called `name`. `replacing` lets it overrule what the body said.
    mutating func set(_ name: String, _ value: String, replacing: Bool) throws(JSONProblem) {
        var left = Name(rest: name[...])
        var schema = self.schema
        var base = self.base
        var path = ""
        while true {
            let part = try left.next()
            guard let field = schema.field(part) else {
                throw schema.unknown(name).at(String(name.prefix(100)))
            }
            path += path.isEmpty ? field.name : ".\(field.name)"
            do throws(JSONProblem) {
                if field.isMap {
                    return try setPair(field, try left.key(), value, base, path)
                }
                if left.rest.isEmpty {
                    return try setScalar(field, value, base, path, replacing: replacing)
                }
                guard case .message(let inner) = field.kind, !field.isRepeated else {
                    throw JSONProblem(.unknownField, "\(field.name) has no fields of its own")
                }
                try claimOneof(field, base)
                base = try child(field, inner, base)
                schema = inner
            } catch {
                throw error.at(path)
            }
        }
    }

    /// Whether a top-level scalar was set here; `name` is its proto name.
    func isGiven(_ name: String) -> Bool { given.contains(name) }

    /// Sets a top-level field to a JSON value.
    mutating func setJSON(_ name: String, _ json: String) throws(JSONProblem) {
        guard let field = schema.field(name) else { throw schema.unknown(name).at(String(name.prefix(100))) }
        guard given.insert(field.name).inserted else {
            throw JSONProblem(.duplicateField, "it is given twice").at(field.name)
        }
        var json = json
        // Typed throws do not pass through withUTF8.
        let result = json.withUTF8 { bytes -> Result<Void, JSONProblem> in
            Result { () throws(JSONProblem) in
                var decoder = MessageDecoder(reader: JSONReader(bytes), arena: arena)
                try decoder.value(of: field, into: base, depth: 0)
                try decoder.reader.expectEnd()
            }
        }
        do throws(JSONProblem) { try result.get() } catch { throw error.at(field.name) }
    }

    /// The message in a field, made when it is not there.
    private func child(
        _ field: FieldSchema, _ schema: MessageSchema, _ base: UnsafeMutableRawPointer
    ) throws(JSONProblem) -> UnsafeMutableRawPointer {
        if let known = base.load(fromByteOffset: field.offset, as: UnsafeMutableRawPointer?.self) { return known }
        let made = try arena.message(schema)
        base.storeBytes(of: made, toByteOffset: field.offset, as: UnsafeMutableRawPointer.self)
        return made
    }

    private mutating func setScalar(
        _ field: FieldSchema, _ value: String, _ base: UnsafeMutableRawPointer, _ path: String, replacing: Bool
    ) throws(JSONProblem) {
        if field.isRepeated {
            var list = GrowingList(field, base)
            try store(value, of: field, into: try list.next(arena))
            return list.store()
        }
        guard given.insert(path).inserted else { throw JSONProblem(.duplicateField, "it is given twice") }
        if !replacing { try claimOneof(field, base) }
        if replacing, field.isOneof {
            base.storeBytes(of: field.number, toByteOffset: field.quantifierOffset, as: UInt32.self)
        }
        try store(value, of: field, into: base + field.offset)
    }

    private mutating func setPair(
        _ field: FieldSchema, _ key: String, _ value: String, _ base: UnsafeMutableRawPointer, _ path: String
    ) throws(JSONProblem) {
        guard case .message(let entry) = field.kind, entry.fields.count == 2 else {
            preconditionFailure("a map entry has a key and a value")
        }
        guard !key.isEmpty else {
            throw JSONProblem(
                .value, "its key is missing", remedy: "Write \(field.name).key=value or \(field.name)[key]=value.")
        }
        guard given.insert("\(path)[\(key)]").inserted else {
            throw JSONProblem(.duplicateField, "it is given twice").at(key)
        }
        let pair = try arena.message(entry)
        try storeKey(key, of: entry.fields[0], into: pair, arena)
        try store(value, of: entry.fields[1], into: pair + entry.fields[1].offset)
        var list = GrowingList(field, base)
        try list.next(arena).storeBytes(of: pair, as: UnsafeMutableRawPointer.self)
        list.store()
    }

    private func store(_ value: String, of field: FieldSchema, into target: UnsafeMutableRawPointer) throws(JSONProblem)
    {
        guard !value.utf8.contains(0) else { throw JSONProblem(.value, "it holds a NUL character") }
        var value = value
        // Typed throws do not pass through withUTF8.
        let result = value.withUTF8 { bytes -> Result<Void, JSONProblem> in
            do throws(JSONProblem) {
                try storeParameter(bytes, of: field, into: target, arena)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }
}
