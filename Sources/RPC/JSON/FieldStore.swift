internal import CACPProtos
internal import CProtobufC

// Scalars into C structs, from JSON tokens and from URL parameters alike.

/// Marks a member as the one that is set.
/// - Throws: when another member of its oneof is set already.
func claimOneof(_ field: FieldSchema, _ base: UnsafeMutableRawPointer) throws(JSONProblem) {
    guard field.isOneof else { return }
    let current = base.load(fromByteOffset: field.quantifierOffset, as: UInt32.self)
    guard current == 0 || current == field.number else {
        throw JSONProblem(.duplicateField, "another member of the same choice is given already")
    }
    base.storeBytes(of: field.number, toByteOffset: field.quantifierOffset, as: UInt32.self)
}

/// Stores a number; false when the field does not take it.
func storeNumber(
    _ number: UnsafeBufferPointer<UInt8>, of field: FieldSchema, into target: UnsafeMutableRawPointer
) -> Bool {
    switch field.kind {
    case .int32, .enumeration:
        guard let value = signed(number), let small = Int32(exactly: value) else { return false }
        target.storeBytes(of: small, as: Int32.self)
    case .int64:
        guard let value = signed(number) else { return false }
        target.storeBytes(of: value, as: Int64.self)
    case .uint32:
        guard let value = unsigned(number), let small = UInt32(exactly: value) else { return false }
        target.storeBytes(of: small, as: UInt32.self)
    case .uint64:
        guard let value = unsigned(number) else { return false }
        target.storeBytes(of: value, as: UInt64.self)
    case .float:
        guard let value = doubleValue(number) else { return false }
        let small = Float(value)
        guard small.isFinite || !value.isFinite else { return false }
        target.storeBytes(of: small, as: Float.self)
    case .double:
        guard let value = doubleValue(number) else { return false }
        target.storeBytes(of: value, as: Double.self)
    case .bool, .string, .bytes, .message, .timestamp: return false
    }
    return true
}

private func signed(_ number: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard let (isNegative, magnitude) = exactInteger(number) else { return nil }
    if !isNegative { return Int64(exactly: magnitude) }
    return magnitude <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
}

private func unsigned(_ number: UnsafeBufferPointer<UInt8>) -> UInt64? {
    guard let (isNegative, magnitude) = exactInteger(number), !isNegative || magnitude == 0 else { return nil }
    return magnitude
}

/// Stores text: what a JSON string or a URL parameter says.
func storeText(
    _ text: UnsafeBufferPointer<UInt8>, of field: FieldSchema, into target: UnsafeMutableRawPointer,
    _ arena: MessageArena
) throws(JSONProblem) {
    switch field.kind {
    case .string:
        target.storeBytes(of: try arena.string(text), as: UnsafeMutablePointer<CChar>.self)
    case .bytes:
        guard let capacity = base64Capacity(text) else { throw refused(field) }
        let copy = try arena.take(capacity).assumingMemoryBound(to: UInt8.self)
        guard decodeBase64(text, to: copy) else { throw refused(field) }
        target.storeBytes(of: ProtobufCBinaryData(len: capacity, data: copy), as: ProtobufCBinaryData.self)
    case .enumeration(let descriptor):
        guard let value = enumValue(descriptor, text) else { throw refused(field) }
        target.storeBytes(of: value, as: Int32.self)
    case .timestamp(let schema):
        guard let (seconds, nanos) = timestampValue(text) else { throw refused(field) }
        let message = try arena.message(schema)
        storeTimestamp(seconds, nanos, message, schema)
        target.storeBytes(of: message, as: UnsafeMutableRawPointer.self)
    case .float, .double:
        guard storeNumber(text, of: field, into: target) else { throw refused(field) }
    case .int32, .int64, .uint32, .uint64:
        guard numberLength(text) == text.count, storeNumber(text, of: field, into: target) else { throw refused(field) }
    case .bool, .message: throw refused(field)
    }
}

/// Stores a parameter's text: like JSON text, but booleans and enum numbers have no other spelling here.
func storeParameter(
    _ text: UnsafeBufferPointer<UInt8>, of field: FieldSchema, into target: UnsafeMutableRawPointer,
    _ arena: MessageArena
) throws(JSONProblem) {
    switch field.kind {
    case .bool:
        let isTrue = text.elementsEqual("true".utf8)
        guard isTrue || text.elementsEqual("false".utf8) else { throw refused(field) }
        target.storeBytes(of: isTrue ? 1 : 0, as: protobuf_c_boolean.self)
    case .enumeration where numberLength(text) == text.count:
        guard storeNumber(text, of: field, into: target) else { throw refused(field) }
    case .message:
        throw JSONProblem(
            .value, "it is a message and cannot be a parameter",
            remedy: "Name one of its fields, such as \(field.name).field.")
    default: try storeText(text, of: field, into: target, arena)
    }
}

/// Stores a map key, whose JSON form is text whatever its type.
func storeKey(
    _ key: String, of field: FieldSchema, into entry: UnsafeMutableRawPointer, _ arena: MessageArena
) throws(JSONProblem) {
    var key = key
    // Typed throws do not pass through withUTF8.
    let result = key.withUTF8 { bytes -> Result<Void, JSONProblem> in
        do throws(JSONProblem) {
            try storeParameter(bytes, of: field, into: entry + field.offset, arena)
            return .success(())
        } catch {
            return .failure(error)
        }
    }
    try result.get()
}

private func enumValue(
    _ descriptor: UnsafePointer<ProtobufCEnumDescriptor>, _ name: UnsafeBufferPointer<UInt8>
) -> Int32? {
    for index in 0..<Int(descriptor.pointee.n_value_names) {
        let candidate = descriptor.pointee.values_by_name[index]
        guard String(cString: candidate.name).utf8.elementsEqual(name) else { continue }
        return Int32(descriptor.pointee.values[Int(candidate.index)].value)
    }
    return nil
}

func storeTimestamp(_ seconds: Int64, _ nanos: Int32, _ message: UnsafeMutableRawPointer, _ schema: MessageSchema) {
    // Fields 1 and 2 of google.protobuf.Timestamp.
    message.storeBytes(of: seconds, toByteOffset: schema.fields[0].offset, as: Int64.self)
    message.storeBytes(of: nanos, toByteOffset: schema.fields[1].offset, as: Int32.self)
}

/// What a field takes, for messages.
func expected(_ field: FieldSchema) -> String {
    switch field.kind {
    case .int32: return "a whole number from -2147483648 to 2147483647"
    case .int64: return "a whole number of 64 bits, as text or number"
    case .uint32: return "a whole number from 0 to 4294967295"
    case .uint64: return "a whole number from 0 to 18446744073709551615, as text or number"
    case .float, .double: return "a number"
    case .bool: return "true or false"
    case .string: return "a string"
    case .bytes: return "base64 text"
    case .enumeration(let descriptor):
        let names = (0..<Int(descriptor.pointee.n_values)).map { String(cString: descriptor.pointee.values[$0].name) }
        return "one of \(names.joined(separator: ", "))"
    case .message: return "an object"
    case .timestamp: return "an RFC 3339 time such as 2026-11-22T22:41:30Z"
    }
}

func refused(_ field: FieldSchema) -> JSONProblem { JSONProblem(.value, "it must be \(expected(field))") }
