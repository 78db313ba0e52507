internal import Core
internal import NIOCore

/// The writer: one outbound buffer that is flushed once per read, and a fair round of streams that wait for windows or socket.
extension Connection {
    /// Appends a frame whose meta part and payload `meta` and `payload` write.
    func writeFrame(
        _ type: FrameType, _ flags: FrameFlags = [], stream: UInt32, meta: (inout ByteBuffer) -> Void = { _ in },
        payload: (inout ByteBuffer) -> Void = { _ in }
    ) {
        let start = outbound.writerIndex
        FrameHeader(length: 0, type: type.rawValue, flags: flags, metaLength: 0, stream: stream).write(to: &outbound)
        meta(&outbound)
        let metaLength = outbound.writerIndex - start - FrameHeader.bytes
        payload(&outbound)
        let length = outbound.writerIndex - start - FrameHeader.bytes
        outbound.setInteger(UInt32(length), at: start)
        if metaLength > 0 { outbound.setInteger(UInt16(truncatingIfNeeded: metaLength), at: start + 6) }
        scheduleFlush()
    }

    func writeControl(_ type: FrameType, stream: UInt32 = 0, payload: ByteBuffer) {
        writeFrame(type, stream: stream, payload: { $0.writeImmutableBuffer(payload) })
    }

    func sendWindow(stream: UInt32, _ credit: Int) {
        guard !isClosed else { return }
        writeFrame(.window, stream: stream, payload: { $0.writeInteger(UInt32(credit)) })
    }

    func creditConnection(_ count: Int) {
        guard count > 0 else { return }
        let credit = connectionReceiveWindow.credit(count)
        if credit > 0 { sendWindow(stream: 0, credit) }
    }

    /// DATA for whatever stream: counts against the connection's window even when the stream is gone.
    func consumeConnectionWindow(_ count: Int) throws(ProtocolViolation) {
        try connectionReceiveWindow.consume(count)
    }

    func scheduleFlush() {
        guard !isReading, !flushScheduled else { return }
        flushScheduled = true
        loop.execute {
            self.flushScheduled = false
            if !self.isReading { self.flush() }
        }
    }

    func flush() {
        guard let context, outbound.readableBytes > 0 else { return }
        let bytes = outbound
        let count = bytes.readableBytes
        outbound = context.channel.allocator.buffer(capacity: min(max(count, 256), 65_536))
        unsentBytes += count
        let promise = loop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { [weak self] _ in
            guard let self else { return }
            self.unsentBytes -= count
            self.keepalive.wrote(at: .now())
            self.pump()
        }
        keepalive.writing(at: .now(), unsent: unsentBytes)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
    }

    /// Takes a message for `stream`, at once if windows allow and after others otherwise.
    func enqueue(
        _ bytes: ByteBuffer?, endStream: Bool, on stream: RPCStream,
        _ continuation: UnsafeContinuation<Void, any Error>?
    ) {
        guard let bytes else {
            if stream.pending.isEmpty {
                writeFrame(.data, [.endStream, .noMessage], stream: stream.id)
                continuation?.resume()
            } else {
                stream.pending.append(
                    PendingWrite(bytes: ByteBuffer(), isMessage: false, endStream: true, continuation: continuation))
            }
            return
        }
        guard bytes.readableBytes <= peerMessageBytesMax else {
            continuation?.resume(throwing: tooLargeForPeer(bytes.readableBytes))
            return
        }
        stream.pending.append(PendingWrite(bytes: bytes, endStream: endStream, continuation: continuation))
        join(stream)
        pump()
    }

    func tooLargeForPeer(_ count: Int) -> Failure {
        Failure(
            .resourceExhausted, reason: Failure.tooLarge,
            "A message of \(count) bytes is larger than the peer's limit of \(peerMessageBytesMax).",
            remedy: "Send it as a stream of smaller messages.")
    }

    func join(_ stream: RPCStream) {
        guard !stream.isQueued else { return }
        stream.isQueued = true
        round.append(stream)
    }

    /// Sends what windows and socket allow, a quantum per stream in turn, so that no stream waits for another's bulk.
    func pump() {
        while unsentBytes + outbound.readableBytes < limits.unsentBytesMax, let stream = round.removeFirst() {
            stream.isQueued = false
            guard !isClosed, let write = stream.pending.first else { continue }
            let room = min(
                stream.sendWindow.available, connectionSendWindow.available, RPCLimits.quantumBytes, peerFrameBytesMax)
            let remaining = write.bytes.readableBytes
            if remaining > 0, room <= 0 {
                // Waits for WINDOW: of the stream (it joins again then) or of the connection (keep its turn).
                if stream.sendWindow.available > 0 {
                    join(stream)
                    break
                }
                continue
            }
            sendPart(min(room, remaining), of: write, on: stream)
            if !stream.pending.isEmpty { join(stream) }
        }
    }

    private func sendPart(_ count: Int, of write: PendingWrite, on stream: RPCStream) {
        let isLast = count == write.bytes.readableBytes
        var flags: FrameFlags = !write.isMessage ? [.noMessage] : isLast ? [.endMessage] : []
        if isLast, write.endStream { flags.insert(.endStream) }
        let start = write.bytes.readerIndex
        writeFrame(.data, flags, stream: stream.id) { _ in
        } payload: { buffer in
            write.bytes.withUnsafeReadableBytes { _ = buffer.writeBytes($0.prefix(count)) }
        }
        stream.sendWindow.consume(count)
        connectionSendWindow.consume(count)
        if isLast {
            _ = stream.pending.removeFirst()
            write.continuation?.resume()
        } else {
            stream.pending.updateFirst { $0.bytes.moveReaderIndex(to: start + count) }
        }
    }
}
