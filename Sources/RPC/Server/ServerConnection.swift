internal import Core
internal import NIOCore

/// The answering end of a connection: opens a stream per REQUEST, runs its handler, ends it with one STATUS.
final class ServerConnection: Connection, @unchecked Sendable {
    let server: RPCServer.Shared
    let peerAddress: String
    let layer: ProtocolSniffer.Layer
    private let seat: ConnectionPlaces.Seat?
    /// Rising in the order of arrival.
    let number: UInt64
    @exclusivity(unchecked) private var streams = StreamTable<ServerStream>()
    @exclusivity(unchecked) private var prefaceRead = false
    @exclusivity(unchecked) private(set) var lastStream: UInt32 = 0
    /// Set from the first step of a drain on.
    @exclusivity(unchecked) var drainTimer: Scheduled<Void>?
    /// Counts since the connection began.
    @exclusivity(unchecked) private(set) var streamsOpened = 0

    /// - Parameter acceptedAt: when the socket was accepted, from which on the peer's time for its HELLO counts; nil for now.
    init(
        server: RPCServer.Shared, loopContext: LoopContext, loop: any EventLoop, peerAddress: String,
        layer: ProtocolSniffer.Layer = .plain, acceptedAt: MonotonicTime? = nil,
        seat: ConnectionPlaces.Seat? = nil
    ) {
        self.server = server
        self.peerAddress = peerAddress
        self.layer = layer
        self.seat = seat
        number = server.connections.nextNumber()
        super.init(
            limits: server.configuration.limits, options: server.configuration.options, loopContext: loopContext,
            loop: loop, openedAt: acceptedAt)
    }

    override class var answersCalls: Bool { true }
    override func stream(_ id: UInt32) -> RPCStream? { streams[id] }
    override var openStreams: [RPCStream] { streams.all }
    override var openStreamCount: Int { streams.count }
    override func removeAllStreams() { streams.removeAll() }

    override func readPreface(_ buffer: inout ByteBuffer) throws(ProtocolViolation) -> Bool {
        if prefaceRead { return true }
        guard let major = try Preface.read(from: &buffer) else { return false }
        guard major == Preface.major else {
            throw ProtocolViolation(
                "this server speaks ACP major version \(Preface.major), the peer asked for \(major)")
        }
        prefaceRead = true
        return true
    }

    override func hello() -> WireHello {
        limits.hello(
            options: options, role: "service", instance: server.configuration.instance,
            build: server.configuration.build)
    }

    // MARK: Frames

    override func receive(_ frame: InboundFrame, in buffer: ByteBuffer) throws(ProtocolViolation) {
        switch FrameType(rawValue: frame.header.type) {
        case .request: try open(frame, buffer)
        case .data: try receiveData(frame, buffer)
        case .cancel:
            guard frame.stream & 1 == 1, frame.stream <= lastStream else {
                throw ProtocolViolation("CANCEL came for stream \(frame.stream), which was never opened")
            }
            guard let stream = streams[frame.stream], stream.isOpen else {
                try floods.received(.lateCancel, now: loopContext.readTime)
                return
            }
            // Opening and cancelling in turn is what costs: a call that was made before the window is none of it.
            if stream.receivedAt >= floods.windowStart { try floods.received(.cancel, now: loopContext.readTime) }
            abort(stream, Failure(.cancelled, "The caller cancelled the call."))
        case .goAway:
            isDraining = true
            closeIfDrained()
        default: throw ProtocolViolation("frame type \(frame.header.type) does not belong to a client")
        }
    }

    private func receiveData(_ frame: InboundFrame, _ buffer: ByteBuffer) throws(ProtocolViolation) {
        let count = frame.payloadLength
        try consumeConnectionWindow(count)
        // An empty message is a message; an empty part of one is noise.
        if count == 0, frame.flags.isDisjoint(with: [.endMessage, .endStream]) {
            try floods.received(.emptyData, now: loopContext.readTime)
        }
        guard let stream = streams[frame.stream], stream.isOpen else {
            guard frame.stream <= lastStream, frame.stream & 1 == 1 else {
                throw ProtocolViolation("DATA came on stream \(frame.stream), which was never opened")
            }
            creditConnection(count)
            return
        }
        try stream.receive(frame.payload(in: buffer), flags: frame.flags, counted: true)
        if case .notAsked = stream.turn, stream.isOpen { admit(stream) }
    }

    override var lastStreamOfPeer: UInt32 { lastStream }

    private func open(_ frame: InboundFrame, _ buffer: ByteBuffer) throws(ProtocolViolation) {
        let id = frame.stream
        guard id & 1 == 1, id > lastStream else {
            throw ProtocolViolation("stream \(id) is even or not above \(lastStream)")
        }
        lastStream = id
        floods.streamOpened()
        if let refusal = refusalToOpen() { return refuse(id, refusal, isRetryable: true) }
        var meta = RequestMeta()
        let entry: ServiceRouter.Entry
        do {
            let path = try meta.decode(frame.meta)
            guard let known = server.router.entry(path: path) else {
                throw unknownMethod(try RequestMeta.text(ofPath: path))
            }
            entry = known
        } catch {
            return refuse(id, Failure(wrapping: error))
        }
        let stream = makeStream(id, entry, meta)
        streams.insert(stream)
        streamsOpened += 1
        try stream.receive(frame.payload(in: buffer), flags: frame.flags, counted: false)
        if stream.isOpen { admit(stream) }
    }

