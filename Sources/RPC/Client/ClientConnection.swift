internal import Core
internal import NIOCore

/// The asking end of a connection.
final class ClientConnection: Connection, @unchecked Sendable {
    private let credential: String
    private let onClose: @Sendable (ClientConnection) -> Void
    private var nextStream: UInt32 = 1
    private var waiting = Fifo<() -> Void>()

    init(
        limits: RPCLimits, loopContext: LoopContext, loop: any EventLoop, credential: String,
        onClose: @escaping @Sendable (ClientConnection) -> Void
    ) {
        self.credential = credential
        self.onClose = onClose
        super.init(limits: limits, loopContext: loopContext, loop: loop)
    }

    override func writePreface() { Preface.write(to: &outbound) }

    override func hello() -> WireHello {
        limits.hello(role: "client", instance: "", build: "", credential: credential)
    }

    /// Whether new calls may be made here.
    var isUsable: Bool { !isClosed && !isDraining && nextStream < UInt32.max - 2 }

    override func receive(_ header: FrameHeader, meta: ByteBuffer, payload: ByteBuffer) throws(ProtocolViolation) {
        let type = FrameType(rawValue: header.type)
        if type == .goAway { return receiveGoAway(meta) }
        if type == .data { try consumeConnectionWindow(payload.readableBytes) }
        guard let stream = streams[header.stream], stream.ended == nil else {
            guard header.stream < nextStream, header.stream & 1 == 1 else {
                throw ProtocolViolation("a frame came for stream \(header.stream), which was never opened")
            }
            // A call given up here may still be answered there.
            if type == .data { creditConnection(payload.readableBytes) }
            return
        }
        switch type {
        case .headers:
            guard let metadata = try? WireHeaders.decode(meta).checkedMetadata() else {
                throw ProtocolViolation("HEADERS cannot be read")
            }
            stream.headers = metadata
        case .data: try stream.receive(payload, flags: header.flags.subtracting(.endStream), counted: true)
        case .status: try receiveStatus(stream, header, meta, payload)
        default: throw ProtocolViolation("frame type \(header.type) does not belong to a server")
        }
    }

    private func receiveStatus(
        _ stream: RPCStream, _ header: FrameHeader, _ meta: ByteBuffer, _ payload: ByteBuffer
    ) throws(ProtocolViolation) {
        guard let status = try? meta.withUnsafeReadableBytes({ try StatusMeta.decode($0) }) else {
            throw ProtocolViolation("STATUS cannot be read")
        }
        stream.trailers = status.metadata
        stream.serverMicroseconds = status.serverMicroseconds
        if let failure = status.failure { return release(stream, .failure(failure)) }
        let message: FrameFlags = header.flags.contains(.endMessage) ? .endMessage : .noMessage
        try stream.receive(payload, flags: [message, .endStream], counted: false)
        release(stream, .success(()))
    }

    private func receiveGoAway(_ meta: ByteBuffer) {
        isDraining = true
        let message = (try? WireGoAway.decode(meta)) ?? WireGoAway()
        let code = StatusCode(rawValue: Int(message.code)) ?? .unavailable
        // Streams the peer never looked at: a retry elsewhere is safe.
        for stream in streams.values where stream.id > message.lastStream {
            let failure =
                code == .ok
                ? Failure(
                    .unavailable, reason: "DRAINING", "The service is shutting down: \(message.message).",
                    remedy: "Try again.")
                : Failure(code, reason: "GOAWAY", "The peer closed the connection: \(message.message).")
            release(stream, .failure(failure))
        }
        onClose(self)
        closeIfDrained()
    }

    private func release(_ stream: RPCStream, _ outcome: Result<Void, Failure>) {
        loopContext.deadlines.remove(stream)
        streams[stream.id] = nil
        stream.end(outcome)
        if streams.count < peerStreamsMax, let next = waiting.removeFirst() { next() }
        closeIfDrained()
    }

    private func closeIfDrained() {
        if isDraining, streams.isEmpty { closeAfterFlush() }
    }

    // MARK: Calls

    /// Whether a call can be opened without waiting for another to end.
    var hasFreeStream: Bool { streams.count < peerStreamsMax }

    /// Opens a stream on the loop, as soon as one is free.
    func open(
        _ path: StaticPath, _ meta: RequestMeta, deadline: MonotonicTime?, first: ByteBuffer?, endStream: Bool,
        _ opened: @escaping (Result<RPCStream, any Error>) -> Void
    ) {
        guard hasFreeStream || !isUsable else {
            waiting.append { self.open(path, meta, deadline: deadline, first: first, endStream: endStream, opened) }
            return
        }
        opened(Result { try openNow(path, meta, deadline: deadline, first: first, endStream: endStream) })
    }

    /// Opens a stream on the loop. `first` goes with the REQUEST frame when it fits; `endStream` says that nothing follows.
    func openNow(
        _ path: StaticPath, _ meta: RequestMeta, deadline: MonotonicTime?, first: ByteBuffer?, endStream: Bool
    ) throws -> RPCStream {
        guard isUsable else {
            throw Failure(.unavailable, reason: "CONNECTION_CLOSED", "The connection is closing.", remedy: "Try again.")
        }
        if let first, first.readableBytes > peerMessageBytesMax { throw tooLargeForPeer(first.readableBytes) }
        let stream = RPCStream(id: nextStream, connection: self)
        nextStream += 2
        streams[stream.id] = stream
        if let deadline { loopContext.deadlines.add(stream, deadline: deadline) }
        let fits = first.map { $0.readableBytes + RPCLimits.metaBytesMax <= peerFrameBytesMax } ?? false
        var flags: FrameFlags = fits ? [.endMessage] : [.noMessage]
        if fits || first == nil, endStream { flags.insert(.endStream) }
        writeFrame(.request, flags, stream: stream.id, meta: { meta.encode(path: path, into: &$0) }) {
            if fits, let first { $0.writeImmutableBuffer(first) }
        }
        if endStream { stream.closeLocal() }
        if !fits, let first { enqueue(first, endStream: endStream, on: stream, nil) }
        return stream
    }

    override func cancel(_ stream: RPCStream) {
        if stream.ended == nil { abandon(stream, Failure(.cancelled, "The call was cancelled.")) }
        stream.discardInbound()
    }

    override func deadlineExpired(_ stream: RPCStream) {
        guard stream.ended == nil else { return }
        abandon(
            stream,
            Failure(
                .deadlineExceeded, "The service did not answer within the deadline.",
                remedy: "Allow more time with --timeout."))
    }

    override func messageTooLarge(_ stream: RPCStream, bytes: Int) {
        abandon(
            stream,
            Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "The answer holds a message larger than this client's limit of \(limits.messageBytesMax) bytes."))
    }

    /// Tells the server that nobody waits any more, and ends the call here.
    private func abandon(_ stream: RPCStream, _ failure: Failure) {
        writeFrame(.cancel, stream: stream.id)
        release(stream, .failure(failure))
    }

    override func didClose(_ failure: Failure) {
        onClose(self)
        while let next = waiting.removeFirst() { next() }
    }

    /// Closes once calls in flight have ended.
    func shutdown() {
        guard !isClosed else { return }
        isDraining = true
        closeIfDrained()
    }

    /// Closes now; calls in flight fail.
    func closeNow() {
        for stream in streams.values { cancel(stream) }
        closeAfterFlush()
    }
}
