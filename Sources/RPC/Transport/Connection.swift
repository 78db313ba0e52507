internal import Core
internal import NIOCore

/// What both ends of an ACP/1 connection share: framing, HELLO, flow control, the writer, keepalive. Confined to its event loop.
class Connection: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Reason of calls that were cut off without a word.
    static let connectionLost = "CONNECTION_LOST"

    let limits: RPCLimits
    let options: WireOptions
    let loopContext: LoopContext
    let loop: any EventLoop
    @exclusivity(unchecked) private(set) var context: ChannelHandlerContext?
    @exclusivity(unchecked) private(set) var isClosed = false
    /// Set when the connection is to close once its last stream has ended.
    @exclusivity(unchecked) var isDraining = false
    /// Unsent bytes at which no more frames are read. Twice what streams may fill, so that bulk alone does not keep CANCEL and WINDOW from being read.
    let readingStopsAtBytes: Int
    /// Largest frame that is taken, and the window with which streams begin.
    let frameBytesMax: Int
    let streamReceiveWindow: ReceiveWindow
    /// When the connection began.
    let openedAt: MonotonicTime

    // What the peer announced; until its HELLO arrives the defaults of the protocol hold.
    @exclusivity(unchecked) private(set) var peer = PeerSettings()
    @exclusivity(unchecked) private(set) var helloReceived = false

    // For the reading and writing parts of this class only.
    @exclusivity(unchecked) var incoming: ByteBuffer?
    @exclusivity(unchecked) var peerSendsChecksums = false
    @exclusivity(unchecked) var outbound = ByteBuffer()
    @exclusivity(unchecked) var unflushedFrames = 0
    @exclusivity(unchecked) var flushScheduled = false
    @exclusivity(unchecked) var isReading = false
    @exclusivity(unchecked) var isReadingStopped = false
    @exclusivity(unchecked) var isReadWanted = false
    @exclusivity(unchecked) var streamsToCompact: [RPCStream] = []
    /// Messages of all streams that nobody has taken yet.
    @exclusivity(unchecked) var queuedMessages = 0
    /// Bytes of messages of all streams that are not complete.
    @exclusivity(unchecked) var partialBytes = 0
    @exclusivity(unchecked) var unsentBytes = 0
    @exclusivity(unchecked) var sendsChecksums = false
    @exclusivity(unchecked) var compresses = false
    @exclusivity(unchecked) var connectionSendWindow = SendWindow(bytes: RPCLimits().connectionWindowBytes)
    @exclusivity(unchecked) var connectionReceiveWindow: ReceiveWindow
    @exclusivity(unchecked) var round = Fifo<RPCStream>()
    @exclusivity(unchecked) var keepalive: Keepalive
    @exclusivity(unchecked) var floods: FloodGuard
    /// nil until the connection has begun: one that waits for TLS has not.
    private var helloTimer: Scheduled<Void>?
    var hasBegun: Bool { helloTimer != nil }
    private var keepaliveTimer: Scheduled<Void>?
    private var closeTimer: Scheduled<Void>?

    /// - Parameter openedAt: when the connection began, if that was earlier than now.
    init(
        limits: RPCLimits, options: WireOptions, loopContext: LoopContext, loop: any EventLoop,
        openedAt: MonotonicTime? = nil
    ) {
        self.limits = limits
        self.options = options
        self.loopContext = loopContext
        self.loop = loop
        let now = loopContext.now()
        self.openedAt = openedAt ?? now
        let assumed = Self.answersCalls ? RPCLimits() : limits
        readingStopsAtBytes = Self.answersCalls ? 2 * limits.unsentBytesMax : .max
        connectionReceiveWindow = ReceiveWindow(
            bytes: limits.connectionWindowBytes, excessMax: assumed.connectionWindowBytes - limits.connectionWindowBytes
        )
        streamReceiveWindow = ReceiveWindow(
            bytes: limits.streamWindowBytes, excessMax: assumed.streamWindowBytes - limits.streamWindowBytes)
        frameBytesMax = max(limits.frameBytesMax, assumed.frameBytesMax)
        keepalive = Keepalive(
            now: now, idleMax: .seconds(limits.keepaliveSeconds),
            answerMax: .seconds(limits.keepaliveAnswerSeconds),
            stalledMax: .seconds(limits.stalledWriteSeconds))
        floods = FloodGuard(now: now)
    }

    // MARK: For the two ends

    /// This end answers calls. Its peer may send some before it has read our HELLO, going by the defaults: limits of ours that are lower
    /// bind it only afterwards, and nothing tells when that is. And what this end reads makes it write, so it must not read on when nobody takes that.
    class var answersCalls: Bool { false }
    /// Bytes that open the connection, before HELLO.
    func writePreface() {}
    /// Consumes the peer's preface; false when more bytes are needed.
    func readPreface(_ buffer: inout ByteBuffer) throws(ProtocolViolation) -> Bool { true }
    func hello() -> WireHello { WireHello() }
    /// A frame of a stream: its meta part and payload are in `buffer` at the offsets of `frame`.
    func receive(_ frame: InboundFrame, in buffer: ByteBuffer) throws(ProtocolViolation) {}
    func stream(_ id: UInt32) -> RPCStream? { nil }
    var openStreams: [RPCStream] { [] }
    var openStreamCount: Int { 0 }
    func removeAllStreams() {}
    /// The stream's deadline has passed.
    func deadlineExpired(_ stream: RPCStream) {}
    /// The task that reads `stream` was cancelled while it waited for a message.
    func readerWasCancelled(_ stream: RPCStream, _ wait: StreamWait) { stream.giveUpReading(wait) }
    /// Initial metadata of the answering end.
    func sendHeaders(_ metadata: Metadata, on stream: RPCStream) {}
    /// `stream` cannot go on for a reason of its own, such as a message above the limit; the connection goes on.
    func fail(_ stream: RPCStream, _ failure: Failure) {}
    /// Bytes that a meta part of ours may have: a peer's small frames bind these too.
    var sentMetaBytesMax: Int { min(RPCLimits.metaBytesMax, peer.frameBytesMax - Checksum.bytes) }
    /// What the peer said of the end of the connection, if it said something.
    var lastWords: String? { nil }
    /// The highest number of a stream that the peer opened; 0 for none.
    var lastStreamOfPeer: UInt32 { 0 }
    /// The peer's limits are known.
    func didReceiveHello() {}
    /// The peer has read everything that was sent before the PING with this payload.
    func didReceivePong(_ payload: ByteBuffer) {}
    /// The connection is gone; its streams end after this.
    func willClose(_ failure: Failure) {}
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
        // Timers and writes hold the connection strongly until it closes: a weak reference would give it a side table, which makes every
        // later retain and release several times as slow.
        helloTimer = loop.scheduleTask(in: loopContext.rest(of: .seconds(limits.helloSeconds), since: openedAt)) {
            [self] in
            guard !helloReceived else { return }
            // A peer that is silent is gone or busy, not broken: calls may be made elsewhere.
            fail(ProtocolViolation("no HELLO came within \(limits.helloSeconds) s", code: .unavailable))
        }
        checkLivenessLater()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // After a violation nothing is read any more; the peer gets a moment to read why.
        guard !isClosed else { return }
        var bytes = unwrapInboundIn(data)
        loopContext.reading()
        keepalive.heard(at: loopContext.readTime)
        isReading = true
        loopContext.executor.batch(for: self) {
            if incoming == nil {
                readFrames(&bytes)
            } else {
                incoming?.writeBuffer(&bytes)
                // The buffer must be owned once, or appending the next read copies it.
                guard var whole = incoming else { return }
                incoming = nil
                readFrames(&whole)
            }
        }
        compactStreams()
    }

    func read(context: ChannelHandlerContext) {
        if isReadingStopped { isReadWanted = true } else { context.read() }
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
        closeTimer?.cancel()
        close(
            Failure(
                .unavailable, reason: Self.connectionLost,
                "The connection to the peer was lost during the call\(lastWords.map { ": \($0)" } ?? ".")",
                remedy: "Try again; the service may be restarting."))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What TLS refuses is known to every call. A socket error ends the connection too; channelInactive follows and says so.
        if let failure = error as? Failure { close(failure) }
        context.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// HELLO arrived.
    func accept(_ settings: PeerSettings) throws(ProtocolViolation) {
        guard !helloReceived else { throw ProtocolViolation("a second HELLO came") }
        helloReceived = true
        helloTimer?.cancel()
        for stream in openStreams { stream.sendWindow.adjust(by: settings.streamWindowBytes - peer.streamWindowBytes) }
        connectionSendWindow.adjust(by: settings.connectionWindowBytes - peer.connectionWindowBytes)
        peer = settings
        // However long a peer wants to be left alone: one that is gone must be noticed.
        keepalive.asksAtMostEvery(.milliseconds(min(settings.pingIntervalMinMs, RPCLimits.pingIntervalMsMax)))
        sendsChecksums = settings.features.contains(.crc32c)
        compresses =
            settings.features.contains(.zstd)
            && (options.compression == .always || options.compression == .automatic && !isLocal)
        didReceiveHello()
        pump()
    }

    /// Whether the peer is on this machine.
    private var isLocal: Bool { TransportRules.isLocal(context?.remoteAddress) }

    // MARK: Life

    /// Looks again when the first of the limits can have passed: an idle connection is looked at once in a keepalive.
    private func checkLivenessLater() {
        let now = loopContext.now()
        let wait = now.nanosecondsElapsed(to: keepalive.due(after: now))
        keepaliveTimer = loop.scheduleTask(in: .nanoseconds(max(wait, 1_000_000))) { [self] in checkLiveness() }
    }

    private func checkLiveness() {
        let now = loopContext.now()
        // Who does not listen cannot blame the peer for its silence.
        if isReadingStopped { keepalive.heard(at: now) }
        switch keepalive.check(now: now) {
        case .nothing: break
        case .ping: writeFrame(.ping, stream: 0, payload: { $0.writeInteger(now.nanoseconds) })
        case .dead:
            context?.close(promise: nil)
            return
        }
        checkLivenessLater()
    }

    /// Tells the peer what it broke, and closes.
    func fail(_ violation: ProtocolViolation) {
        guard !isClosed else { return }
        goAway(lastStream: lastStreamOfPeer, code: violation.code, violation.message)
        isReading = false
        // Before the socket: one that takes the GOAWAY at once is closed at once, and calls would see a lost connection instead of the reason.
        close(violation.failure)
        // A peer that takes nothing would keep the socket for ever: nothing else watches it now.
        closeTimer = loop.scheduleTask(in: .seconds(Int64(limits.stalledWriteSeconds))) { [self] in
            context?.close(promise: nil)
        }
        closeLingering()
    }

    private static let lingerMilliseconds: Int64 = 500

    /// Closes our direction after what is written, and the socket a little later: closing it while bytes of the peer are unread resets the
    /// connection, and the peer might lose the GOAWAY that says why.
    private func closeLingering() {
        guard let context else { return }
        flush()
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            channel.close(mode: .output, promise: nil)
            channel.eventLoop.scheduleTask(in: .milliseconds(Self.lingerMilliseconds)) { channel.close(promise: nil) }
        }
    }

    func goAway(lastStream: UInt32, code: StatusCode, _ message: String) {
        let frame = WireGoAway(code, message, lastStream: lastStream)
        writeFrame(.goAway, stream: 0, meta: { frame.encode(into: &$0) })
    }

    /// Ends every stream with `failure`. The socket is closed by the caller or already gone.
    private func close(_ failure: Failure) {
        guard !isClosed else { return }
        isClosed = true
        incoming = nil
        helloTimer?.cancel()
        keepaliveTimer?.cancel()
        willClose(failure)
        let open = openStreams
        removeAllStreams()
        for stream in open {
            loopContext.deadlines.remove(stream)
            stream.connectionClosed(failure)
        }
        didClose(failure)
    }

    /// Closes the socket after what is written has been sent.
    func closeAfterFlush() {
        if !isClosed { closeLingering() }
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

/// What a peer announced in its HELLO.
struct PeerSettings {
    var streamWindowBytes = RPCLimits().streamWindowBytes
    var connectionWindowBytes = RPCLimits().connectionWindowBytes
    var frameBytesMax = RPCLimits().frameBytesMax
    var messageBytesMax = RPCLimits().messageBytesMax
    var streamsMax = RPCLimits().streamsMax
    var pingIntervalMinMs = 0
    var features: Features = []
    var credential = ""
    var role = ""
    var instance = ""
    var build = ""

    init() {}

    /// - Throws: `ProtocolViolation` for a range of versions without ours.
    init(_ hello: WireHello) throws(ProtocolViolation) {
        guard hello.minorMin <= UInt32(Preface.minor) else {
            throw ProtocolViolation(
                "the peer speaks minor versions from \(hello.minorMin); this end speaks \(Preface.minor)")
        }
        frameBytesMax = min(
            max(Self.orDefault(hello.frameBytesMax, frameBytesMax), RPCLimits.frameBytesRange.lowerBound),
            RPCLimits.frameBytesRange.upperBound)
        messageBytesMax = Self.orDefault(hello.messageBytesMax, messageBytesMax)
        streamsMax = Self.orDefault(hello.streamsMax, streamsMax)
        streamWindowBytes = min(Self.orDefault(hello.streamWindowBytes, streamWindowBytes), SendWindow.bytesMax)
        connectionWindowBytes = min(
            Self.orDefault(hello.connectionWindowBytes, connectionWindowBytes), SendWindow.bytesMax)
        pingIntervalMinMs = Int(hello.pingIntervalMinMs)
        features = Features(rawValue: hello.features)
        credential = hello.credential
        role = hello.role
        instance = hello.instance
        build = hello.build
    }

    private static func orDefault(_ announced: UInt32, _ value: Int) -> Int { announced == 0 ? value : Int(announced) }
}
