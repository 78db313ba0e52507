internal import Core

/// Key-value pairs that travel with a call, in order; keys may repeat.
///
/// Keys are lower-case letters, digits, `-`, `_` and `.`. Values are visible ASCII, except that keys ending in `-bin` carry any bytes.
public struct Metadata: Sendable, Hashable {
    public private(set) var pairs: [(key: String, value: [UInt8])] = []
    /// Keys and values together.
    private var totalBytes = 0

    public init() {}

    public var isEmpty: Bool { pairs.isEmpty }

    /// The first text value of `key`.
    public subscript(key: String) -> String? {
        pairs.first { $0.key == key }.map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// Adds a text value.
    /// - Throws: `Failure` INVALID_ARGUMENT when key or value break the rules above, RESOURCE_EXHAUSTED beyond 64 pairs.
    public mutating func add(_ key: String, _ value: String) throws {
        try add(key, bytes: Array(value.utf8))
    }

    /// Adds a value; any bytes for `-bin` keys, visible ASCII for the rest.
    public mutating func add(_ key: String, bytes: [UInt8]) throws {
        guard !key.isEmpty, key.utf8.count <= 128, key.utf8.allSatisfy(Self.isKeyByte) else {
            throw Failure.invalid(
                field: "metadata", "the key must be 1 to 128 lower-case letters, digits, '-', '_' or '.'")
        }
        guard key.hasSuffix("-bin") || bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw Failure.invalid(
                field: "metadata.\(key)", "the value must be visible ASCII; keys ending in -bin take any bytes")
        }
        guard pairs.count < RPCLimits.metadataPairsMax else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "A call carries at most \(RPCLimits.metadataPairsMax) metadata pairs.")
        }
        let count = key.utf8.count + bytes.count
        guard totalBytes + count <= RPCLimits.metadataBytesMax else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "The metadata of a call holds at most \(RPCLimits.metadataBytesMax) bytes, keys and values together.")
        }
        totalBytes += count
        pairs.append((key, bytes))
    }

    private static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7A, 0x30...0x39, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }

    public static func == (lhs: Metadata, rhs: Metadata) -> Bool {
        lhs.pairs.elementsEqual(rhs.pairs) { $0 == $1 }
    }

    public func hash(into hasher: inout Hasher) {
        for pair in pairs {
            hasher.combine(pair.key)
            hasher.combine(pair.value)
        }
    }
}

extension Metadata {
    /// Adds the pair in the protobuf encoding of `acp.wire.v1.Pair`.
    mutating func readPair(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = MetaReader(bytes)
        var key = ""
        var value = UnsafeRawBufferPointer(start: nil, count: 0)
        while let tag = try reader.tag() {
            switch tag {
            case 1 << 3 | 2: key = try reader.text()
            case 2 << 3 | 2: value = try reader.bytes()
            default: try reader.skip(tag, known: 2)
            }
        }
        try add(key, bytes: Array(value))
    }

    /// Bytes that `write` takes at most.
    var room: Int {
        pairs.reduce(0) { $0 + MetaWriter.pairRoom($1.key.utf8.count, $1.value.count) }
    }

    /// Writes each pair as one message field.
    func write(field: UInt8, to writer: inout MetaWriter) {
        for pair in pairs { pair.value.withUnsafeBytes { writer.pair(field, pair.key, $0) } }
    }
}
