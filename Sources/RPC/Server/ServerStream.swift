internal import Core
internal import NIOCore

/// The answering end of a call: what its REQUEST said, and the task that serves it.
final class ServerStream: RPCStream, @unchecked Sendable {
    let entry: ServiceRouter.Entry
    let meta: RequestMeta
    /// Arrival of the REQUEST.
    let receivedAt: MonotonicTime
    /// Set before the handler runs and not changed after.
    @exclusivity(unchecked) var call: CallContext
    @exclusivity(unchecked) var task: Task<Void, Never>?
    /// The handler has not returned.
    @exclusivity(unchecked) var isRunning = true
    /// When the handler began; later than `receivedAt` when the call waited for its turn.
    @exclusivity(unchecked) var startedAt: MonotonicTime
    /// The reply of a call that has exactly one, when it could not be written at once.
    @exclusivity(unchecked) private(set) var reply: ByteBuffer?
    /// Where the call stands with the limit of its method.
    enum Turn {
        /// The method has no limit, or the place was given back.
        case free
        /// Its message is not here yet. → `free`, `waiting` or `held` when it is.
        case notAsked
        /// In the queue. → `held` when a running call ends, `free` when this call ends first.
        case waiting(Admission<ServerStream>.Ticket)
        /// Counts as running until the handler has returned. → `free`.
        case held
    }
    @exclusivity(unchecked) var turn = Turn.free
    /// No handler was started and none will be.
    @exclusivity(unchecked) var isRefused = false

    init(
        id: UInt32, connection: ServerConnection, entry: ServiceRouter.Entry, meta: consuming RequestMeta,
        call: CallContext, receivedAt: MonotonicTime
    ) {
        self.entry = entry
        self.meta = meta
        self.call = call
        self.receivedAt = receivedAt
        startedAt = receivedAt
        super.init(id: id, connection: connection)
    }

    /// A call before this one has ended. From any loop.
    func turnCame() { connection.execute { self.server.turnCame(self) } }

    private var server: ServerConnection { unsafeDowncast(connection, to: ServerConnection.self) }

    override func connectionClosed(_ failure: Failure) {
        if let task { task.cancel() } else { server.handlerReturned(self) }
        end(failure)
        // Nobody is answered any more: what was not read yet need not be.
        discardInbound()
    }

    /// How long the call has waited for its turn, `elapsed` nanoseconds after it arrived.
    func queuedNanoseconds(_ elapsed: Int64) -> Int64 {
        if case .waiting = turn { return elapsed }
        return receivedAt.nanosecondsElapsed(to: startedAt)
    }

    /// The handler has returned, and what it left to be sent is sent or will never be.
    override func didSendAll() { server.finishOnLoop(self, nil) }

    /// The one request message of a call that has one.
    func onlyMessage<Request: WireMessage>(_ type: Request.Type) async throws -> Request {
        guard let bytes = try await next() else {
            throw Failure(.invalidArgument, reason: "NO_MESSAGE", "The call ended without its request message.")
        }
        return try Request.decode(bytes)
    }

    /// Answers a call that has exactly one reply. Nothing waits in the common case: the reply goes straight into the outbound buffer.
    func finish<Response: WireMessage>(_ response: Response) {
        if connection.loop.inEventLoop, server.writesRepliesAtOnce, server.writeReply(response, on: self) { return }
        reply = response.encoded()
    }
}
