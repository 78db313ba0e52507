public import NIOCore

/// A protobuf message as a Swift value. Conformances are generated.
public protocol WireMessage: Sendable, Hashable {
    /// The message with every field at its default.
    init()
    /// Full protobuf name, e.g. `acp.v1.SearchRequest`.
    static var typeName: String { get }
    /// The message in `bytes`.
    /// - Throws: `Failure` INVALID_ARGUMENT `MALFORMED_MESSAGE` for bytes that are not the message, text that is not UTF-8 or holds a NUL;
    ///   RESOURCE_EXHAUSTED `TOO_LARGE` when it would unpack to more than `limits` allow.
    static func decode(_ bytes: UnsafeRawBufferPointer, limits: DecodeLimits) throws -> Self
    /// Appends the packed message.
    func encode(into buffer: inout ByteBuffer)
}

/// What unpacking one message may cost.
public struct DecodeLimits: Sendable, Hashable {
    /// Bytes of memory that the message may take, as far as can be told before it is taken.
    public var unpackedBytesMax: Int

    public init(unpackedBytesMax: Int = 64 << 20) {
        self.unpackedBytesMax = unpackedBytesMax
    }

    public static let standard = DecodeLimits()
}

extension WireMessage {
    /// The message in the readable bytes of `buffer`.
    public static func decode(_ buffer: ByteBuffer, limits: DecodeLimits = .standard) throws -> Self {
        try buffer.withUnsafeReadableBytes { try decode($0, limits: limits) }
    }

    /// The packed message in a buffer of its own.
    public func encoded() -> ByteBuffer {
        var buffer = ByteBuffer()
        encode(into: &buffer)
        return buffer
    }
}
