internal import Core
internal import NIOCore

/// A frame in the buffer it was read into.
struct InboundFrame {
    let header: FrameHeader
    /// The meta part, in place: valid only while the frame is handled.
    let meta: UnsafeRawBufferPointer
    /// Where the payload begins in the buffer.
    let payloadStart: Int
    /// Without the checksum.
    let payloadLength: Int

    var stream: UInt32 { header.stream }
    var flags: FrameFlags { header.flags }

    /// The payload as a slice that shares the memory of `buffer`; an empty buffer of its own for an empty payload.
    @inline(__always)
    func payload(in buffer: ByteBuffer) -> ByteBuffer {
        guard payloadLength > 0 else { return ByteBuffer() }
        return buffer.getSlice(at: payloadStart, length: payloadLength) ?? ByteBuffer()
    }
}

/// The reader: takes frames out of what arrived, in place, and answers those of the connection itself.
extension Connection {
    /// Takes every whole frame out of `buffer`; what is left waits for more.
    func readFrames(_ buffer: inout ByteBuffer) {
        do throws(ProtocolViolation) {
            guard try readPreface(&buffer) else {
                incoming = buffer
                return
            }
            buffer.moveReaderIndex(forwardBy: try readAll(buffer))
        } catch {
            fail(error)
            return
        }
        guard !isClosed else { return }
        isReadingStopped = !mayRead
        if buffer.readableBytes > 0 { incoming = isReadingStopped ? buffer : compacted(buffer) }
    }

    /// Replies are written whether the peer takes them or not. So that they stay few, a peer that does not take them is not listened to.
    private var mayRead: Bool { unsentBytes + outbound.readableBytes < readingStopsAtBytes }

    /// The socket has taken something: reads on if that is enough.
    func resumeReading() {
        guard isReadingStopped, !isClosed, !isReading, mayRead else { return }
        isReadingStopped = false
        isReading = true
        loopContext.reading()
        loopContext.executor.batch(for: self) {
            guard var waiting = incoming else { return }
            incoming = nil
            readFrames(&waiting)
        }
        compactStreams()
        isReading = false
        flush()
        guard !isReadingStopped, isReadWanted else { return }
        isReadWanted = false
        context?.read()
    }

    /// Lets go of the buffer that was read into: what streams keep of it, they copy.
    func compactStreams() {
        guard !streamsToCompact.isEmpty else { return }
        for stream in streamsToCompact { stream.compactInbound() }
        streamsToCompact.removeAll(keepingCapacity: true)
    }

    /// What is kept until more arrives: a copy when it would keep a much larger buffer alive.
    private func compacted(_ buffer: ByteBuffer) -> ByteBuffer {
        guard buffer.readerIndex > 0 else { return buffer }
        var copy = ByteBufferAllocator().buffer(capacity: max(buffer.readableBytes * 2, 256))
        copy.writeImmutableBuffer(buffer)
        return copy
    }

    /// Handles every whole frame in `buffer`; returns the bytes they take.
    private func readAll(_ buffer: ByteBuffer) throws(ProtocolViolation) -> Int {
        var offset = 0
        var violation: ProtocolViolation?
        buffer.withUnsafeReadableBytes { all in
            do throws(ProtocolViolation) {
                while !isClosed, mayRead {
                    let rest = UnsafeRawBufferPointer(rebasing: all[offset...])
                    let frameMax = helloReceived ? frameBytesMax : max(frameBytesMax, RPCLimits.helloBytesMax)
                    guard let header = try FrameHeader.peek(rest, frameBytesMax: frameMax),
                        rest.count >= FrameHeader.bytes + header.length
                    else { break }
                    try readFrame(header, rest, at: buffer.readerIndex + offset, in: buffer)
                    offset += FrameHeader.bytes + header.length
                    flushIfLarge()
                }
            } catch { violation = error }
        }
        if let violation { throw violation }
        return offset
    }