    private func unknownMethod(_ path: String) -> Failure {
        Failure(
            .unimplemented, reason: "UNKNOWN_METHOD", "This server has no method \(path).",
            remedy: "Its services are: \(server.router.services.joined(separator: ", ")).")
    }

    private func refusalToOpen() -> Failure? {
        if isDraining {
            return Failure(.unavailable, reason: "DRAINING", "The service is shutting down.", remedy: "Try again.")
        }
        guard streams.count < limits.streamsMax else {
            return Failure(
                .unavailable, reason: "TOO_MANY_STREAMS",
                "More than \(limits.streamsMax) calls are in flight on this connection.",
                remedy: "Wait for some of them.", retryAfterMs: 100)
        }
        return nil
    }

    private func makeStream(_ id: UInt32, _ entry: ServiceRouter.Entry, _ meta: consuming RequestMeta) -> ServerStream {
        let now = loopContext.readTime
        var deadline: MonotonicTime?
        if meta.timeoutMicroseconds > 0 {
            let nanoseconds = meta.timeoutMicroseconds.multipliedReportingOverflow(by: 1000)
            let sum = now.nanoseconds.addingReportingOverflow(nanoseconds.overflow ? .max : nanoseconds.partialValue)
            deadline = MonotonicTime(nanoseconds: sum.overflow ? .max : sum.partialValue)
        }
        let trace = meta.trace ?? loopContext.makeTrace()
        let credential = meta.credential.isEmpty ? peer.credential : meta.credential
        let call =
            meta.requestID.isEmpty
            ? CallContext(
                trace: trace, madeRequestID: loopContext.makeRequestID(), correlationID: meta.correlationID,
                credential: credential, deadline: deadline)
            : CallContext(
                trace: trace, requestID: meta.requestID, correlationID: meta.correlationID, credential: credential,
                deadline: deadline)
        let stream = ServerStream(id: id, connection: self, entry: entry, meta: meta, call: call, receivedAt: now)
        if let deadline { loopContext.deadlines.add(stream, deadline: deadline, now: now) }
        return stream
    }

    /// A call that is refused before it has a stream.
    private func refuse(_ id: UInt32, _ failure: Failure, isRetryable: Bool = false) {
        var meta = StatusMeta(failure: failure)
        meta.isRefused = isRetryable
        writeStatus(meta, stream: id)
        server.refused(failure, loopContext)
    }

    // MARK: Running

    /// Starts the handler, now or when the limit of its method allows.
    private func admit(_ stream: ServerStream) {
        guard let gate = server.gate(of: stream.entry) else { return run(stream) }
        // A place is for work that can be done: who opens calls and never sends their messages must not hold all of them.
        guard stream.hasWholeRequest || stream.entry.method.clientStreaming else {
            stream.turn = .notAsked
            return
        }
        stream.turn = .free
        if let retryAfterMs = gate.arrive(stream, now: loopContext.readTime) {
            stream.isRefused = true
            abort(
                stream,
                Failure(
                    .unavailable, reason: "OVERLOADED", "\(stream.entry.method.name) has more calls than it can serve.",
                    remedy: "Try again later.", retryAfterMs: retryAfterMs))
        } else if case .held = stream.turn {
            run(stream)
        } else {
            stream.compactInbound()
        }
    }

    func turnCame(_ stream: ServerStream) {
        guard case .waiting = stream.turn else {
            // It ended between leaving the queue and now: the place goes to the next.
            server.gate(of: stream.entry)?.finish(now: loopContext.now())
            return
        }
        stream.turn = .held
        stream.startedAt = loopContext.now()
        // The timer that ends it may be a tick behind.
        if let deadline = stream.call.deadline, deadline <= stream.startedAt { return deadlineExpired(stream) }
        loopContext.executor.batch(for: self) { run(stream) }
    }

    private func run(_ stream: ServerStream) {
        // A plain variable: the task may end, and take the stream with it, before this assignment.
        let task: Task<Void, Never>?
        if stream.entry.isOpen, writesRepliesAtOnce, let begin = stream.entry.begin {
            task = begin(self, stream)
        } else {
            task = serveLater(stream)
        }
        guard stream.isRunning else { return }
        stream.task = task
        stream.compactInbound()
        if isClosed { task?.cancel() }
    }

    /// Any call: waits for the authenticator, the interceptors and the request message as they need.
    private func serve(_ stream: ServerStream) async {
        do {
            if !stream.entry.isOpen { try await server.authorise(stream) }
            // Each level of async calls costs a check of the executor: the common case has as few as possible.
            let context = ServerContext(stream)
            if server.configuration.interceptors.isEmpty {
                try await CallContext.$current.withValue(stream.call) {
                    try await stream.entry.invoke(stream, context)
                }
            } else {
                try await CallContext.$current.withValue(stream.call) {
                    try await server.invoke(stream, context, from: 0)
                }
            }
            await complete(stream)
        } catch {
            finish(stream, Failure(wrapping: error))
        }
    }

