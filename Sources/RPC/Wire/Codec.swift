package import CACPProtos
internal import CProtobufC
internal import Core
package import NIOCore

/// The only place where C message structs come to life: everything is scanned first, and lives in the thread's arena for one closure.
///
/// `package`, because code generated from the proto files of tests stands in a target of theirs.
package enum Codec {
    /// Unpacks `bytes` and hands the C struct to `body`; it is gone when `body` returns.
    package static func unpack<M>(
        _ bytes: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
        _ limits: DecodeLimits, _ body: (UnsafeMutableRawPointer) throws -> M
    ) throws -> M {
        // An empty message has no bytes, and protobuf-c wants a pointer all the same.
        guard let base = bytes.baseAddress, !bytes.isEmpty else {
            var nothing: UInt8 = 0
            return try withUnsafeBytes(of: &nothing) {
                try unpack($0.baseAddress!.assumingMemoryBound(to: UInt8.self), 0, descriptor, limits, body)
            }
        }
        return try unpack(base.assumingMemoryBound(to: UInt8.self), bytes.count, descriptor, limits, body)
    }

    private static func unpack<M>(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
        _ limits: DecodeLimits, _ body: (UnsafeMutableRawPointer) throws -> M
    ) throws -> M {
        var badField: UnsafePointer<CChar>?
        let scan = acp_scan(descriptor, bytes, count, &badField)
        guard scan == ACP_SCAN_OK || scan == ACP_SCAN_REPEATS else { throw malformed(scan, badField, descriptor) }
        guard let arena = acp_arena_of_thread() else { throw outOfMemory(descriptor) }
        let mark = acp_arena_save(arena)
        defer { acp_arena_release(arena, mark) }
        var bytes = bytes
        var count = count
        if scan == ACP_SCAN_REPEATS {
            // Legal and rare: most encoders never write a message field twice.
            var mergedCount = 0
            guard let merged = acp_merge(arena, descriptor, bytes, count, limits.unpackedBytesMax, &mergedCount) else {
                throw outOfMemory(descriptor)
            }
            (bytes, count) = (merged, mergedCount)
        }
        var overBudget = false
        guard let message = acp_unpack(arena, descriptor, bytes, count, limits.unpackedBytesMax, &overBudget) else {
            throw overBudget ? outOfMemory(descriptor) : malformed(ACP_SCAN_MALFORMED, nil, descriptor)
        }
        return try body(UnsafeMutableRawPointer(message))
    }

    /// Lets `build` fill a C struct in the thread's arena and appends it, packed, to `buffer`.
    package static func pack(into buffer: inout ByteBuffer, _ build: (PackArena) -> UnsafeMutableRawPointer) {
        guard let arena = acp_arena_of_thread() else { preconditionFailure("no memory for the first arena block") }
        let mark = acp_arena_save(arena)
        defer { acp_arena_release(arena, mark) }
        let message = build(PackArena(arena: arena)).assumingMemoryBound(to: ProtobufCMessage.self)
        let count = protobuf_c_message_get_packed_size(message)
        guard count > 0 else { return }
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            protobuf_c_message_pack(message, target.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
    }

    private static func malformed(
        _ scan: acp_scan_result, _ badField: UnsafePointer<CChar>?,
        _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>
    ) -> Failure {
        let type = String(cString: descriptor.pointee.name)
        let field = badField.map { String(cString: $0) } ?? ""
        let what =
            switch scan {
            case ACP_SCAN_NOT_UTF8: "the field \(field) is not UTF-8"
            case ACP_SCAN_NUL: "the field \(field) holds a NUL character"
            case ACP_SCAN_TOO_DEEP: "it is nested too deeply"
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

/// Where generated code puts C structs while a message is packed. Valid only inside `Codec.pack`.
package struct PackArena {
    fileprivate let arena: OpaquePointer

    /// Uninitialised memory for `count` values.
    package func allocate<T>(_ type: T.Type, count: Int = 1) -> UnsafeMutablePointer<T> {
        guard let memory = acp_arena_take(arena, MemoryLayout<T>.stride * count) else {
            preconditionFailure("out of memory while packing a message")
        }
        return memory.bindMemory(to: T.self, capacity: count)
    }

    /// A NUL-terminated copy. Text is cut at a NUL by design of C strings; decoding refuses such text, so ours never holds one.
    package func string(_ string: String) -> UnsafeMutablePointer<CChar> {
        var string = string
        return string.withUTF8 { utf8 in
            let copy = allocate(CChar.self, count: utf8.count + 1)
            UnsafeMutableRawPointer(copy).copyMemory(
                from: utf8.baseAddress ?? UnsafePointer(emptyBytes), byteCount: utf8.count)
            copy[utf8.count] = 0
            return copy
        }
    }

    package func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
        guard !bytes.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
        let copy = allocate(UInt8.self, count: bytes.count)
        bytes.withUnsafeBufferPointer { copy.update(from: $0.baseAddress!, count: bytes.count) }
        return ProtobufCBinaryData(len: bytes.count, data: copy)
    }
}

private nonisolated(unsafe) let emptyBytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)

/// The text of a C string that `Codec.unpack` has scanned.
package func swiftString(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
    guard let pointer, pointer.pointee != 0 else { return "" }
    return String(cString: pointer)
}

package func swiftBytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    guard data.len > 0, let base = data.data else { return [] }
    return Array(UnsafeBufferPointer(start: base, count: data.len))
}
