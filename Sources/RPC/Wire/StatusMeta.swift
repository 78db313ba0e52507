internal import Core
internal import NIOCore

/// The meta part of a STATUS: how a call ended. A plain OK may have an empty meta part.
struct StatusMeta {
    /// nil for OK.
    var failure: Failure?
    var metadata = Metadata()
    var serverMicroseconds: UInt64 = 0
    var queueMicroseconds: UInt64 = 0
    /// No handler was started: a repeat is safe whatever the method.
    var isRefused = false

    init(failure: Failure? = nil, metadata: Metadata = Metadata()) {
        self.failure = failure
        self.metadata = metadata
    }

    /// - Throws: `Failure` INVALID_ARGUMENT `MALFORMED_MESSAGE`, or what `Metadata` refuses.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> StatusMeta {
        var meta = StatusMeta()
        do {
            try meta.read(bytes)
        } catch let malformed as MetaReader.Malformed {
            throw malformed.failure("acp.wire.v1.Status")
        }
        return meta
    }

    private mutating func read(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = MetaReader(bytes)
        var code: UInt32 = 0
        // Made only for calls that failed.
        var details = Failure(.unknown, "")
        while let tag = try reader.tag() {
            switch tag {
            case 1 << 3: code = UInt32(truncatingIfNeeded: try reader.varint())
            case 2 << 3 | 2: details.message = try reader.text()
            case 3 << 3 | 2: details.reason = try reader.text()
            case 4 << 3 | 2: details.remedy = try reader.text()
            case 5 << 3 | 2: details.fields.append(try Self.field(try reader.bytes()))
            case 6 << 3: details.retryAfterMs = UInt32(truncatingIfNeeded: try reader.varint())
            case 7 << 3 | 2: try metadata.readPair(try reader.bytes())
            case 8 << 3: serverMicroseconds = try reader.varint()
            case 9 << 3: queueMicroseconds = try reader.varint()
            case 10 << 3: isRefused = try reader.varint() != 0
            default: try reader.skip(tag, known: 10)
            }
        }
        guard code != 0 else { return }
        // A code this version does not know is UNKNOWN, as in gRPC.
        details.code = StatusCode(rawValue: Int(code)) ?? .unknown
        failure = details
    }

    private static func field(_ bytes: UnsafeRawBufferPointer) throws(MetaReader.Malformed) -> Failure.FieldViolation {
        var reader = MetaReader(bytes)
        var field = Failure.FieldViolation(field: "", description: "")
        while let tag = try reader.tag() {
            switch tag {
            case 1 << 3 | 2: field.field = try reader.text()
            case 2 << 3 | 2: field.description = try reader.text()
            default: try reader.skip(tag, known: 2)
            }
        }
        return field
    }

    /// Texts are cut so that the meta part stays within its limit whatever an error says.
    private static let textBytesMax = 1024
    private static let fieldsMax = 6

    /// Appends the meta part of a call that ended well; returns its size.
    @inline(__always)
    static func encodeOK(
        serverMicroseconds: UInt64, queueMicroseconds: UInt64, metadata: Metadata, into buffer: inout ByteBuffer
    ) -> Int {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 32 + metadata.room) { target in
            var writer = MetaWriter(target.baseAddress!)
            if !metadata.isEmpty { metadata.write(field: 7, to: &writer) }
            writer.number(8, serverMicroseconds)
            writer.number(9, queueMicroseconds)
            return writer.count
        }
    }

    /// Appends the meta part; returns its size.
    func encode(into buffer: inout ByteBuffer) -> Int {
        guard let failure else {
            return Self.encodeOK(
                serverMicroseconds: serverMicroseconds, queueMicroseconds: queueMicroseconds, metadata: metadata,
                into: &buffer)
        }
        let texts = (1 << 10) * (3 + 2 * Self.fieldsMax + 1) + 256
        return buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: texts + metadata.room) { target in
            var writer = MetaWriter(target.baseAddress!)
            writer.number(1, UInt64(failure.code.rawValue))
            writer.text(2, Self.cut(failure.message))
            writer.text(3, Self.cut(failure.reason))
            writer.text(4, Self.cut(failure.remedy))
            for field in failure.fields.prefix(Self.fieldsMax) {
                var description = Self.cut(field.description)
                description.withUTF8 { writer.pair(5, Self.cut(field.field), UnsafeRawBufferPointer($0)) }
            }
            writer.number(6, UInt64(failure.retryAfterMs))
            metadata.write(field: 7, to: &writer)
            writer.number(8, serverMicroseconds)
            writer.number(9, queueMicroseconds)
            writer.number(10, isRefused ? 1 : 0)
            return writer.count
        }
    }

    mutating func dropMetadata() { metadata = Metadata() }

    /// Leaves code, reason and the beginning of the message: less than the smallest frame holds.
    mutating func shortenTexts() {
        guard let failure else { return }
        self.failure = Failure(
            failure.code, reason: Self.cut(failure.reason, 128), Self.cut(failure.message, 512),
            retryAfterMs: failure.retryAfterMs)
    }

    /// At most `bytesMax` bytes of `text`, ending at a character and without NUL, which no text of ACP/1 may hold.
    private static func cut(_ text: String, _ bytesMax: Int = textBytesMax) -> String {
        let clean = text.utf8.contains(0) ? text.filter { $0 != "\0" } : text
        guard clean.utf8.count > bytesMax else { return clean }
        var end = clean.utf8.index(clean.startIndex, offsetBy: bytesMax)
        while end.samePosition(in: clean.unicodeScalars) == nil { end = clean.utf8.index(before: end) }
        return String(clean[..<end])
    }
}
