internal import Core

extension Metadata {
    /// Adds a value as people write it: base64 for keys ending in `-bin`, itself for the others.
    /// - Throws: `Failure` INVALID_ARGUMENT; as `add`.
    public mutating func add(_ key: String, text: String) throws {
        guard key.hasSuffix("-bin") else { return try add(key, text) }
        var text = text
        let bytes = text.withUTF8 { utf8 -> [UInt8]? in
            guard let count = base64Capacity(utf8) else { return nil }
            var isBase64 = true
            let bytes = [UInt8](unsafeUninitializedCapacity: count) {
                if let base = $0.baseAddress { isBase64 = decodeBase64(utf8, to: base) }
                $1 = isBase64 ? count : 0
            }
            return isBase64 ? bytes : nil
        }
        guard let bytes else {
            throw Failure.invalid(field: "metadata.\(key)", "the value of a key ending in -bin must be base64")
        }
        try add(key, bytes: bytes)
    }

    /// Every pair as `add(_:text:)` takes it.
    public var texts: [(key: String, text: String)] {
        pairs.map { pair in
            guard pair.key.hasSuffix("-bin") else { return (pair.key, String(decoding: pair.value, as: UTF8.self)) }
            var base64: [UInt8] = []
            pair.value.withUnsafeBufferPointer { appendBase64($0, to: &base64) }
            return (pair.key, String(decoding: base64, as: UTF8.self))
        }
    }
}
