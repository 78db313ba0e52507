internal import Core
internal import NIOCore

/// The writer: one outbound buffer that is flushed once per read, and a fair round of streams that wait for windows or socket.
extension Connection {
    /// What may gather before a flush while frames are being read: the peer works on the first replies while we make the next. Without it
    /// a client and a server with 64 calls between them take turns instead of working at once. Measured on 2 cores with 64 B and 4 KB:
    /// fewer frames cost wake-ups, more cost overlap.
    private static let earlyFlushFrames = 22
    private static let earlyFlushBytes = 49_152

    /// What is handed to the socket at once.
    private static let pieceBytesMax = 65_536

    /// Appends a frame whose meta part and payload `meta` and `payload` write.
    func writeFrame(
        _ type: FrameType, _ flags: FrameFlags = [], stream: UInt32, meta: (inout ByteBuffer) -> Void = { _ in },
        payload: (inout ByteBuffer) -> Void = { _ in }
    ) {
        let start = beginFrame(type, flags, stream: stream)
        meta(&outbound)
        let metaLength = outbound.writerIndex - start - FrameHeader.bytes
        payload(&outbound)
        endFrame(start, metaLength: metaLength)
    }

    /// Opens a frame; `endFrame` fills in what is known only then.
    @inline(__always)
    func beginFrame(_ type: FrameType, _ flags: FrameFlags, stream: UInt32) -> Int {
        let start = outbound.writerIndex
        // HELLO goes without: the peer's wish is not known yet.
        let flags = sendsChecksums && type != .hello ? flags.union(.crc32c) : flags
        FrameHeader(length: 0, type: type.rawValue, flags: flags, metaLength: 0, stream: stream).write(to: &outbound)
        return start
    }

    /// Bytes of the frame that was begun at `start`, without its header.
    func frameLength(_ start: Int) -> Int {
        outbound.writerIndex - start - FrameHeader.bytes + (sendsChecksums ? Checksum.bytes : 0)
    }

    @inline(__always)
    func endFrame(_ start: Int, metaLength: Int) {
        let length = frameLength(start)
        let offset = start - outbound.readerIndex
        outbound.withUnsafeMutableReadableBytes { all in
            all.storeBytes(of: UInt32(length).bigEndian, toByteOffset: offset, as: UInt32.self)
            all.storeBytes(
                of: UInt16(truncatingIfNeeded: metaLength).bigEndian, toByteOffset: offset + 6, as: UInt16.self)
        }
        if sendsChecksums, hasChecksum(start) { appendChecksum(start) }
        unflushedFrames += 1
        scheduleFlush()
    }

    private func hasChecksum(_ start: Int) -> Bool {
        FrameFlags(rawValue: outbound.getInteger(at: start + 5) ?? 0).contains(.crc32c)
    }

