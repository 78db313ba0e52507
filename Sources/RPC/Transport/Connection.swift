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

    // For the reading and writing parts of this class only.
    private var incoming: ByteBuffer?
    var outbound = ByteBuffer()
    var flushScheduled = false
    var isReading = false
    var unsentBytes = 0
    var connectionSendWindow = SendWindow(bytes: RPCLimits().connectionWindowBytes)
    var connectionReceiveWindow: ReceiveWindow
    var round = Fifo<RPCStream>()
    var keepalive = Keepalive()
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
        _ body: @escaping @Sendable (UnsafeContinuation<T, any Error>) -> Void
    ) async throws -> T {
        // Every body resumes once by construction (a stream keeps at most one reader and ends once); checking costs two allocations a call.
        try await withUnsafeThrowingContinuation { continuation in
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
