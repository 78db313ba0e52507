internal import Core
internal import NIOCore

/// The meta part of a REQUEST. This is the hot path: text is made only where there is some.
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

    /// Fills this meta part from its encoding; returns the path, in place.
    /// - Throws: `Failure` INVALID_ARGUMENT `MALFORMED_MESSAGE`, or what `Metadata` refuses.
    mutating func decode(_ bytes: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer {
        do { return try read(bytes) } catch let malformed as MetaReader.Malformed {
            throw malformed.failure("acp.wire.v1.Request")
        }
    }

    /// A path as text.
    /// - Throws: `Failure` INVALID_ARGUMENT `MALFORMED_MESSAGE`.
    static func text(ofPath path: UnsafeRawBufferPointer) throws -> String {
        guard !path.contains(0), let text = String(validating: path, as: UTF8.self) else {
            throw MetaReader.Malformed().failure("acp.wire.v1.Request")
        }
        return text
    }

    /// Fills this meta part from `bytes`; returns the path.
    private mutating func read(_ bytes: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer {
        var reader = MetaReader(bytes)
        var path = UnsafeRawBufferPointer(start: nil, count: 0)
        var traceID = path
        var spanID = path
        var flags: UInt64 = 0
        var state = ""
        // The tag is the field number shifted left by three, and the wire type: 0 for numbers, 2 for bytes.
        while let tag = try reader.tag() {
            switch tag {
            case 1 << 3 | 2:
                // The last counts and is compared as it stands; those before it must be text all the same.
                if !path.isEmpty { _ = try Self.text(ofPath: path) }
                path = try reader.bytes()
            case 2 << 3: timeoutMicroseconds = try reader.varint()
            case 3 << 3 | 2: traceID = try reader.bytes()
            case 4 << 3 | 2: spanID = try reader.bytes()
            case 5 << 3: flags = try reader.varint()
            case 6 << 3 | 2: state = try reader.text()
            case 7 << 3 | 2: requestID = try reader.text()
            case 8 << 3 | 2: correlationID = try reader.text()
            case 9 << 3 | 2: idempotencyKey = try reader.text()
            case 10 << 3: attempt = UInt32(truncatingIfNeeded: try reader.varint())
            case 11 << 3 | 2: credential = try reader.text()
            case 12 << 3 | 2: try metadata.readPair(try reader.bytes())
            default: try reader.skip(tag, known: 12)
            }
        }
        if traceID.count == 16, spanID.count == 8 {
            let high = UInt64(bigEndian: traceID.loadUnaligned(as: UInt64.self))
            let low = UInt64(bigEndian: traceID.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let span = UInt64(bigEndian: spanID.loadUnaligned(as: UInt64.self))
            if high | low != 0, span != 0 {
                trace = TraceContext(
                    traceHigh: high, traceLow: low, span: span, flags: UInt8(truncatingIfNeeded: flags), state: state)
            }
        }
        return path
    }

    /// An upper bound of the encoded size, with a path of `pathBytes`.
    private func room(_ pathBytes: Int) -> Int {
        var room = 128 + pathBytes
        if let trace { room += trace.state.utf8.count }
        room += requestID.utf8.count + correlationID.utf8.count + idempotencyKey.utf8.count + credential.utf8.count
        return room + metadata.room
    }

    /// Appends the meta part for a call of the method with this path; returns its size.
    func encode(path: [UInt8], into buffer: inout ByteBuffer) -> Int {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room(path.count)) { target in
            var writer = MetaWriter(target.baseAddress!)
            path.withUnsafeBytes { writer.bytes(1, $0) }
            writer.number(2, timeoutMicroseconds)
            if let trace {
                writer.words(3, trace.traceHigh, trace.traceLow)
                writer.word(4, trace.span)
                writer.number(5, UInt64(trace.flags))
                writer.text(6, trace.state)
            }
            writer.text(7, requestID)
            writer.text(8, correlationID)
            writer.text(9, idempotencyKey)
            writer.number(10, UInt64(attempt))
            writer.text(11, credential)
            metadata.write(field: 12, to: &writer)
            return writer.count
        }
    }
}
