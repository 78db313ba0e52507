internal import CACPProtos
internal import CProtobufC

#if canImport(Glibc)
    internal import Glibc
#endif

/// Writes C structs as JSON, by descriptor.
struct MessageEncoder {
    private(set) var out: [UInt8] = []
    private let options: MessageJSON.Options
    private var depth = 0

    init(_ options: MessageJSON.Options, capacity: Int) {
        self.options = options
        out.reserveCapacity(capacity)
    }

    // MARK: Structure

    private mutating func newLine() {
        guard let indent = options.indent else { return }
        out.append(0x0A)
        for _ in 0..<(indent * depth) { out.append(0x20) }
    }

    private mutating func open(_ bracket: UInt8) {
        out.append(bracket)
        depth += 1
    }

    private mutating func close(_ bracket: UInt8, isEmpty: Bool) {
        depth -= 1
        if !isEmpty { newLine() }
        out.append(bracket)
    }

    /// Before an element: the comma after the one before it.
    private mutating func next(_ isFirst: inout Bool) {
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
        newLine()
    }

    // MARK: Messages

    mutating func message(_ schema: MessageSchema, _ base: UnsafeRawPointer) throws(JSONProblem) {
        open(UInt8(ascii: "{"))
        var isFirst = true
        for field in schema.fields where isPresent(field, base) {
            next(&isFirst)
            out.append(contentsOf: field.label)
            if options.indent != nil { out.append(0x20) }
            try within(field.name) { () throws(JSONProblem) in try value(of: field, base) }
        }
        close(UInt8(ascii: "}"), isEmpty: isFirst)
    }

    /// The value of one field of the struct at `base`, as JSON.
    mutating func value(of field: FieldSchema, _ base: UnsafeRawPointer) throws(JSONProblem) {
        if field.isMap {
            try map(field, base)
        } else if field.isRepeated {
            try array(field, base)
        } else {
            try single(field, base + field.offset)
        }
    }

    /// Whether a field is written: set, or at its default when defaults are asked for. Unset messages and members of a oneof never are.
    func isPresent(_ field: FieldSchema, _ base: UnsafeRawPointer) -> Bool {
        if field.isRepeated {
            return options.printsDefaults || base.load(fromByteOffset: field.quantifierOffset, as: Int.self) > 0
        }
        if field.isOneof { return base.load(fromByteOffset: field.quantifierOffset, as: UInt32.self) == field.number }
        let target = base + field.offset
        switch field.kind {
        case .message, .timestamp: return target.load(as: UnsafeRawPointer?.self) != nil
        case _ where options.printsDefaults: return true
        // By their bits: -0.0 is not the default.
        case .int32, .uint32, .enumeration, .float: return target.load(as: Int32.self) != 0
        case .int64, .uint64, .double: return target.load(as: Int64.self) != 0
        case .bool: return target.load(as: protobuf_c_boolean.self) != 0
        case .string:
            guard let text = target.load(as: UnsafePointer<UInt8>?.self) else { return false }
            return text.pointee != 0
        case .bytes: return target.load(as: ProtobufCBinaryData.self).len > 0
        }
    }

    private mutating func array(_ field: FieldSchema, _ base: UnsafeRawPointer) throws(JSONProblem) {
        let count = base.load(fromByteOffset: field.quantifierOffset, as: Int.self)
        open(UInt8(ascii: "["))
        var isFirst = true
        if count > 0, let elements = base.load(fromByteOffset: field.offset, as: UnsafeRawPointer?.self) {
            let stride = field.stride
            for index in 0..<count {
                next(&isFirst)
                do throws(JSONProblem) { try single(field, elements + index * stride) } catch { throw error.at(index) }
            }
        }
        close(UInt8(ascii: "]"), isEmpty: isFirst)
    }

    private mutating func map(_ field: FieldSchema, _ base: UnsafeRawPointer) throws(JSONProblem) {
        guard case .message(let entry) = field.kind else { preconditionFailure("a map is a list of pairs") }
        let count = base.load(fromByteOffset: field.quantifierOffset, as: Int.self)
        open(UInt8(ascii: "{"))
        var isFirst = true
        if count > 0, let pairs = base.load(fromByteOffset: field.offset, as: UnsafePointer<UnsafeRawPointer?>?.self) {
            // protobuf-c keeps pairs whose key occurs again; the last counts, and JSON must not repeat a name.
            var last: [[UInt8]: UnsafeRawPointer] = [:]
            var order: [[UInt8]] = []
            for index in 0..<count {
                guard let pair = pairs[index] else { continue }
                let key = try keyText(entry.fields[0], pair)
                if last.updateValue(pair, forKey: key) == nil { order.append(key) }
            }
            for key in order {
                guard let pair = last[key] else { continue }
                next(&isFirst)
                key.withUnsafeBufferPointer { appendString($0) }
                out.append(UInt8(ascii: ":"))
                if options.indent != nil { out.append(0x20) }
                try single(entry.fields[1], pair + entry.fields[1].offset)
            }
        }
        close(UInt8(ascii: "}"), isEmpty: isFirst)
    }