    private func appendChecksum(_ start: Int) {
        let offset = start - outbound.readerIndex
        let sum = outbound.withUnsafeReadableBytes { Checksum.crc32c(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
        outbound.writeInteger(sum)
    }

    /// Takes back the frame that was begun at `start`: it turned out not to fit.
    func dropFrame(_ start: Int) { outbound.moveWriterIndex(to: start) }

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

    @inline(__always)
    func scheduleFlush() {
        if !isReading, !flushScheduled { scheduleFlushLater() }
    }

    private func scheduleFlushLater() {
        flushScheduled = true
        loop.execute {
            self.flushScheduled = false
            if !self.isReading { self.flush() }
        }
    }

    @inline(__always)
    func flushIfLarge() {
        if unflushedFrames >= Self.earlyFlushFrames || outbound.readableBytes >= Self.earlyFlushBytes { flush() }
    }

    func flush() {
        guard let context, outbound.readableBytes > 0 else { return }
        let bytes = outbound
        let count = bytes.readableBytes
        unflushedFrames = 0
        // Nothing is kept while a connection is idle; a busy one takes a buffer of the size it just needed.
        outbound = count >= 256 ? ByteBufferAllocator().buffer(capacity: min(count, 65_536)) : ByteBuffer()
        unsentBytes += count
        var rest = bytes
        // Whether a slow peer takes anything is seen by each piece.
        while rest.readableBytes > Self.pieceBytesMax, let piece = rest.readSlice(length: Self.pieceBytesMax) {
            context.write(wrapOutboundOut(piece), promise: sentPromise(piece.readableBytes))
        }
        context.writeAndFlush(wrapOutboundOut(rest), promise: sentPromise(rest.readableBytes))
        // Mostly the socket has taken everything by now; the clock is read only when not.
        if unsentBytes > 0 { keepalive.blocked(at: loopContext.now()) }
    }

    private func sentPromise(_ count: Int) -> EventLoopPromise<Void> {
        let promise = loop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in sent(count) }
        return promise
    }

    private func sent(_ count: Int) {
        unsentBytes -= count
        if unsentBytes > 0 { keepalive.wrote(at: loopContext.now()) } else { keepalive.wroteAll() }
        if !round.isEmpty { pump() }
        // Not from here: what is read writes, and that may be taken at once, and so on without end.
        if isReadingStopped { loop.execute { self.resumeReading() } }
    }

    /// Takes a message for `stream`, at once if windows allow and after others otherwise. `bytes` is nil for the end of the stream alone.
    func enqueue(
        _ bytes: ByteBuffer?, isCompressed: Bool = false, endStream: Bool, on stream: RPCStream,
        _ waiter: PendingWrite.Waiter?
    ) {
        guard let bytes else {
            if stream.pending.isEmpty, stream.id != 0 {
                writeFrame(.data, [.endStream, .noMessage], stream: stream.id)
                waiter?.continuation.resume()
            } else {
                stream.pending.append(
                    PendingWrite(bytes: ByteBuffer(), flags: .noMessage, endStream: true, waiter: waiter))
            }
            return
        }
        guard isCompressed || bytes.readableBytes <= peer.messageBytesMax else {
            waiter?.continuation.resume(throwing: tooLargeForPeer(bytes.readableBytes))
            return
        }
        var write = PendingWrite(
            bytes: bytes, flags: isCompressed ? .zstd : [], endStream: endStream, waiter: waiter)
        if !isCompressed, compresses, let smaller = loopContext.compressor.compress(bytes) {
            write.bytes = smaller
            write.flags = .zstd
        }
        stream.pending.append(write)
        // A call that waits for a free stream has no number yet; it joins when it is opened.
        guard stream.id != 0 else { return }
        join(stream)
        pump()
    }

    func tooLargeForPeer(_ count: Int) -> Failure {
        Failure(
            .resourceExhausted, reason: Failure.tooLarge,
            "A message of \(count) bytes is larger than the peer's limit of \(peer.messageBytesMax).",
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
                stream.sendWindow.available, connectionSendWindow.available, RPCLimits.quantumBytes,
                peer.frameBytesMax - (sendsChecksums ? Checksum.bytes : 0))
            let remaining = write.bytes.readableBytes
            if remaining > 0, room <= 0 {
                // Waits for WINDOW: of the stream (it joins again then) or of the connection (keep its turn).
                if stream.sendWindow.available > 0 {
                    join(stream)
                    break
                }
                continue
            }
            // A HELLO may have put a window below zero: what has no bytes goes all the same.
            sendPart(max(0, min(room, remaining)), of: write, on: stream)
            if !stream.pending.isEmpty { join(stream) }
        }
    }

    private func sendPart(_ count: Int, of write: PendingWrite, on stream: RPCStream) {
        let isLast = count == write.bytes.readableBytes
        var flags = write.flags
        if isLast, !flags.contains(.noMessage) { flags.insert(.endMessage) }
        if isLast, write.endStream { flags.insert(.endStream) }
        let start = write.bytes.readerIndex
        writeFrame(.data, flags, stream: stream.id) { _ in
        } payload: { buffer in
            write.bytes.withUnsafeReadableBytes { _ = buffer.writeBytes($0.prefix(count)) }
        }
        floods.sentData()
        stream.hasSentData = true
        stream.sendWindow.consume(count)
        connectionSendWindow.consume(count)
        if isLast {
            _ = stream.pending.removeFirst()
            write.waiter?.continuation.resume()
            stream.didSend()
        } else {
            stream.pending.updateFirst {
                $0.bytes.moveReaderIndex(to: start + count)
                $0.isBegun = true
            }
        }
    }
}