    /// The general way, for a call that cannot begin at once.
    func serveLater(_ stream: ServerStream) -> Task<Void, Never> {
        Task.immediate(executorPreference: loopContext.executor) { await self.serve(stream) }
    }

    /// The handler has returned well.
    func complete(_ stream: ServerStream) async {
        guard let reply = stream.reply else { return finish(stream, nil) }
        do { try await finish(stream, reply: reply) } catch { finish(stream, Failure(wrapping: error)) }
    }

    /// Replies go into the outbound buffer as soon as the handler returns; with interceptors they wait for those.
    var writesRepliesAtOnce: Bool { server.configuration.interceptors.isEmpty }

    /// STATUS with a reply that another thread made or that does not fit into one frame: then it goes before as DATA.
    private func finish(_ stream: ServerStream, reply: ByteBuffer) async throws {
        if reply.readableBytes <= peer.frameBytesMax - RPCLimits.metaBytesMax - Checksum.bytes {
            execute { [self] in
                if writeReply(RawMessage(reply), on: stream) {
                    handlerReturned(stream)
                } else {
                    // It fits into a frame, so it is the peer's limit of messages that it exceeds.
                    finishOnLoop(stream, tooLargeForPeer(reply.readableBytes))
                }
            }
        } else {
            try await stream.send(reply, endStream: false)
            finish(stream, nil)
        }
    }

    /// The handler has returned and its reply, if it has one, is written.
    func finish(_ stream: ServerStream, _ failure: Failure?) {
        // Almost always on the loop already: then no closure is made.
        if loop.inEventLoop {
            finishOnLoop(stream, failure)
        } else {
            loop.execute { self.finishOnLoop(stream, failure) }
        }
    }

    func finishOnLoop(_ stream: ServerStream, _ failure: Failure?) {
        if failure == nil, stream.isOpen, !stream.pending.isEmpty {
            // A write was given up half way: an OK between the parts of a message would break the protocol, so it waits for the rest.
            stream.endsWhenSent = true
            return
        }
        if stream.isOpen, !isClosed {
            let elapsed = writeStatus(stream, failure)
            release(stream, failure, elapsed)
        }
        handlerReturned(stream)
    }

    /// An aborted call has sent its status already; its slot is free only now.
    func handlerReturned(_ stream: ServerStream) {
        stream.isRunning = false
        streams.remove(stream.id)
        switch stream.turn {
        case .free, .notAsked: break
        // When its turn came meanwhile, `turnCame` gives the place back.
        case .waiting(let ticket): _ = server.gate(of: stream.entry)?.leave(ticket)
        case .held: server.gate(of: stream.entry)?.finish(now: loopContext.now())
        }
        stream.turn = .free
        closeIfDrained()
    }

    /// The status is written: the call is over for the caller.
    func release(_ stream: ServerStream, _ failure: Failure?, _ elapsed: Int64) {
        loopContext.deadlines.remove(stream)
        stream.end(failure)
        stream.discardInbound()
        server.observer(of: stream.entry)?.callEnded(
            stream.call, failure: failure, nanoseconds: elapsed, queuedNanoseconds: stream.queuedNanoseconds(elapsed))
    }

    /// Ends the call towards the caller now and cancels its handler. The slot stays taken until the handler has returned:
    /// otherwise opening and cancelling in turn would start work without bound.
    func abort(_ stream: ServerStream, _ failure: Failure) {
        guard stream.isOpen else { return }
        let elapsed = writeStatus(stream, failure)
        release(stream, failure, elapsed)
        if let task = stream.task { task.cancel() } else { handlerReturned(stream) }
    }

    override func deadlineExpired(_ stream: RPCStream) {
        guard let stream = streams[stream.id] else { return }
        abort(stream, Failure(.deadlineExceeded, "The call did not finish within its deadline."))
    }

    override func fail(_ stream: RPCStream, _ failure: Failure) {
        if let stream = streams[stream.id] { abort(stream, failure) }
    }

    override func sendHeaders(_ metadata: Metadata, on stream: RPCStream) {
        guard stream.isOpen, stream.headers.isEmpty, !stream.hasSentData, !metadata.isEmpty else { return }
        stream.headers = metadata
        let start = beginFrame(.headers, [], stream: stream.id)
        WireHeaders(metadata).encode(into: &outbound)
        let metaLength = outbound.writerIndex - start - FrameHeader.bytes
        // A peer of such small frames goes without.
        guard metaLength <= sentMetaBytesMax else { return dropFrame(start) }
        endFrame(start, metaLength: metaLength)
    }

    override func didReceiveHello() { seat?.isGreeted() }

    override func didReceivePong(_ payload: ByteBuffer) { answered(payload) }

    override func didClose(_ failure: Failure) {
        drainTimer?.cancel()
        server.connections.remove(self)
    }
}
