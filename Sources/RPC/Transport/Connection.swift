internal import Core
internal import NIOCore

/// What both ends of an ACP/1 connection share: framing, HELLO, flow control, the writer, keepalive. Confined to its event loop.
class Connection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let limits: RPCLimits
    let loopContext: LoopContext
    let loop: any EventLoop
    private(set) var context: ChannelHandlerContext?
    var streams: [UInt32: RPCStream] = [:]
    private(set) var isClosed = false
    /// Set when the connection is to close once its last stream has ended.
    var isDraining = false

    // What the peer announced; until its HELLO arrives the defaults of the protocol hold.
    private(set) var peerStreamWindowBytes = RPCLimits().streamWindowBytes
    private(set) var peerFrameBytesMax = RPCLimits().frameBytesMax
    private(set) var peerMessageBytesMax = RPCLimits().messageBytesMax
    private(set) var peerStreamsMax = RPCLimits().streamsMax
    private(set) var peerCredential = ""
    private var helloReceived = false

    private var incoming: ByteBuffer?
    var outbound = ByteBuffer()
    private var flushScheduled = false
    private var isReading = false
    private var unsentBytes = 0
    private var connectionSendWindow = SendWindow(bytes: RPCLimits().connectionWindowBytes)
    private var connectionReceiveWindow: ReceiveWindow
    private var round = Fifo<RPCStream>()
    private var keepalive = Keepalive()
    private var helloTimer: Scheduled<Void>?
    private var keepaliveTimer: RepeatedTask?

    init(limits: RPCLimits, loopContext: LoopContext, loop: any EventLoop) {
        self.limits = limits
        self.loopContext = loopContext
        self.loop = loop
        connectionReceiveWindow = ReceiveWindow(bytes: limits.connectionWindowBytes)
    }

    // MARK: For the two ends

    /// Bytes that open the connection, before HELLO.
    func writePreface() {}
    /// Consumes the peer's preface; false when more bytes are needed.
    func readPreface(_ buffer: inout ByteBuffer) throws(ProtocolViolation) -> Bool { true }
    func hello() -> WireHello { WireHello() }
    func receive(_ header: FrameHeader, meta: ByteBuffer, payload: ByteBuffer) throws(ProtocolViolation) {}
    /// The stream's deadline has passed.
    func deadlineExpired(_ stream: RPCStream) {}
    /// The task that reads or writes `stream` was cancelled.
    func cancel(_ stream: RPCStream) { stream.interruptReader() }
    /// Initial metadata of the answering end.
    func sendHeaders(_ metadata: Metadata, on stream: RPCStream) {}
    /// A message on `stream` is larger than the limit: that stream fails, the connection goes on.
    func messageTooLarge(_ stream: RPCStream, bytes: Int) {}
    func didClose(_ failure: Failure) {}

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start() }
    }

    func channelActive(context: ChannelHandlerContext) {
        start()
        context.fireChannelActive()
    }

    private func start() {
        guard helloTimer == nil else { return }
        writePreface()
        let message = hello()
        writeFrame(.hello, stream: 0) { message.encode(into: &$0) }
        helloTimer = loop.scheduleTask(in: .seconds(Int64(limits.helloSeconds))) { [weak self] in
            guard let self, !self.helloReceived else { return }
            self.fail(ProtocolViolation("no HELLO came within \(self.limits.helloSeconds) s"))
        }
        let interval = TimeAmount.seconds(
            Int64(max(1, min(limits.keepaliveSeconds, limits.keepaliveAnswerSeconds) / 2)))
        keepaliveTimer = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.checkLiveness()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        keepalive.heard(at: .now())
        if incoming == nil { incoming = bytes } else { incoming?.writeBuffer(&bytes) }
        isReading = true
        loopContext.executor.batch {
            do throws(ProtocolViolation) { try readFrames() } catch { fail(error) }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        pump()
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        close(
            Failure(
                .unavailable, reason: "CONNECTION_LOST", "The connection to the peer was lost during the call.",
                remedy: "Try again; the service may be restarting."))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A socket error ends the connection; channelInactive follows and says so to every call.
        context.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: Reading

    private func readFrames() throws(ProtocolViolation) {
        guard var buffer = incoming else { return }
        // The buffer must be owned once, or appending the next read copies it.
        incoming = nil
        defer { incoming = buffer.readableBytes > 0 ? buffer : nil }
        guard try readPreface(&buffer) else { return }
        while !isClosed {
            let frameMax = helloReceived ? limits.frameBytesMax : max(limits.frameBytesMax, RPCLimits.helloBytesMax)
            guard let header = try FrameHeader.peek(buffer, frameBytesMax: frameMax),
                buffer.readableBytes >= FrameHeader.bytes + header.length
            else { break }
            buffer.moveReaderIndex(forwardBy: FrameHeader.bytes)
            guard let meta = buffer.readSlice(length: header.metaLength),
                let payload = buffer.readSlice(length: header.length - header.metaLength)
            else { break }
            try receiveFrame(header, meta: meta, payload: payload)
        }
    }

    private func receiveFrame(_ header: FrameHeader, meta: ByteBuffer, payload: ByteBuffer) throws(ProtocolViolation) {
        guard header.metaLength <= RPCLimits.metaBytesMax else {
            throw ProtocolViolation(
                "a meta part of \(header.metaLength) bytes is larger than \(RPCLimits.metaBytesMax)")
        }
        guard header.flags.isSubset(of: .understood) else {
            throw ProtocolViolation("frame flags \(header.flags.rawValue) were not negotiated")
        }
        guard let type = FrameType(rawValue: header.type) else {
            if header.type & 0x80 != 0 { return }
            throw ProtocolViolation("frame type \(header.type) is unknown")
        }
        guard helloReceived || type == .hello || type == .goAway else {
            throw ProtocolViolation("a frame came before HELLO")
        }
        switch type {
        case .hello: try receiveHello(header, meta)
        case .window: try receiveWindow(header.stream, payload)
        case .ping: writeControl(.pong, payload: payload)
        case .pong: keepalive.answered()
        default: try receive(header, meta: meta, payload: payload)
        }
    }

    private func receiveHello(_ header: FrameHeader, _ meta: ByteBuffer) throws(ProtocolViolation) {
        guard !helloReceived, header.stream == 0, header.length <= RPCLimits.helloBytesMax else {
            throw ProtocolViolation("a HELLO came twice, on a stream, or larger than \(RPCLimits.helloBytesMax) bytes")
        }
        let hello: WireHello
        do { hello = try WireHello.decode(meta) } catch { throw ProtocolViolation("the HELLO cannot be read") }
        helloReceived = true
        helloTimer?.cancel()
        peerCredential = hello.credential
        let defaults = RPCLimits()
        peerFrameBytesMax = min(max(orDefault(hello.frameBytesMax, defaults.frameBytesMax), 1024), 1 << 20)
        peerMessageBytesMax = orDefault(hello.messageBytesMax, defaults.messageBytesMax)
        peerStreamsMax = orDefault(hello.streamsMax, defaults.streamsMax)
        let streamWindow = orDefault(hello.streamWindowBytes, defaults.streamWindowBytes)
        for stream in streams.values { stream.sendWindow.adjust(by: streamWindow - peerStreamWindowBytes) }
        peerStreamWindowBytes = streamWindow
        let connectionWindow = orDefault(hello.connectionWindowBytes, defaults.connectionWindowBytes)
        connectionSendWindow.adjust(by: connectionWindow - defaults.connectionWindowBytes)
        didReceiveHello()
        pump()
    }

    /// The peer's limits are known.
    func didReceiveHello() {}

    private func orDefault(_ announced: UInt32, _ value: Int) -> Int { announced == 0 ? value : Int(announced) }

    private func receiveWindow(_ stream: UInt32, _ payload: ByteBuffer) throws(ProtocolViolation) {
        guard payload.readableBytes == 4, let credit: UInt32 = payload.getInteger(at: payload.readerIndex) else {
            throw ProtocolViolation("a WINDOW frame must carry four bytes")
        }
        if stream == 0 {
            try connectionSendWindow.replenish(Int(credit))
        } else {
            try streams[stream]?.sendWindow.replenish(Int(credit))
            // The stream may have left the round while its window was empty.
            if let waiting = streams[stream], !waiting.pending.isEmpty { join(waiting) }
        }
        pump()
    }

    // MARK: Writing

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

    private func writeControl(_ type: FrameType, stream: UInt32 = 0, payload: ByteBuffer) {
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

    private func flush() {
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
        _ continuation: CheckedContinuation<Void, any Error>?
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

    private func join(_ stream: RPCStream) {
        guard !stream.isQueued else { return }
        stream.isQueued = true
        round.append(stream)
    }

    /// Sends what windows and socket allow, a quantum per stream in turn, so that no stream waits for another's bulk.
    private func pump() {
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

    // MARK: Life

    private func checkLiveness() {
        switch keepalive.check(
            now: .now(), idleMax: .seconds(limits.keepaliveSeconds), answerMax: .seconds(limits.keepaliveAnswerSeconds),
            stalledMax: .seconds(limits.stalledWriteSeconds), unsent: unsentBytes)
        {
        case .nothing: break
        case .ping: writeFrame(.ping, stream: 0, payload: { $0.writeInteger(MonotonicTime.now().nanoseconds) })
        case .dead: context?.close(promise: nil)
        }
    }

    /// Tells the peer what it broke, and closes.
    func fail(_ violation: ProtocolViolation) {
        guard !isClosed else { return }
        goAway(lastStream: 0, code: .internalError, violation.message)
        isReading = false
        flush()
        let context = self.context
        close(violation.failure)
        context?.close(promise: nil)
    }

    func goAway(lastStream: UInt32, code: StatusCode, _ message: String) {
        var frame = WireGoAway()
        frame.lastStream = lastStream
        frame.code = UInt32(code.rawValue)
        frame.message = message
        frame.majorMin = UInt32(Preface.major)
        frame.majorMax = UInt32(Preface.major)
        writeFrame(.goAway, stream: 0, meta: { frame.encode(into: &$0) })
    }

    /// Ends every stream with `failure`. The socket is closed by the caller or already gone.
    private func close(_ failure: Failure) {
        guard !isClosed else { return }
        isClosed = true
        helloTimer?.cancel()
        keepaliveTimer?.cancel()
        let open = streams
        streams = [:]
        for stream in open.values {
            loopContext.deadlines.remove(stream)
            stream.task?.cancel()
            stream.end(.failure(failure))
        }
        didClose(failure)
    }

    /// Closes the socket after what is written has been sent.
    func closeAfterFlush() {
        guard !isClosed, let context else { return }
        flush()
        // An empty write completes after everything before it.
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
    }

    /// Runs `body` on the loop with a continuation that it resumes now or later.
    func onLoop<T: Sendable>(
        isolation: isolated (any Actor)? = #isolation,
        _ body: @escaping @Sendable (CheckedContinuation<T, any Error>) -> Void
    ) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            if loop.inEventLoop { body(continuation) } else { loop.execute { body(continuation) } }
        }
    }
}

extension Connection {
    /// Runs `body` on the loop, now if that is where we are.
    func execute(_ body: @escaping @Sendable () -> Void) {
        if loop.inEventLoop { body() } else { loop.execute(body) }
    }
}
