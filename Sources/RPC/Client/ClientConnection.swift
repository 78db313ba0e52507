internal import Core
internal import NIOCore

/// The asking end of a connection.
final class ClientConnection: Connection, @unchecked Sendable {
    /// What whoever made the connection has to know.
    enum Event: Sendable {
        /// The server takes no new calls here; those in flight finish.
        case draining(Failure)
        case closed(Failure)
        /// Its stream numbers are used up.
        case exhausted
        /// No call was here for `idleMsMax`.
        case unused
    }

    /// Of calls that bring none.
    let credential: String
    /// The peer, when others on the way to it could read what is sent: then no credential is. Set before the connection is in use.
    @exclusivity(unchecked) var insecurePeer: String?
    /// Why the connection ended, if there is more to say than that it did: for calls that come too late to have been part of it.
    @exclusivity(unchecked) private var ending: Failure?
    /// Time without a call after which `unused` is reported; nil for never.
    private let idleMsMax: Int64?
    private let onEvent: @Sendable (Event) -> Void
    /// When the last call ended, or the connection began.
    private var idleSince: MonotonicTime?
    private var isIdleTimerRunning = false
    /// Nobody wants the connection, which may still be being made.
    private var isCut = false
    @exclusivity(unchecked) private var streams = StreamTable<ClientStream>()
    @exclusivity(unchecked) private var nextStream: UInt32 = 1
    /// Calls that wait for a free stream.
    private var waiting = Fifo<() -> Void>()

    init(
        limits: RPCLimits, options: WireOptions, loopContext: LoopContext, loop: any EventLoop, credential: String,
        idleMsMax: Int64? = nil, onEvent: @escaping @Sendable (Event) -> Void
    ) {
        self.credential = credential
        self.idleMsMax = idleMsMax
        self.onEvent = onEvent
        super.init(limits: limits, options: options, loopContext: loopContext, loop: loop)
    }

    override func stream(_ id: UInt32) -> RPCStream? { streams[id] }
    override var openStreams: [RPCStream] { streams.all }
    override var openStreamCount: Int { streams.count }
    override func removeAllStreams() { streams.removeAll() }

    override func writePreface() { Preface.write(to: &outbound) }

    override func hello() -> WireHello {
        limits.hello(
            options: options, role: "client", instance: "", build: "",
            credential: insecurePeer == nil ? credential : "")
    }

    /// Whether new calls may be made here.
    private var isUsable: Bool { !isClosed && !isDraining && nextStream < Self.streamIDsEnd }
    private static let streamIDsEnd = UInt32.max - 2

    // MARK: Frames

    override func receive(_ frame: InboundFrame, in buffer: ByteBuffer) throws(ProtocolViolation) {
        let type = FrameType(rawValue: frame.header.type)
        if type == .goAway { return try receiveGoAway(frame) }
        if type == .data { try consumeConnectionWindow(frame.payloadLength) }
        guard let stream = streams[frame.stream] else {
            guard frame.stream < nextStream, frame.stream & 1 == 1 else {
                throw ProtocolViolation("a frame came for stream \(frame.stream), which was never opened")
            }
            // A call given up here may still be answered there.
            if type == .data { creditConnection(frame.payloadLength) }
            return
        }
        switch type {
        case .headers:
            guard stream.progress != .answered else {
                throw ProtocolViolation("HEADERS of stream \(stream.id) came twice or after a message")
            }
            guard let metadata = try? WireHeaders.decode(frame.meta, limits: .standard).checkedMetadata() else {
                throw ProtocolViolation("HEADERS cannot be read")
            }
            stream.headers = metadata
            stream.hasAnswer()
        case .data:
            if frame.payloadLength == 0, !frame.flags.contains(.endMessage) {
                try floods.received(.emptyData, now: loopContext.readTime)
            }
            stream.hasAnswer()
            try stream.receive(
                frame.payload(in: buffer), flags: frame.flags.subtracting(.endStream), counted: true)
        case .status: try receiveStatus(stream, frame, buffer)
        default: throw ProtocolViolation("frame type \(frame.header.type) does not belong to a server")
        }
    }

    private func receiveStatus(
        _ stream: ClientStream, _ frame: InboundFrame, _ buffer: ByteBuffer
    ) throws(ProtocolViolation) {
        let status: StatusMeta
        do {
            status = try StatusMeta.decode(frame.meta)
        } catch { throw ProtocolViolation("STATUS cannot be read") }
        if !status.metadata.isEmpty { stream.trailers = status.metadata }
        stream.times = ServerTimes(
            serverMicroseconds: status.serverMicroseconds, queueMicroseconds: status.queueMicroseconds)
        if status.isRefused, stream.progress == .sent { stream.progress = .refused }
        if let failure = status.failure { return release(stream, failure) }
        let payload = frame.payload(in: buffer)
        guard !stream.isInsideMessage else {
            throw ProtocolViolation("stream \(stream.id) ended inside a message")
        }
        if frame.flags.isSuperset(of: .endMessage), !frame.flags.contains(.zstd),
            payload.readableBytes <= limits.messageBytesMax
        {
            forget(stream)
            stream.end(answer: payload)
            return didRelease()
        }
        var flags = frame.flags.intersection([.endMessage, .zstd])
        flags.formUnion(flags.contains(.endMessage) ? .endStream : [.noMessage, .endStream])
        try stream.receive(payload, flags: flags, counted: false)
        release(stream, nil)
    }

