internal import Core
internal import NIOCore

/// The answering end of a connection: opens a stream per REQUEST, runs its handler, ends it with one STATUS.
final class ServerConnection: Connection, @unchecked Sendable {
    private let server: RPCServer.Shared
    private let peer: String
    private var prefaceRead = false
    private var lastStream: UInt32 = 0

    init(server: RPCServer.Shared, loopContext: LoopContext, loop: any EventLoop, peer: String) {
        self.server = server
        self.peer = peer
        super.init(limits: server.configuration.limits, loopContext: loopContext, loop: loop)
    }

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
        limits.hello(role: "service", instance: server.configuration.instance, build: server.configuration.build)
    }

    override func receive(_ header: FrameHeader, meta: ByteBuffer, payload: ByteBuffer) throws(ProtocolViolation) {
        switch FrameType(rawValue: header.type) {
        case .request: try open(header, meta, payload)
        case .data:
            try consumeConnectionWindow(payload.readableBytes)
            guard let stream = streams[header.stream], stream.ended == nil else {
                guard header.stream <= lastStream, header.stream & 1 == 1 else {
                    throw ProtocolViolation("DATA came on stream \(header.stream), which was never opened")
                }
                creditConnection(payload.readableBytes)
                return
            }
            try stream.receive(payload, flags: header.flags, counted: true)
        case .cancel:
            guard let stream = streams[header.stream] else { return }
            abort(stream, Failure(.cancelled, "The caller cancelled the call."))
        case .goAway: break
        default: throw ProtocolViolation("frame type \(header.type) does not belong to a client")
        }
    }

    // MARK: Opening

    private func open(_ header: FrameHeader, _ meta: ByteBuffer, _ payload: ByteBuffer) throws(ProtocolViolation) {
        guard header.stream & 1 == 1, header.stream > lastStream else {
            throw ProtocolViolation("stream \(header.stream) does not rise from \(lastStream) in odd numbers")
        }
        lastStream = header.stream
        guard !isDraining else {
            refuse(
                header.stream,
                Failure(.unavailable, reason: "DRAINING", "The service is shutting down.", remedy: "Try again."))
            return
        }
        guard streams.count < limits.streamsMax else {
            refuse(
                header.stream,
                Failure(
                    .unavailable, reason: "TOO_MANY_STREAMS",
                    "More than \(limits.streamsMax) calls are in flight on this connection.",
                    remedy: "Wait for some of them.", retryAfterMs: 100))
            return
        }
        let request: (RequestMeta, path: String, entry: ServiceRouter.Entry?)
        do {
            request = try meta.withUnsafeReadableBytes { bytes in
                try RequestMeta.decode(bytes) { server.router.entry(path: $0) }
            }
        } catch {
            refuse(header.stream, Failure(wrapping: error))
            return
        }
        guard let entry = request.entry else {
            refuse(
                header.stream,
                Failure(
                    .unimplemented, reason: "UNKNOWN_METHOD", "This server has no method \(request.path).",
                    remedy: "Its services are: \(server.router.services.joined(separator: ", "))."))
            return
        }
        try start(entry, request.0, header, payload)
    }

    private func start(
        _ entry: ServiceRouter.Entry, _ meta: RequestMeta, _ header: FrameHeader, _ payload: ByteBuffer
    ) throws(ProtocolViolation) {
        let stream = RPCStream(id: header.stream, connection: self)
        stream.receivedAt = .now()
        var deadline: MonotonicTime?
        if meta.timeoutMicroseconds > 0 {
            let expiry = stream.receivedAt.advanced(by: .microseconds(Int64(clamping: meta.timeoutMicroseconds)))
            loopContext.deadlines.add(stream, deadline: expiry)
            deadline = expiry
        }
        streams[header.stream] = stream
        // The common case takes its message straight from the frame, without a queue.
        var first: ByteBuffer?
        if header.flags.isSuperset(of: [.endMessage, .endStream]), !entry.method.clientStreaming {
            first = payload
            try stream.receive(ByteBuffer(), flags: [.noMessage, .endStream], counted: false)
        } else {
            try stream.receive(payload, flags: header.flags, counted: false)
        }
        let trace = meta.trace ?? .root(using: &loopContext.random)
        let credential = meta.credential.isEmpty ? peerCredential : meta.credential
        var call = CallContext(
            trace: trace, madeRequestID: UUIDv7(now: .now(), using: &loopContext.random),
            correlationID: meta.correlationID, credential: credential, deadline: deadline)
        if !meta.requestID.isEmpty { call.requestID = meta.requestID }
        let context = ServerContext(
            call: call, request: CallRequest(entry: entry, meta: meta, peer: peer, stream: stream))
        // A plain variable: the task may end, and take the stream with it, before this assignment.
        let task = Task.immediate(executorPreference: loopContext.executor) {
            await self.run(entry, stream, first, context)
        }
        if streams[stream.id] === stream { stream.task = task }
    }

    private func refuse(_ stream: UInt32, _ failure: Failure) {
        let meta = StatusMeta(failure: failure)
        writeFrame(.status, [.endStream, .noMessage], stream: stream, meta: { meta.encode(into: &$0) })
    }

    // MARK: Running

    private func run(
        _ entry: ServiceRouter.Entry, _ stream: RPCStream, _ first: ByteBuffer?, _ context: ServerContext
    ) async {
        do {
            let context =
                context.call.principal == nil && context.method.access != .open
                ? try await server.authorised(context) : context
            let reply = try await CallContext.$current.withValue(context.call) {
                try await server.invoke(entry, stream, first, context)
            }
            guard let reply else { return finish(stream, .success(())) }
            // Nothing to wait for in the common case: the reply goes straight into the outbound buffer.
            if loop.inEventLoop, writeStatus(stream, reply: reply) { return }
            try await finish(stream, reply: reply)
        } catch {
            finish(stream, .failure(Failure(wrapping: error)))
        }
    }

    /// STATUS with a reply that another thread made or that does not fit into one frame: then it goes before as DATA.
    private func finish(_ stream: RPCStream, reply: any WireMessage) async throws {
        let bytes = reply.encoded()
        if bytes.readableBytes <= min(peerFrameBytesMax - RPCLimits.metaBytesMax, peerMessageBytesMax) {
            execute { [self] in
                _ = writeStatus(stream, reply: RawMessage(bytes))
            }
        } else {
            try await stream.sendCancellable(bytes)
            finish(stream, .success(()))
        }
    }

    /// False when the reply is too large for one frame; nothing is written then.
    private func writeStatus(_ stream: RPCStream, reply: any WireMessage) -> Bool {
        guard !isClosed, stream.ended == nil, streams[stream.id] === stream else {
            streams[stream.id] = nil
            closeIfDrained()
            return true
        }
        let start = outbound.writerIndex
        let meta = statusMeta(stream, nil)
        writeFrame(.status, [.endMessage, .endStream], stream: stream.id, meta: { meta.encode(into: &$0) }) {
            reply.encode(into: &$0)
        }
        guard outbound.writerIndex - start - FrameHeader.bytes <= peerFrameBytesMax else {
            outbound.moveWriterIndex(to: start)
            return false
        }
        release(stream, .success(()))
        return true
    }

    private func finish(_ stream: RPCStream, _ outcome: Result<Void, Failure>) {
        execute { [self] in
            // An aborted call has sent its status already; its slot is free only now that its handler has returned.
            guard stream.ended == nil, !isClosed else {
                streams[stream.id] = nil
                closeIfDrained()
                return
            }
            writeStatus(stream, outcome)
            release(stream, outcome)
        }
    }

    private func writeStatus(_ stream: RPCStream, _ outcome: Result<Void, Failure>) {
        let meta = statusMeta(stream, outcome.failureOrNil)
        writeFrame(.status, [.endStream, .noMessage], stream: stream.id, meta: { meta.encode(into: &$0) })
    }

    private func statusMeta(_ stream: RPCStream, _ failure: Failure?) -> StatusMeta {
        var meta = StatusMeta(failure: failure, metadata: stream.trailers)
        meta.serverMicroseconds = UInt64(max(0, stream.receivedAt.duration(to: .now()).wholeNanoseconds / 1000))
        return meta
    }

    private func release(_ stream: RPCStream, _ outcome: Result<Void, Failure>) {
        loopContext.deadlines.remove(stream)
        streams[stream.id] = nil
        stream.end(outcome)
        stream.discardInbound()
        closeIfDrained()
    }

    /// Ends the call towards the caller now and cancels its handler. The slot stays taken until the handler has returned:
    /// otherwise opening and cancelling in turn would start work without bound.
    private func abort(_ stream: RPCStream, _ failure: Failure) {
        guard stream.ended == nil else { return }
        loopContext.deadlines.remove(stream)
        writeStatus(stream, .failure(failure))
        stream.task?.cancel()
        stream.end(.failure(failure))
        stream.discardInbound()
    }

    override func deadlineExpired(_ stream: RPCStream) {
        abort(stream, Failure(.deadlineExceeded, "The call did not finish within its deadline."))
    }

    override func messageTooLarge(_ stream: RPCStream, bytes: Int) {
        abort(
            stream,
            Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "A message is larger than the server's limit of \(limits.messageBytesMax) bytes.",
                remedy: "Send large things as a stream of smaller messages."))
    }

    override func sendHeaders(_ metadata: Metadata, on stream: RPCStream) {
        guard stream.ended == nil, stream.headers.isEmpty, !metadata.isEmpty else { return }
        stream.headers = metadata
        let frame = WireHeaders(metadata)
        writeFrame(.headers, stream: stream.id, meta: { frame.encode(into: &$0) })
    }

    // MARK: Draining

    /// No new calls; closes when those in flight have ended.
    func drain() {
        guard !isDraining, !isClosed else { return }
        isDraining = true
        goAway(lastStream: lastStream, code: .ok, "the server is shutting down")
        closeIfDrained()
    }

    private func closeIfDrained() {
        if isDraining, streams.isEmpty { closeAfterFlush() }
    }

    /// Cancels what is left and closes.
    func closeNow() {
        for stream in streams.values {
            abort(
                stream,
                Failure(
                    .unavailable, reason: "SHUTDOWN", "The service stopped before the call had finished.",
                    remedy: "Try again."))
        }
        closeAfterFlush()
    }

    override func didClose(_ failure: Failure) { server.connections.remove(self) }
}
