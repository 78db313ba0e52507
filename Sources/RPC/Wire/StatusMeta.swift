internal import CACPProtos
internal import CProtobufC
internal import Core
internal import NIOCore

/// The meta part of a STATUS: how a call ended. A plain OK has an empty meta part.
struct StatusMeta {
    /// nil for OK.
    var failure: Failure?
    var metadata = Metadata()
    var serverMicroseconds: UInt64 = 0
    var queueMicroseconds: UInt64 = 0

    init(failure: Failure? = nil, metadata: Metadata = Metadata()) {
        self.failure = failure
        self.metadata = metadata
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> StatusMeta {
        if bytes.isEmpty { return StatusMeta() }
        return try Codec.unpack(bytes, acp_descriptor_acp_wire_v1_Status(), .standard) { raw in
            let c = raw.assumingMemoryBound(to: Acp__Wire__V1__Status.self).pointee
            var meta = StatusMeta(metadata: try Metadata(c.n_metadata, c.metadata))
            meta.serverMicroseconds = c.server_us
            meta.queueMicroseconds = c.queue_us
            guard c.code != 0 else { return meta }
            // A code this version does not know is UNKNOWN, as in gRPC.
            var failure = Failure(
                StatusCode(rawValue: Int(c.code)) ?? .unknown, reason: swiftString(c.reason), swiftString(c.message),
                remedy: swiftString(c.remedy), retryAfterMs: c.retry_after_ms)
            for index in 0..<c.n_fields {
                guard let field = c.fields[index] else { continue }
                failure.fields.append(
                    .init(field: swiftString(field.pointee.field), description: swiftString(field.pointee.description)))
            }
            meta.failure = failure
            return meta
        }
    }

    /// Texts are cut so that the meta part stays within its limit whatever an error says.
    private static let textBytesMax = 1024
    private static let fieldsMax = 6

    func encode(into buffer: inout ByteBuffer) {
        Codec.pack(into: &buffer) { arena in
            let c = arena.allocate(Acp__Wire__V1__Status.self)
            acp__wire__v1__status__init(c)
            c.pointee.server_us = serverMicroseconds
            c.pointee.queue_us = queueMicroseconds
            (c.pointee.n_metadata, c.pointee.metadata) = metadata.fill(arena)
            guard let failure else { return UnsafeMutableRawPointer(c) }
            c.pointee.code = UInt32(failure.code.rawValue)
            c.pointee.message = arena.string(Self.cut(failure.message))
            c.pointee.reason = arena.string(Self.cut(failure.reason))
            c.pointee.remedy = arena.string(Self.cut(failure.remedy))
            c.pointee.retry_after_ms = failure.retryAfterMs
            let fields = failure.fields.prefix(Self.fieldsMax)
            guard !fields.isEmpty else { return UnsafeMutableRawPointer(c) }
            let array = arena.allocate(UnsafeMutablePointer<Acp__Wire__V1__FieldViolation>?.self, count: fields.count)
            for (index, field) in fields.enumerated() {
                let item = arena.allocate(Acp__Wire__V1__FieldViolation.self)
                acp__wire__v1__field_violation__init(item)
                item.pointee.field = arena.string(Self.cut(field.field))
                item.pointee.description = arena.string(Self.cut(field.description))
                array[index] = item
            }
            c.pointee.n_fields = fields.count
            c.pointee.fields = array
            return UnsafeMutableRawPointer(c)
        }
    }

    /// At most `textBytesMax` bytes of `text`, ending at a character and without NUL (which a C string cannot carry).
    private static func cut(_ text: String) -> String {
        let clean = text.utf8.contains(0) ? text.filter { $0 != "\0" } : text
        guard clean.utf8.count > textBytesMax else { return clean }
        var end = clean.utf8.index(clean.startIndex, offsetBy: textBytesMax)
        while end.samePosition(in: clean.unicodeScalars) == nil { end = clean.utf8.index(before: end) }
        return String(clean[..<end])
    }
}
