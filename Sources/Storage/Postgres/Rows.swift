internal import CPQ
public import Core

/// The result of one statement: its rows in binary form, decoded when asked.
public struct Rows: Sendable, RandomAccessCollection {
    private let result: ResultHandle
    public let endIndex: Int
    public var startIndex: Int { 0 }

    init(_ result: ResultHandle) {
        self.result = result
        endIndex = Int(PQntuples(result.raw))
    }

    public subscript(position: Int) -> Row {
        precondition(position >= 0 && position < endIndex, "row \(position) of \(endIndex)")
        return Row(result: result, index: Int32(position))
    }

    /// Rows inserted, updated, deleted or selected.
    public var affected: Int { Int(String(cString: PQcmdTuples(result.raw))) ?? 0 }

    /// The command tag, e.g. `ROLLBACK`.
    var command: String { String(cString: PQcmdStatus(result.raw)) }

    /// The only row of a statement that returns exactly one. Throws INTERNAL for any other number.
    public func one() throws -> Row {
        guard count == 1 else {
            throw Failure(
                .internalError, reason: "ROW_COUNT", "A statement returned \(count) rows where one was expected.")
        }
        return self[0]
    }
}

/// Owns a PGresult. `@unchecked Sendable`: libpq documents a complete result as read-only, usable from any thread.
final class ResultHandle: @unchecked Sendable {
    let raw: OpaquePointer
    init(_ raw: OpaquePointer) { self.raw = raw }
    deinit { PQclear(raw) }
}

/// One row. Every accessor throws INTERNAL when the column has another type, is missing, or is NULL where that was not expected:
/// the statement and its reader disagree, which no input can cause.
public struct Row: Sendable {
    fileprivate let result: ResultHandle
    fileprivate let index: Int32

    public func isNull(_ column: Int) -> Bool { PQgetisnull(result.raw, index, Int32(column)) == 1 }

    public func bool(_ column: Int) throws -> Bool { try required(column, optionalBool(column)) }
    public func int64(_ column: Int) throws -> Int64 { try required(column, optionalInt64(column)) }
    public func double(_ column: Int) throws -> Double { try required(column, optionalDouble(column)) }
    public func text(_ column: Int) throws -> String { try required(column, optionalText(column)) }
    public func bytes(_ column: Int) throws -> [UInt8] { try required(column, optionalBytes(column)) }
    public func uuid(_ column: Int) throws -> UUIDv7 { try required(column, optionalUUID(column)) }
    public func time(_ column: Int) throws -> WallTime { try required(column, optionalTime(column)) }
    /// `json` or `jsonb`, as JSON text.
    public func json(_ column: Int) throws -> String { try required(column, optionalJSON(column)) }

    /// Any integer type as `Int`.
    public func int(_ column: Int) throws -> Int { Int(try int64(column)) }
    public func optionalInt(_ column: Int) throws -> Int? { try optionalInt64(column).map(Int.init) }

    public func optionalBool(_ column: Int) throws -> Bool? {
        try decode(column, [TypeOID.bool]) { $0.count == 1 ? $0[0] != 0 : nil }
    }

    public func optionalInt64(_ column: Int) throws -> Int64? {
        try decode(column, [TypeOID.int8, TypeOID.int4, TypeOID.int2]) { bytes in
            switch bytes.count {
            case 8: Int64(bytes.bigEndian(at: 0) as Int64)
            case 4: Int64(bytes.bigEndian(at: 0) as Int32)
            case 2: Int64(bytes.bigEndian(at: 0) as Int16)
            default: nil
            }
        }
    }

    public func optionalDouble(_ column: Int) throws -> Double? {
        try decode(column, [TypeOID.float8, TypeOID.float4]) { bytes in
            switch bytes.count {
            case 8: Double(bitPattern: bytes.bigEndian(at: 0))
            case 4: Double(Float(bitPattern: bytes.bigEndian(at: 0)))
            default: nil
            }
        }
    }

    public func optionalText(_ column: Int) throws -> String? {
        try decode(column, [TypeOID.text, TypeOID.varchar, TypeOID.name]) { String(decoding: $0, as: UTF8.self) }
    }

    public func optionalBytes(_ column: Int) throws -> [UInt8]? { try decode(column, [TypeOID.bytea]) { [UInt8]($0) } }

