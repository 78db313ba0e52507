/// One argument of a Redis command: bytes, whatever they mean to Redis.
public struct RedisArgument: Sendable, Hashable, ExpressibleByStringLiteral {
    public var bytes: [UInt8]

    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    public init(_ text: String) { bytes = Array(text.utf8) }
    public init(_ number: some BinaryInteger) { bytes = Array(String(number).utf8) }
    public init(stringLiteral value: String) { self.init(value) }
}

/// What Redis answered (RESP2).
public enum RedisValue: Sendable, Hashable {
    case null
    case integer(Int64)
    /// A status or bulk string; its bytes may be anything.
    case bytes([UInt8])
    case array([RedisValue])
    /// Redis refused the command, e.g. `WRONGTYPE …`; the connection is fine. `command` throws it instead of returning it.
    case error(String)

    /// The answer as text; nil when it is not a string.
    public var text: String? {
        if case .bytes(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil }
    }

    public var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    public var array: [RedisValue]? {
        if case .array(let values) = self { values } else { nil }
    }
}
