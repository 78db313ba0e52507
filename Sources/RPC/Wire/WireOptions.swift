/// What a connection end does with its bytes beyond framing them. Each side decides for what it sends; HELLO tells what the other accepts.
public struct WireOptions: Sendable, Hashable {
    public enum Compression: Sendable, Hashable {
        /// zstd unless the peer is on this machine, where bytes cost less than the processor.
        case automatic
        case always
        case never
    }

    /// For messages of at least 1 KiB that shrink by at least a tenth.
    public var compression = Compression.automatic
    /// Ask the peer for a CRC-32C on every frame. TLS makes it superfluous.
    public var checksums = false

    public init() {}
}

/// Feature bits of HELLO: what the sender of the HELLO accepts or wants.
struct Features: OptionSet, Hashable {
    let rawValue: UInt64

    /// Compressed messages are accepted.
    static let zstd = Features(rawValue: 1)
    /// Every frame sent to me should carry a CRC-32C.
    static let crc32c = Features(rawValue: 2)
}