    public func optionalUUID(_ column: Int) throws -> UUIDv7? {
        try decode(column, [TypeOID.uuid]) { $0.uuid }
    }

    public func optionalTime(_ column: Int) throws -> WallTime? {
        try decode(column, [TypeOID.timestamptz]) { bytes in
            guard bytes.count == 8 else { return nil }
            let (micros, overflow) = (bytes.bigEndian(at: 0) as Int64)
                .addingReportingOverflow(postgresEpochMicroseconds)
            return overflow ? nil : WallTime(microseconds: micros)
        }
    }

    public func optionalJSON(_ column: Int) throws -> String? {
        try decode(column, [TypeOID.jsonb, TypeOID.json]) { bytes in
            // jsonb starts with its version, 1; json is bare text and cannot start with that control character.
            bytes.first == 1
                ? String(decoding: bytes.dropFirst(), as: UTF8.self) : String(decoding: bytes, as: UTF8.self)
        }
    }

    public func textArray(_ column: Int) throws -> [String] {
        try array(column, TypeOID.textArray) { String(decoding: $0, as: UTF8.self) }
    }

    public func int64Array(_ column: Int) throws -> [Int64] {
        try array(column, TypeOID.int8Array) { $0.count == 8 ? $0.bigEndian(at: 0) : nil }
    }

    public func uuidArray(_ column: Int) throws -> [UUIDv7] { try array(column, TypeOID.uuidArray) { $0.uuid } }

    /// Reads a `bytea` in place, without a copy.
    public func withBytes<Result>(_ column: Int, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try check(column, [TypeOID.bytea])
        guard !isNull(column) else { throw mismatch(column, "is NULL") }
        return try body(field(column))
    }
}

extension Row {
    private func field(_ column: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: PQgetvalue(result.raw, index, Int32(column)),
            count: Int(PQgetlength(result.raw, index, Int32(column))))
    }

    private func check(_ column: Int, _ types: [UInt32]) throws {
        guard column >= 0, column < Int(PQnfields(result.raw)) else { throw mismatch(column, "does not exist") }
        guard types.contains(PQftype(result.raw, Int32(column))) else {
            throw mismatch(column, "has type \(PQftype(result.raw, Int32(column)))")
        }
    }

    private func decode<Value>(
        _ column: Int, _ types: [UInt32], _ body: (UnsafeRawBufferPointer) -> Value?
    ) throws -> Value? {
        try check(column, types)
        guard !isNull(column) else { return nil }
        guard let value = body(field(column)) else { throw mismatch(column, "has an unexpected binary form") }
        return value
    }

    private func required<Value>(_ column: Int, _ value: Value?) throws -> Value {
        guard let value else { throw mismatch(column, "is NULL") }
        return value
    }

    /// Reads what `array_send` writes: one dimension or empty, no NULL elements.
    private func array<Element>(
        _ column: Int, _ type: UInt32, _ element: (UnsafeRawBufferPointer) -> Element?
    ) throws -> [Element] {
        let decoded: [Element]? = try decode(column, [type]) { bytes in
            guard bytes.count >= 12 else { return nil }
            guard bytes.bigEndian(at: 0) as Int32 != 0 else { return [] }
            guard bytes.count >= 20, bytes.bigEndian(at: 0) as Int32 == 1 else { return nil }
            let count = Int(bytes.bigEndian(at: 12) as Int32)
            var elements: [Element] = []
            var offset = 20
            for _ in 0..<count {
                guard offset + 4 <= bytes.count else { return nil }
                let length = Int(bytes.bigEndian(at: offset) as Int32)
                guard length >= 0, offset + 4 + length <= bytes.count else { return nil }
                let slice = UnsafeRawBufferPointer(rebasing: bytes[(offset + 4)..<(offset + 4 + length)])
                guard let value = element(slice) else { return nil }
                elements.append(value)
                offset += 4 + length
            }
            return elements
        }
        return try required(column, decoded)
    }

    private func mismatch(_ column: Int, _ what: String) -> Failure {
        Failure(.internalError, reason: "ROW_TYPE", "Column \(column) of a statement's result \(what).")
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian<Value: FixedWidthInteger>(at offset: Int) -> Value {
        Value(bigEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    fileprivate var uuid: UUIDv7? {
        count == 16 ? UUIDv7(high: bigEndian(at: 0), low: bigEndian(at: 8)) : nil
    }
}