    private func receiveGoAway(_ frame: InboundFrame) throws(ProtocolViolation) {
        // Guessing what it says could call a stream refused that has run.
        guard let message = try? WireGoAway.decode(frame.meta, limits: .standard) else {
            throw ProtocolViolation("GOAWAY cannot be read")
        }
        let code = StatusCode(rawValue: Int(message.code)) ?? .unavailable
        let failure =
            code == .ok
            ? Failure(
                .unavailable, reason: "DRAINING", "The service is shutting down: \(message.message).",
                remedy: "Try again.")
            : Failure(code, reason: "GOAWAY", "The peer closed the connection: \(message.message).")
        if code != .ok { ending = failure }
        drain(failure) {
            // Streams the peer never looked at: a retry elsewhere is safe.
            for stream in streams.all where stream.id > message.lastStream {
                if stream.progress == .sent { stream.progress = .refused }
                release(stream, failure)
            }
        }
    }

    /// No new calls. Said before any call ends of it, so that repeats go elsewhere at once; calls that wait for a free stream do so too.
    private func drain(_ failure: Failure, _ endStreams: () -> Void = {}) {
        isDraining = true
        onEvent(.draining(failure))
        endStreams()
        openWaiting()
        closeIfDrained()
    }

    private func forget(_ stream: ClientStream) {
        loopContext.deadlines.remove(stream)
        streams.remove(stream.id)
    }

    private func release(_ stream: ClientStream, _ failure: Failure?) {
        forget(stream)
        stream.end(failure)
        didRelease()
    }

    private func didRelease() {
        openWaiting()
        if isDraining { closeIfDrained() }
        if idleMsMax != nil, streams.isEmpty { becameIdle() }
    }

    /// Opens waiting calls while there is room; when there will be none any more, they learn that. Those that have ended while they waited
    /// take no room: the next has its turn.
    private func openWaiting() {
        while streams.count < peer.streamsMax || !isUsable, let next = waiting.removeFirst() { next() }
    }

    override func didReceiveHello() { openWaiting() }

    private func closeIfDrained() {
        if isDraining, streams.isEmpty { closeAfterFlush() }
    }

    // MARK: Calls

    /// What a call sends first.
    struct Opening {
        let method: MethodDescriptor
        let meta: RequestMeta
        let deadline: MonotonicTime?
        /// Nothing follows the first message.
        let endStream: Bool
    }

    /// Opens `stream` on the loop, as soon as one is free. `first` is the message that goes with it, if any.
    func open(_ stream: ClientStream, _ opening: Opening, first: (some WireMessage)?) {
        guard stream.isOpen else { return }
        guard streams.count < peer.streamsMax || !isUsable else {
            waiting.append { self.open(stream, opening, first: first) }
            // Its deadline counts while it waits.
            if let deadline = opening.deadline, !stream.isInDeadlineWheel {
                loopContext.deadlines.add(stream, deadline: deadline, now: loopContext.now())
            }
            return
        }
        guard isUsable else {
            loopContext.deadlines.remove(stream)
            stream.end(
                ending
                    ?? Failure(
                        .unavailable, reason: "CONNECTION_CLOSED", "The connection is closing.", remedy: "Try again."))
            return
        }
        if let insecurePeer, !opening.meta.credential.isEmpty {
            stream.progress = .endedHere
            loopContext.deadlines.remove(stream)
            return stream.end(ChannelConnector.insecure(to: insecurePeer))
        }
        let start = beginFrame(
            .request,
            first == nil
                ? (opening.endStream ? [.endStream, .noMessage] : .noMessage)
                : opening.endStream ? [.endMessage, .endStream] : .endMessage, stream: nextStream)
        let metaLength = opening.meta.encode(path: opening.method.pathBytes, into: &outbound)
        guard metaLength <= sentMetaBytesMax else {
            dropFrame(start)
            stream.progress = .endedHere
            loopContext.deadlines.remove(stream)
            stream.end(
                Failure(
                    .resourceExhausted, reason: Failure.tooLarge,
                    "The metadata, ids and credential of the call to \(opening.method.name) take \(metaLength) bytes; at most \(RPCLimits.metaBytesMax) are allowed."
                ))
            return
        }
        started(stream, opening)
        let messageStart = outbound.writerIndex
        first?.encode(into: &outbound)
        let messageLength = outbound.writerIndex - messageStart
        if frameLength(start) <= peer.frameBytesMax, messageLength <= peer.messageBytesMax,
            !compresses || messageLength < MessageCompressor.messageBytesMin
        {
            endFrame(start, metaLength: metaLength)
        } else {
            sendAsData(stream, opening, start, metaLength, messageStart)
        }
        stream.came(to: .opened)
        if nextStream >= Self.streamIDsEnd { onEvent(.exhausted) }
        // What was written while the call waited for its stream.
        if !stream.pending.isEmpty {
            join(stream)
            pump()
        }
    }

