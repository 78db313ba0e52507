public import Core

/// One parameter of a statement, or one field of a row for COPY, with its PostgreSQL type.
///
/// The type is part of the value even when it is NULL (`.text(nil)`), so that a cached statement always keeps its parameter types.
/// COPY needs exactly the column's type (`.int32` for `integer`); statements convert as assignment does.
public enum SQLValue: Sendable, Hashable {
    case bool(Bool?)
    case int16(Int16?)
    case int32(Int32?)
    case int64(Int64?)
    case double(Double?)
    /// `text`; U+0000 is refused by PostgreSQL.
    case text(String?)
    case bytes([UInt8]?)
    case uuid(UUIDv7?)
    case time(WallTime?)
    /// `jsonb`, as JSON text.
    case json(String?)
    case boolArray([Bool])
    case int32Array([Int32?])
    case int64Array([Int64?])
    case textArray([String?])
    case bytesArray([[UInt8]?])
    case uuidArray([UUIDv7?])
    case timeArray([WallTime?])
    case jsonArray([String?])

    /// An integer of any width as `bigint`.
    public static func int(_ value: Int?) -> SQLValue { .int64(value.map(Int64.init)) }
}

/// Type numbers from PostgreSQL's catalog (pg_type.dat): part of its stable wire protocol.
enum TypeOID {
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let name: UInt32 = 19
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let boolArray: UInt32 = 1000
    static let byteaArray: UInt32 = 1001
    static let int4Array: UInt32 = 1007
    static let textArray: UInt32 = 1009
    static let int8Array: UInt32 = 1016
    static let varchar: UInt32 = 1043
    static let timestamptz: UInt32 = 1184
    static let timestamptzArray: UInt32 = 1185
    static let uuid: UInt32 = 2950
    static let uuidArray: UInt32 = 2951
    static let jsonb: UInt32 = 3802
    static let jsonbArray: UInt32 = 3807
}

/// Microseconds from 1970-01-01, where `WallTime` counts from, to 2000-01-01, where PostgreSQL does.
let postgresEpochMicroseconds: Int64 = 946_684_800_000_000

extension SQLValue {
    var typeOID: UInt32 {
        switch self {
        case .bool: TypeOID.bool
        case .int16: TypeOID.int2
        case .int32: TypeOID.int4
        case .int64: TypeOID.int8
        case .double: TypeOID.float8
        case .text: TypeOID.text
        case .bytes: TypeOID.bytea
        case .uuid: TypeOID.uuid
        case .time: TypeOID.timestamptz
        case .json: TypeOID.jsonb
        case .boolArray: TypeOID.boolArray
        case .int32Array: TypeOID.int4Array
        case .int64Array: TypeOID.int8Array
        case .textArray: TypeOID.textArray
        case .bytesArray: TypeOID.byteaArray
        case .uuidArray: TypeOID.uuidArray
        case .timeArray: TypeOID.timestamptzArray
        case .jsonArray: TypeOID.jsonbArray
        }
    }

    /// Appends the binary form. Returns its length in bytes, or nil for NULL (and appends nothing).
    func encode(into bytes: inout [UInt8]) -> Int? {
        let start = bytes.count
        switch self {
        case .bool(let value): guard append(value, to: &bytes, { $1.append($0 ? 1 : 0) }) else { return nil }
        case .int16(let value): guard append(value, to: &bytes, { $1.append(bigEndian: $0) }) else { return nil }
        case .int32(let value): guard append(value, to: &bytes, { $1.append(bigEndian: $0) }) else { return nil }
        case .int64(let value): guard append(value, to: &bytes, { $1.append(bigEndian: $0) }) else { return nil }
        case .double(let value):
            guard append(value, to: &bytes, { $1.append(bigEndian: $0.bitPattern) }) else { return nil }
        case .text(let value): guard append(value, to: &bytes, encodeText) else { return nil }
        case .bytes(let value): guard append(value, to: &bytes, { $1.append(contentsOf: $0) }) else { return nil }
        case .uuid(let value): guard append(value, to: &bytes, encodeUUID) else { return nil }
        case .time(let value): guard append(value, to: &bytes, encodeTime) else { return nil }
        case .json(let value): guard append(value, to: &bytes, encodeJSON) else { return nil }
        case .boolArray(let values): appendArray(values, of: TypeOID.bool, to: &bytes) { $1.append($0 ? 1 : 0) }
        case .int32Array(let values): appendArray(values, of: TypeOID.int4, to: &bytes) { $1.append(bigEndian: $0) }
        case .int64Array(let values): appendArray(values, of: TypeOID.int8, to: &bytes) { $1.append(bigEndian: $0) }
        case .textArray(let values): appendArray(values, of: TypeOID.text, to: &bytes, encodeText)
        case .bytesArray(let values):
            appendArray(values, of: TypeOID.bytea, to: &bytes) { $1.append(contentsOf: $0) }
        case .uuidArray(let values): appendArray(values, of: TypeOID.uuid, to: &bytes, encodeUUID)
        case .timeArray(let values): appendArray(values, of: TypeOID.timestamptz, to: &bytes, encodeTime)
        case .jsonArray(let values): appendArray(values, of: TypeOID.jsonb, to: &bytes, encodeJSON)
        }
        return bytes.count - start
    }
}