    private func keyText(_ field: FieldSchema, _ pair: UnsafeRawPointer) throws(JSONProblem) -> [UInt8] {
        let target = pair + field.offset
        if case .string = field.kind {
            return target.load(as: UnsafePointer<CChar>?.self).map { Array(String(cString: $0).utf8) } ?? []
        }
        var scalar = MessageEncoder(MessageJSON.Options(), capacity: 24)
        try scalar.single(field, target)
        return scalar.out.filter { $0 != UInt8(ascii: "\"") }
    }

    private mutating func single(_ field: FieldSchema, _ target: UnsafeRawPointer) throws(JSONProblem) {
        switch field.kind {
        case .int32: appendInteger(Int64(target.load(as: Int32.self)))
        case .uint32: appendInteger(Int64(target.load(as: UInt32.self)))
        case .int64:
            out.append(UInt8(ascii: "\""))
            appendInteger(target.load(as: Int64.self))
            out.append(UInt8(ascii: "\""))
        case .uint64:
            out.append(UInt8(ascii: "\""))
            appendMagnitude(target.load(as: UInt64.self))
            out.append(UInt8(ascii: "\""))
        case .float:
            let value = target.load(as: Float.self)
            appendFloating(value.isFinite, value.isNaN, value < 0, value.description)
        case .double:
            let value = target.load(as: Double.self)
            appendFloating(value.isFinite, value.isNaN, value < 0, value.description)
        case .bool: out.append(contentsOf: (target.load(as: protobuf_c_boolean.self) != 0 ? "true" : "false").utf8)
        case .string: appendCString(target.load(as: UnsafePointer<UInt8>?.self))
        case .bytes:
            let data = target.load(as: ProtobufCBinaryData.self)
            out.append(UInt8(ascii: "\""))
            appendBase64(UnsafeBufferPointer(start: data.data, count: data.data == nil ? 0 : data.len), to: &out)
            out.append(UInt8(ascii: "\""))
        case .enumeration(let descriptor): appendEnum(descriptor, target.load(as: Int32.self))
        case .message(let schema):
            guard let message = target.load(as: UnsafeRawPointer?.self) else {
                // Only in a map, whose pair may lack its value: then it is an empty message.
                out.append(contentsOf: "{}".utf8)
                return
            }
            try self.message(schema, message)
        case .timestamp(let schema): try timestamp(schema, target.load(as: UnsafeRawPointer?.self))
        }
    }

    mutating func timestamp(_ schema: MessageSchema, _ message: UnsafeRawPointer?) throws(JSONProblem) {
        // As above: the pair of a map without its value.
        let seconds = message?.load(fromByteOffset: schema.fields[0].offset, as: Int64.self) ?? 0
        let nanos = message?.load(fromByteOffset: schema.fields[1].offset, as: Int32.self) ?? 0
        guard let text = timestampText(seconds: seconds, nanos: nanos) else {
            throw JSONProblem(.value, "the time is outside the years 1 to 9999 or its nanoseconds outside a second")
        }
        out.append(UInt8(ascii: "\""))
        out.append(contentsOf: text.utf8)
        out.append(UInt8(ascii: "\""))
    }

    // MARK: Scalars

    private mutating func appendEnum(_ descriptor: UnsafePointer<ProtobufCEnumDescriptor>, _ value: Int32) {
        guard let known = protobuf_c_enum_descriptor_get_value(descriptor, value) else {
            appendInteger(Int64(value))
            return
        }
        out.append(UInt8(ascii: "\""))
        out.append(contentsOf: UnsafeRawBufferPointer(start: known.pointee.name, count: strlen(known.pointee.name)))
        out.append(UInt8(ascii: "\""))
    }

    private mutating func appendInteger(_ value: Int64) {
        if value < 0 { out.append(UInt8(ascii: "-")) }
        appendMagnitude(value.magnitude)
    }

    private mutating func appendMagnitude(_ value: UInt64) {
        var left = value
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var index = 20
            repeat {
                index -= 1
                digits[index] = UInt8(left % 10) + 0x30
                left /= 10
            } while left > 0
            out.append(contentsOf: digits[index...])
        }
    }

    private mutating func appendFloating(_ isFinite: Bool, _ isNaN: Bool, _ isNegative: Bool, _ text: String) {
        if isFinite {
            // Swift writes the shortest text that reads back the same, and "1.0" for whole numbers.
            out.append(contentsOf: (text.hasSuffix(".0") ? text.dropLast(2) : text[...]).utf8)
        } else {
            out.append(contentsOf: (isNaN ? "\"NaN\"" : isNegative ? "\"-Infinity\"" : "\"Infinity\"").utf8)
        }
    }

    private mutating func appendCString(_ text: UnsafePointer<UInt8>?) {
        guard let text else {
            out.append(contentsOf: "\"\"".utf8)
            return
        }
        let length = UnsafeRawPointer(text).withMemoryRebound(to: CChar.self, capacity: 1) { strlen($0) }
        appendString(UnsafeBufferPointer(start: text, count: length))
    }

    private mutating func appendString(_ text: UnsafeBufferPointer<UInt8>) {
        JSONString.append(text, to: &out)
    }
}