    @inline(__always)
    private func readFrame(
        _ header: FrameHeader, _ bytes: UnsafeRawBufferPointer, at index: Int, in buffer: ByteBuffer
    ) throws(ProtocolViolation) {
        var payloadLength = header.length - header.metaLength
        if header.flags.contains(.crc32c) || peerSendsChecksums {
            try check(header, bytes)
            payloadLength -= Checksum.bytes
        }
        let frame = InboundFrame(
            header: header,
            meta: UnsafeRawBufferPointer(start: bytes.baseAddress! + FrameHeader.bytes, count: header.metaLength),
            payloadStart: index + FrameHeader.bytes + header.metaLength, payloadLength: payloadLength)
        try receiveFrame(frame, in: buffer)
    }

    private func check(_ header: FrameHeader, _ bytes: UnsafeRawBufferPointer) throws(ProtocolViolation) {
        guard options.checksums else { throw ProtocolViolation("a checksum came that was not asked for") }
        // Once there are checksums all frames have them: otherwise a damaged flag would hide a damaged frame.
        guard header.flags.contains(.crc32c), header.length >= header.metaLength + Checksum.bytes else {
            throw ProtocolViolation("a frame came without the checksum that earlier ones had", code: .dataLoss)
        }
        peerSendsChecksums = true
        let covered = FrameHeader.bytes + header.length - Checksum.bytes
        let sent = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: covered, as: UInt32.self))
        guard Checksum.crc32c(UnsafeRawBufferPointer(rebasing: bytes[..<covered])) == sent else {
            throw ProtocolViolation("a frame's checksum does not match its bytes", code: .dataLoss)
        }
    }

    private func receiveFrame(_ frame: InboundFrame, in buffer: ByteBuffer) throws(ProtocolViolation) {
        let header = frame.header
        guard let type = FrameType(rawValue: header.type) else {
            guard header.type & 0x80 != 0 else { throw ProtocolViolation("frame type \(header.type) is unknown") }
            return try floods.received(.ignored, now: loopContext.readTime)
        }
        guard header.flags.isSubset(of: .known), !header.flags.isSuperset(of: [.endMessage, .noMessage]) else {
            throw ProtocolViolation("frame flags \(header.flags.rawValue) are unknown or contradict each other")
        }
        guard helloReceived || type == .hello || type == .goAway else {
            throw ProtocolViolation("a frame came before HELLO")
        }
        switch type {
        case .request, .data, .status, .headers, .cancel, .goAway: try receive(frame, in: buffer)
        case .hello: try receiveHello(frame, buffer)
        case .window: try receiveWindow(frame, buffer)
        case .ping:
            guard frame.payloadLength == 8, header.stream == 0 else {
                throw ProtocolViolation("a PING must carry eight bytes on stream 0")
            }
            try floods.received(.ping, now: loopContext.readTime)
            let echo = frame.payload(in: buffer)
            writeFrame(.pong, stream: 0, payload: { $0.writeImmutableBuffer(echo) })
        case .pong:
            try floods.received(.ping, now: loopContext.readTime)
            keepalive.answered()
            didReceivePong(frame.payload(in: buffer))
        }
    }

    private func receiveHello(_ frame: InboundFrame, _ buffer: ByteBuffer) throws(ProtocolViolation) {
        guard frame.stream == 0, frame.header.length <= RPCLimits.helloBytesMax else {
            throw ProtocolViolation("a HELLO came on a stream or larger than \(RPCLimits.helloBytesMax) bytes")
        }
        guard let hello = try? WireHello.decode(frame.meta, limits: .standard) else {
            throw ProtocolViolation("the HELLO cannot be read")
        }
        try accept(PeerSettings(hello))
    }

    private func receiveWindow(_ frame: InboundFrame, _ buffer: ByteBuffer) throws(ProtocolViolation) {
        let payload = frame.payload(in: buffer)
        guard payload.readableBytes == 4, let credit: UInt32 = payload.getInteger(at: payload.readerIndex) else {
            throw ProtocolViolation("a WINDOW frame must carry four bytes")
        }
        try floods.received(.window, now: loopContext.readTime)
        if frame.stream == 0 {
            try connectionSendWindow.replenish(Int(credit))
        } else if let stream = stream(frame.stream) {
            try stream.sendWindow.replenish(Int(credit))
            // The stream may have left the round while its window was empty.
            if !stream.pending.isEmpty { join(stream) }
        }
        pump()
    }
}