    private func started(_ stream: ClientStream, _ opening: Opening) {
        stream.id = nextStream
        nextStream += 2
        stream.progress = .sent
        stream.sendWindow = SendWindow(bytes: peer.streamWindowBytes)
        streams.insert(stream)
        if opening.endStream { stream.closeLocal() }
        if let deadline = opening.deadline, !stream.isInDeadlineWheel {
            loopContext.deadlines.add(stream, deadline: deadline, now: loopContext.readTime)
        }
    }

    /// The first message does not fit into the REQUEST, or may be worth compressing: it follows as DATA.
    private func sendAsData(
        _ stream: ClientStream, _ opening: Opening, _ start: Int, _ metaLength: Int, _ messageStart: Int
    ) {
        let message = outbound.getSlice(at: messageStart, length: outbound.writerIndex - messageStart) ?? ByteBuffer()
        dropFrame(start)
        guard message.readableBytes <= peer.messageBytesMax else {
            // Nothing was written: the peer never hears of the stream, whose id is simply skipped.
            stream.progress = .endedHere
            release(stream, tooLargeForPeer(message.readableBytes))
            return
        }
        var copy = ByteBuffer()
        copy.writeImmutableBuffer(message)
        writeFrame(
            .request, .noMessage, stream: stream.id,
            meta: {
                _ = opening.meta.encode(path: opening.method.pathBytes, into: &$0)
            })
        enqueue(copy, endStream: opening.endStream, on: stream, nil)
    }

    /// Nobody waits for the call any more.
    func cancel(_ stream: ClientStream) {
        if stream.isOpen {
            stream.progress = .endedHere
            abandon(stream, Failure(.cancelled, "The call was cancelled."))
        }
        stream.discardInbound()
    }

    override func readerWasCancelled(_ stream: RPCStream, _ wait: StreamWait) {
        if let stream = stream as? ClientStream { cancel(stream) }
    }

    override func deadlineExpired(_ stream: RPCStream) {
        guard let stream = stream as? ClientStream, stream.isOpen else { return }
        if stream.progress == .sent { stream.progress = .endedHere }
        abandon(
            stream,
            Failure(
                .deadlineExceeded, "The service did not answer within the deadline.",
                remedy: "Allow more time with --timeout."))
    }

    override func fail(_ stream: RPCStream, _ failure: Failure) {
        guard let stream = stream as? ClientStream, stream.isOpen else { return }
        stream.hasAnswer()
        abandon(stream, failure)
    }

    /// Tells the server that nobody waits any more, and ends the call here.
    private func abandon(_ stream: ClientStream, _ failure: Failure) {
        if streams[stream.id] === stream { writeFrame(.cancel, stream: stream.id) }
        release(stream, failure)
    }

    override var lastWords: String? { ending?.message }

    override func willClose(_ failure: Failure) {
        if ending == nil, failure.reason != Self.connectionLost { ending = failure }
        // Why one was not made, who makes it knows: it may be more than that it is not there.
        if hasBegun { onEvent(.closed(failure)) }
    }

    override func didClose(_ failure: Failure) {
        openWaiting()
    }

    /// Closes once calls in flight have ended.
    func shutdown() {
        guard !isClosed, !isDraining else { return }
        drain(Failure(.unavailable, reason: "CONNECTION_CLOSED", "The connection is closing.", remedy: "Try again."))
    }

    /// Closes now; calls in flight fail as if the connection were lost.
    func cut() {
        isCut = true
        context?.close(promise: nil)
    }

    /// Numbers may be skipped; for tests of what happens when they are used up.
    func skipStreams(to id: UInt32) { nextStream = max(nextStream, id | 1) }

    // MARK: Idle time

    override func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What follows from our own end says nothing of the peer.
        if isCut { context.close(promise: nil) } else { super.errorCaught(context: context, error: error) }
    }

    override func handlerAdded(context: ChannelHandlerContext) {
        super.handlerAdded(context: context)
        // Not at once: this runs while the channel is being made, and a bootstrap does not expect its channel to close in between.
        if isCut {
            let channel = context.channel
            loop.execute { channel.close(promise: nil) }
        }
        if idleMsMax != nil { becameIdle() }
    }

    private func becameIdle() {
        idleSince = loopContext.now()
        if !isIdleTimerRunning, let idleMsMax { checkIdle(in: .milliseconds(idleMsMax)) }
    }

    /// One timer at a time, however often the connection becomes idle.
    private func checkIdle(in delay: TimeAmount) {
        isIdleTimerRunning = true
        loop.scheduleTask(in: delay) { [self] in
            isIdleTimerRunning = false
            guard !isClosed, !isDraining, streams.isEmpty, let idleSince, let idleMsMax else { return }
            let left = idleMsMax * 1_000_000 - idleSince.nanosecondsElapsed(to: loopContext.now())
            if left > 0 { checkIdle(in: .nanoseconds(left)) } else { onEvent(.unused) }
        }
    }
}