private func append<Value>(_ value: Value?, to bytes: inout [UInt8], _ encode: (Value, inout [UInt8]) -> Void) -> Bool {
    guard let value else { return false }
    encode(value, &bytes)
    return true
}

/// One dimension, lower bound 1, as `array_send` writes it.
private func appendArray<Element>(
    _ values: [Element?], of type: UInt32, to bytes: inout [UInt8], _ encode: (Element, inout [UInt8]) -> Void
) {
    bytes.append(bigEndian: Int32(values.isEmpty ? 0 : 1))
    bytes.append(bigEndian: Int32(values.contains { $0 == nil } ? 1 : 0))
    bytes.append(bigEndian: type)
    guard !values.isEmpty else { return }
    bytes.append(bigEndian: Int32(values.count))
    bytes.append(bigEndian: Int32(1))
    for value in values {
        guard let value else {
            bytes.append(bigEndian: Int32(-1))
            continue
        }
        let lengthAt = bytes.count
        bytes.append(bigEndian: Int32(0))
        encode(value, &bytes)
        bytes.patch(bigEndian: Int32(bytes.count - lengthAt - 4), at: lengthAt)
    }
}

private func encodeText(_ value: String, _ bytes: inout [UInt8]) { bytes.append(contentsOf: value.utf8) }

private func encodeUUID(_ value: UUIDv7, _ bytes: inout [UInt8]) {
    bytes.append(bigEndian: value.high)
    bytes.append(bigEndian: value.low)
}

private func encodeTime(_ value: WallTime, _ bytes: inout [UInt8]) {
    bytes.append(bigEndian: value.microseconds - postgresEpochMicroseconds)
}

/// jsonb's binary form is its version, 1, and the text.
private func encodeJSON(_ value: String, _ bytes: inout [UInt8]) {
    bytes.append(1)
    bytes.append(contentsOf: value.utf8)
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    mutating func patch(bigEndian value: Int32, at offset: Int) {
        Swift.withUnsafeBytes(of: value.bigEndian) {
            for (index, byte) in $0.enumerated() { self[offset + index] = byte }
        }
    }
}

/// The parameters of one statement in the three arrays that libpq reads.
struct EncodedParameters {
    private var bytes: [UInt8] = []
    private var offsets: [Int] = []
    private var lengths: [Int32] = []

    init(_ values: [SQLValue]) {
        offsets.reserveCapacity(values.count)
        lengths.reserveCapacity(values.count)
        for value in values {
            let offset = bytes.count
            if let length = value.encode(into: &bytes) {
                offsets.append(offset)
                lengths.append(Int32(clamping: length))
            } else {
                offsets.append(-1)
                lengths.append(0)
            }
        }
        // An empty value still needs an address: only a null pointer means NULL.
        if bytes.isEmpty { bytes.append(0) }
    }

    func withPointers<Result>(
        _ body: (_ values: [UnsafePointer<CChar>?], _ lengths: [Int32], _ formats: [Int32]) -> Result
    ) -> Result {
        bytes.withUnsafeBytes { buffer in
            let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = offsets.map { $0 < 0 ? nil : base?.advanced(by: $0) }
            return body(values, lengths, [Int32](repeating: 1, count: lengths.count))
        }
    }
}
