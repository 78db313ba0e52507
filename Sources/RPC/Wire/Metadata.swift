internal import CACPProtos
internal import CProtobufC
internal import Core

/// Key-value pairs that travel with a call, in order; keys may repeat.
///
/// Keys are lower-case letters, digits, `-`, `_` and `.`. Values are visible ASCII, except that keys ending in `-bin` carry any bytes.
public struct Metadata: Sendable, Hashable {
    public private(set) var pairs: [(key: String, value: [UInt8])] = []

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

typealias CPair = Acp__Wire__V1__Pair

extension Metadata {
    /// The pairs of a received meta part.
    init(_ count: Int, _ pairs: UnsafeMutablePointer<UnsafeMutablePointer<CPair>?>?) throws {
        self.init()
        guard count > 0, let pairs else { return }
        for index in 0..<count {
            guard let pair = pairs[index] else { continue }
            try add(swiftString(pair.pointee.key), bytes: swiftBytes(pair.pointee.value))
        }
    }

    /// The pairs as C structs of a meta part to send.
    func fill(_ arena: PackArena) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<CPair>?>?) {
        guard !pairs.isEmpty else { return (0, nil) }
        let array = arena.allocate(UnsafeMutablePointer<CPair>?.self, count: pairs.count)
        for (index, pair) in pairs.enumerated() {
            let item = arena.allocate(CPair.self)
            acp__wire__v1__pair__init(item)
            item.pointee.key = arena.string(pair.key)
            item.pointee.value = arena.bytes(pair.value)
            array[index] = item
        }
        return (pairs.count, array)
    }
}
