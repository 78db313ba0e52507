internal import Core
public import NIOCore

/// Wraps bytes as the one field of a message: a packed message or raw bytes become `field` of `type` without being copied into structs.
public struct FieldEnvelope: Sendable {
    /// Full name of the field's own message type; empty for bytes.
    public let fieldType: String
    private let tag: UInt64

    /// - Throws: `Failure` INTERNAL when `type` has no such field, or it is neither a message nor bytes.
    public init(type: String, field name: String) throws {
        guard let field = MessageSchema.named(type)?.field(name), !field.isRepeated else {
            throw Failure(.internalError, reason: "UNKNOWN_TYPE", "The program has no field \(type).\(name).")
        }
        switch field.kind {
        case .message(let schema): fieldType = schema.typeName
        case .bytes: fieldType = ""
        default:
            throw Failure(.internalError, reason: "UNKNOWN_TYPE", "\(type).\(name) is neither a message nor bytes.")
        }
        tag = UInt64(field.number) << 3 | 2
    }

    /// The packed outer message with `content` in the field.
    public func wrap(_ content: ByteBuffer) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(content.readableBytes + 16)
        Self.writeVarint(tag, to: &buffer)
        Self.writeVarint(UInt64(content.readableBytes), to: &buffer)
        buffer.writeImmutableBuffer(content)
        return buffer
    }

    private static func writeVarint(_ value: UInt64, to buffer: inout ByteBuffer) {
        var left = value
        while left > 0x7F {
            buffer.writeInteger(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        buffer.writeInteger(UInt8(left))
    }
}

extension MessageJSON {
    /// JSON name of the member that is set in the first choice (oneof) of the message; nil when there is none.
    public static func chosenMember(_ bytes: ByteBuffer, type: String) throws -> String? {
        guard let schema = MessageSchema.named(type), schema.fields.contains(where: \.isOneof) else { return nil }
        return try bytes.withUnsafeReadableBytes { raw in
            try Codec.unpack(raw, schema.descriptor, .standard) { base in
                schema.fields.first {
                    $0.isOneof && base.load(fromByteOffset: $0.quantifierOffset, as: UInt32.self) == $0.number
                }?.jsonName
            }
        }
    }
}
