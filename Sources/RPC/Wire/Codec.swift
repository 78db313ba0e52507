package import CACPProtos
internal import CProtobufC
internal import Core
package import NIOCore

/// Messages from untrusted bytes, within a budget, and to the wire. Types that are known at run time only come as C structs, which live in
/// the thread's arena for one closure.
///
/// `package`, because code generated from the proto files of tests stands in a target of theirs.
package enum Codec {
    /// Unpacks `bytes` and hands the C struct to `body`; it is gone when `body` returns.
    /// - Parameter keepsUnknown: whether the struct has fields that its type does not know, as protobuf-c keeps them.
    @inline(__always)
    static func unpack<M>(
        _ bytes: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
        _ limits: DecodeLimits, keepsUnknown: Bool = false, _ body: (UnsafeMutableRawPointer) throws -> M
    ) throws -> M {
        guard let arena = acp_arena_of_thread() else { throw outOfMemory(descriptor) }
        let mark = acp_arena_save(arena)
        defer { acp_arena_release(arena, mark) }
        var message: UnsafeMutablePointer<ProtobufCMessage>?
        var badField: UnsafePointer<CChar>?
        let result = acp_unpack(
            arena, descriptor, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
            limits.unpackedBytesMax, keepsUnknown, &message, &badField)
        guard result == ACP_UNPACK_OK, let message else { throw refusal(result, badField, descriptor) }
        return try body(UnsafeMutableRawPointer(message))
    }

    /// The message in `bytes`.
    /// - Parameter descriptor: of its type.
    @inline(__always)
    package static func read<M: WireReadable>(
        _ bytes: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ limits: DecodeLimits
    ) throws -> M {
        var reader = WireReader(bytes, budget: limits.unpackedBytesMax)
        var message = M()
        reader.charge(MemoryLayout<M>.stride)
        message.read(from: &reader)
        guard reader.problem == ACP_UNPACK_OK else { throw refusal(reader.problem, bytes, descriptor) }
        return message
    }

    /// Appends `message` to `buffer`.
    @inline(__always)
    package static func write(_ message: some WireWritable, into buffer: inout ByteBuffer) {
        guard let arena = acp_arena_of_thread() else { preconditionFailure("no memory for the first arena block") }
        let mark = acp_arena_save(arena)
        defer { acp_arena_release(arena, mark) }
        var writer = WireWriter(arena: arena)
        message.write(to: &writer)
        buffer.writeBytes(writer.written)
    }

    /// Appends the packed `message` to `buffer`. Its texts were made with `acp_text_copy` in `arena`, which has less room afterwards.
    static func pack(
        _ message: UnsafePointer<ProtobufCMessage>, _ arena: UnsafeMutablePointer<acp_arena>,
        into buffer: inout ByteBuffer
    ) {
        var packed = acp_packed()
        guard acp_pack(arena, message, &packed) else { preconditionFailure("out of memory while packing a message") }
        guard packed.count > 0 else { return }
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: packed.count) { target in
            acp_packed_copy(&packed, target.baseAddress!.assumingMemoryBound(to: UInt8.self))
            return packed.count
        }
    }

    /// Why the reader has refused a message. It does not know its fields' names: `acp_unpack` does, which refuses for the same reason.
    @inline(never)
    private static func refusal(
        _ problem: acp_unpack_result, _ bytes: UnsafeRawBufferPointer,
        _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    ) -> any Error {
        if problem == ACP_UNPACK_NOT_UTF8 || problem == ACP_UNPACK_NUL {
            do { try unpack(bytes, descriptor, .standard) { _ in } } catch { return error }
        }
        return refusal(problem, nil, descriptor)
    }

    private static func refusal(
        _ result: acp_unpack_result, _ badField: UnsafePointer<CChar>?,
        _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    ) -> Failure {
        if result == ACP_UNPACK_OVER_BUDGET { return outOfMemory(descriptor) }
        let type = String(cString: descriptor.pointee.name)
        let field = badField.map { String(cString: $0) } ?? ""
        let what =
            switch result {
            case ACP_UNPACK_NOT_UTF8: "the field \(field) is not UTF-8"
            case ACP_UNPACK_NUL: "the field \(field) holds a NUL character"
            case ACP_UNPACK_TOO_DEEP: "it is nested too deeply"
            default: "its bytes are not a protobuf message of that type"
            }
        return Failure(
            .invalidArgument, reason: "MALFORMED_MESSAGE", "A message of type \(type) was refused: \(what).",
            fields: field.isEmpty ? [] : [.init(field: field, description: what)])
    }

    private static func outOfMemory(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) -> Failure {
        Failure(
            .resourceExhausted, reason: Failure.tooLarge,
            "A message of type \(String(cString: descriptor.pointee.name)) unpacks to more memory than is allowed.",
            remedy: "Send it in smaller parts.")
    }
}

/// The text of a C string that `Codec.unpack` has made: its length is known, and that it is UTF-8 need not be checked again.
func swiftString(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
    guard let pointer, pointer.pointee != 0 else { return "" }
    let utf8 = UnsafeBufferPointer(
        start: UnsafeRawPointer(pointer).assumingMemoryBound(to: UInt8.self), count: acp_text_count(pointer))
    return String(copying: UTF8Span(unchecked: utf8.span, isKnownASCII: acp_text_is_ascii(pointer)))
}

func swiftBytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    guard data.len > 0, let base = data.data else { return [] }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(data.len)
    bytes.append(contentsOf: UnsafeBufferPointer(start: base, count: data.len))
    return bytes
}
