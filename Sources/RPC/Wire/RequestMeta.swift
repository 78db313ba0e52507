internal import CACPProtos
internal import CProtobufC
internal import Core
internal import NIOCore

/// The meta part of a REQUEST, read straight from the C struct: this is the hot path, so text is made only where there is some.
struct RequestMeta {
    var timeoutMicroseconds: UInt64 = 0
    var trace: TraceContext?
    var requestID = ""
    var correlationID = ""
    var idempotencyKey = ""
    var attempt: UInt32 = 0
    var credential = ""
    var metadata = Metadata()

    init() {}

    /// Decodes the meta part and looks up its path with `find` while it is still a C string.
    static func decode<Entry>(
        _ bytes: UnsafeRawBufferPointer, find: (UnsafeBufferPointer<UInt8>) -> Entry?
    ) throws -> (RequestMeta, path: String, entry: Entry?) {
        try Codec.unpack(bytes, acp_descriptor_acp_wire_v1_Request(), .standard) { raw in
            let c = raw.assumingMemoryBound(to: Acp__Wire__V1__Request.self)
            var meta = RequestMeta()
            meta.timeoutMicroseconds = c.pointee.timeout_us
            meta.trace = traceContext(c)
            meta.requestID = swiftString(c.pointee.request_id)
            meta.correlationID = swiftString(c.pointee.correlation_id)
            meta.idempotencyKey = swiftString(c.pointee.idempotency_key)
            meta.attempt = c.pointee.attempt
            meta.credential = swiftString(c.pointee.credential)
            meta.metadata = try Metadata(c.pointee.n_metadata, c.pointee.metadata)
            let path = UnsafeRawPointer(c.pointee.path!).assumingMemoryBound(to: UInt8.self)
            var length = 0
            while path[length] != 0 { length += 1 }
            let entry = find(UnsafeBufferPointer(start: path, count: length))
            return (meta, entry == nil ? swiftString(c.pointee.path) : "", entry)
        }
    }

    private static func traceContext(_ c: UnsafeMutablePointer<Acp__Wire__V1__Request>) -> TraceContext? {
        guard c.pointee.trace_id.len == 16, c.pointee.span_id.len == 8 else { return nil }
        let trace = UnsafeRawPointer(c.pointee.trace_id.data!)
        let high = UInt64(bigEndian: trace.loadUnaligned(as: UInt64.self))
        let low = UInt64(bigEndian: trace.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        let span = UInt64(bigEndian: UnsafeRawPointer(c.pointee.span_id.data!).loadUnaligned(as: UInt64.self))
        guard high | low != 0, span != 0 else { return nil }
        return TraceContext(
            traceHigh: high, traceLow: low, span: span, flags: UInt8(truncatingIfNeeded: c.pointee.trace_flags),
            state: swiftString(c.pointee.trace_state))
    }

    /// Appends the meta part for a call of `path`.
    func encode(path: StaticPath, into buffer: inout ByteBuffer) {
        Codec.pack(into: &buffer) { arena in
            let c = arena.allocate(Acp__Wire__V1__Request.self)
            acp__wire__v1__request__init(c)
            c.pointee.path = path.pointer
            c.pointee.timeout_us = timeoutMicroseconds
            if let trace {
                let bytes = arena.allocate(UInt8.self, count: 24)
                let raw = UnsafeMutableRawPointer(bytes)
                raw.storeBytes(of: trace.traceHigh.bigEndian, as: UInt64.self)
                raw.storeBytes(of: trace.traceLow.bigEndian, toByteOffset: 8, as: UInt64.self)
                raw.storeBytes(of: trace.span.bigEndian, toByteOffset: 16, as: UInt64.self)
                c.pointee.trace_id = ProtobufCBinaryData(len: 16, data: bytes)
                c.pointee.span_id = ProtobufCBinaryData(len: 8, data: bytes + 16)
                c.pointee.trace_flags = UInt32(trace.flags)
                if !trace.state.isEmpty { c.pointee.trace_state = arena.string(trace.state) }
            }
            if !requestID.isEmpty { c.pointee.request_id = arena.string(requestID) }
            if !correlationID.isEmpty { c.pointee.correlation_id = arena.string(correlationID) }
            if !idempotencyKey.isEmpty { c.pointee.idempotency_key = arena.string(idempotencyKey) }
            c.pointee.attempt = attempt
            if !credential.isEmpty { c.pointee.credential = arena.string(credential) }
            (c.pointee.n_metadata, c.pointee.metadata) = metadata.fill(arena)
            return UnsafeMutableRawPointer(c)
        }
    }
}

/// A method path as a C string that lives as long as it is referenced: made once per method, not once per call.
final class StaticPath: Sendable {
    let text: String
    nonisolated(unsafe) let pointer: UnsafeMutablePointer<CChar>

    init(_ text: String) {
        self.text = text
        let utf8 = Array(text.utf8CString)
        pointer = .allocate(capacity: utf8.count)
        pointer.initialize(from: utf8, count: utf8.count)
    }

    deinit { pointer.deallocate() }
}
