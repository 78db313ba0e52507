internal import Crypto

/// SHA-256, the content address of originals, texts and chunks.
public struct ContentHash: Sendable {
    /// Bytes in a hash.
    public static let byteCount = 32

    private var hasher = SHA256()

    public init() {}

    /// Adds the next bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) { hasher.update(bufferPointer: bytes) }

    /// Adds the next bytes.
    public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { hasher.update(bufferPointer: $0) } }

    /// The hash of everything added so far; more may be added after.
    public func value() -> [UInt8] { Array(hasher.finalize()) }

    public static func of(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var hash = ContentHash()
        hash.update(bytes)
        return hash.value()
    }

    public static func of(_ bytes: [UInt8]) -> [UInt8] { bytes.withUnsafeBytes { of($0) } }

    /// The hash of the text's UTF-8 bytes.
    public static func of(_ text: some StringProtocol) -> [UInt8] {
        var text = String(text)
        return text.withUTF8 { of(UnsafeRawBufferPointer($0)) }
    }
}
