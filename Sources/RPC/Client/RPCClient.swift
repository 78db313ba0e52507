internal import Core
internal import NIOCore

/// Calls the methods of one service. Connects when first used and again after a loss, spreads calls over the addresses of the service
/// and repeats those that may be repeated (docs/protocol.md, section 10). Safe to share.
public final class RPCClient: Sendable {
    public struct Configuration: Sendable {
        public var limits = RPCLimits()
        public var options = WireOptions()
        /// Credential of calls that bring none; sent once per connection. Never logged.
        public var credential = ""
        /// What the service is called in messages, e.g. `ingest`.
        public var serviceName = "the service"
        public var connectTimeoutMs: Int64 = 5000
        /// For calls whose options bring none.
        public var retry = RetryPolicy()
        /// Of all calls together.
        public var throttling = RetryThrottling()
        /// For calls whose options bring none; nil for no copies.
        public var hedging: HedgingPolicy?
        public var outliers = OutlierPolicy()
        /// Outermost first.
        public var interceptors: [any ClientInterceptor] = []
        /// A connection for bulk that no call has used for this time is closed, in milliseconds.
        public var bulkIdleMs: Int64 = 60_000
        /// How endpoints that are encrypted are reached.
        public var tls = ClientTLS()
        /// Send credentials although the peer is not this machine and the connection is not encrypted.
        public var allowsInsecure = false

        public init() {}
    }

    public let endpoint: Endpoint
    private let configuration: Configuration
    let pool: ClientPool
    var interceptors: [any ClientInterceptor] { configuration.interceptors }

    public init(runtime: RPCRuntime, endpoint: Endpoint, configuration: Configuration = Configuration()) {
        self.endpoint = endpoint
        self.configuration = configuration
        pool = ClientPool(runtime: runtime, endpoint: endpoint, configuration: configuration)
    }

    deinit { pool.close() }

    /// Closes the connections once calls in flight have ended; later calls fail. Returns when no connection is being made any more: then
    /// the runtime may be stopped, which ends what is in flight.
    public func shutdown() async {
        pool.close()
        await pool.attemptsEnded()
    }

    // MARK: Calls

    public func unary<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions = CallOptions()
    ) async throws -> Response {
        guard configuration.interceptors.isEmpty else {
            return try await intercepted(method, options) { try await self.call(method, request, options: $0) }
        }
        return try await call(method, request, options: options)
    }

    @inline(__always)
    private func call<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions
    ) async throws -> Response {
        let (meta, deadline) = try options.requestMeta(clientCredential: "")
        // What most calls need is here, without an allocation or a wait beyond those of the call itself; the rest is `unarySlowly`.
        guard !mayHedge(options), let lease = pool.ready(.interactive) else {
            return try await unarySlowly(plan(method, options, meta, deadline, RawMessage(request.encoded())), options)
        }
        let stream = ClientStream(connection: lease.connection)
        let opening = ClientConnection.Opening(method: method, meta: meta, deadline: deadline, endStream: true)
        let bytes: ByteBuffer
        do {
            bytes = try await withTaskCancellationHandler {
                try await withUnsafeThrowingContinuation { continuation in
                    Self.begin(stream, opening, request, continuation)
                }
            } onCancel: {
                stream.cancel()
            }
        } catch {
            let failure = Failure(wrapping: error)
            pool.settle(lease, failure, stream.progress)
            return try await unarySlowly(
                plan(method, options, meta, deadline, RawMessage(request.encoded())), options,
                after: (failure, stream.progress, lease.peer))
        }
        pool.succeeded(lease)
        return try Response.decode(bytes)
    }

    private static func begin<Request: WireMessage>(
        _ stream: ClientStream, _ opening: ClientConnection.Opening, _ request: Request,
        _ continuation: UnsafeContinuation<ByteBuffer, any Error>
    ) {
        let connection = stream.client
        // On the loop the message is packed where it is sent from; elsewhere packing it here spares the loop.
        if connection.loop.inEventLoop {
            stream.expectAnswer(continuation)
            connection.open(stream, opening, first: request)
        } else {
            let packed = RawMessage(request.encoded())
            connection.loop.execute {
                stream.expectAnswer(continuation)
                connection.open(stream, opening, first: packed)
            }
        }
    }

    /// A unary call that finds no connection, has failed once, or is hedged.
    private func unarySlowly<Response: WireMessage>(
        _ plan: CallPlan, _ options: CallOptions, after first: (Failure, AttemptProgress, PeerID)? = nil
    ) async throws -> Response {
        if first == nil, let policy = hedging(plan.method, options) {
            return try Response.decode(try await Self.answer(hedge(plan, policy, options).winner()))
        }
        var attempts = CallAttempts(plan, options.retry ?? configuration.retry)
        if let (failure, progress, peer) = first { try await attempts.failed(failure, progress, at: peer) }
        while true {
            let (stream, opening) = try await attempts.stream()
            let bytes: ByteBuffer
            do {
                stream.connection.execute { stream.client.open(stream, opening, first: plan.first) }
                bytes = try await Self.answer(stream)
            } catch {
                try await attempts.failed(stream, Failure(wrapping: error))
                continue
            }
            return try Response.decode(bytes)
        }
    }

    /// The answer of a stream that was opened, cancelled with the task.
    private static func answer(_ stream: ClientStream) async throws -> ByteBuffer {
        try await withTaskCancellationHandler {
            try await stream.answer()
        } onCancel: {
            stream.cancel()
        }
    }

    public func serverStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions = CallOptions()
    ) async throws -> ResponseReader<Response> {
        try await intercepted(method, options) { try await self.openReader(method, request, options: $0) }
    }

    private func openReader<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions
    ) async throws -> ResponseReader<Response> {
        let (meta, deadline) = try options.requestMeta(clientCredential: "")
        let plan = plan(method, options, meta, deadline, RawMessage(request.encoded()))
        if let policy = hedging(method, options) {
            let stream = try await hedge(plan, policy, options).winner()
            return ResponseReader(source: .client(ClientCall(stream, nil)))
        }
        var attempts = CallAttempts(plan, options.retry ?? configuration.retry)
        let stream = try await attempts.open(waits: false)
        return ResponseReader(source: .client(ClientCall(stream, attempts)))
    }

    public func clientStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, options: CallOptions = CallOptions(),
        _ produce: (RequestWriter<Request>) async throws -> Void
    ) async throws -> Response {
        try await intercepted(method, options) { try await self.send(method, options: $0, produce) }
    }

    private func send<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, options: CallOptions, _ produce: (RequestWriter<Request>) async throws -> Void
    ) async throws -> Response {
        let (stream, attempts) = try await openForWriting(method, options)
        let call = ClientCall(stream, attempts)
        defer { withExtendedLifetime(call) {} }
        do {
            try await produce(RequestWriter(source: .client(call)))
            try await stream.send(nil, endStream: true)
        } catch let failure as Failure where failure.reason == "STREAM_ENDED" {
            // The server answered before it had everything: its answer is the outcome.
        }
        return try Response.decode(try await Self.answer(stream))
    }

    public func bidirectional<Request: WireMessage, Response: WireMessage, Result>(
        _ method: MethodDescriptor, options: CallOptions = CallOptions(),
        _ body: (RequestWriter<Request>, ResponseReader<Response>) async throws -> Result
    ) async throws -> Result {
        try await intercepted(method, options) { options in
            let (stream, attempts) = try await self.openForWriting(method, options)
            let source = MessageSource.client(ClientCall(stream, attempts))
            return try await body(RequestWriter(source: source), ResponseReader(source: source))
        }
    }

    /// A stream whose REQUEST is written: what fails before that is repeated here, while the application has produced nothing.
    private func openForWriting(
        _ method: MethodDescriptor, _ options: CallOptions
    ) async throws -> (ClientStream, CallAttempts) {
        let (meta, deadline) = try options.requestMeta(clientCredential: "")
        var attempts = CallAttempts(
            plan(method, options, meta, deadline, nil), options.retry ?? configuration.retry)
        return (try await attempts.open(waits: true), attempts)
    }

    private func plan(
        _ method: MethodDescriptor, _ options: CallOptions, _ meta: RequestMeta, _ deadline: MonotonicTime?,
        _ first: RawMessage?
    ) -> CallPlan {
        CallPlan(
            pool: pool, method: method, meta: meta, deadline: deadline,
            kind: ConnectionKind(method, isBulk: options.isBulk), waitsForReady: options.waitForReady, first: first)
    }

    // MARK: Hedging

    private func mayHedge(_ options: CallOptions) -> Bool { configuration.hedging != nil || options.hedging != nil }

    private func hedging(_ method: MethodDescriptor, _ options: CallOptions) -> HedgingPolicy? {
        HedgingPolicy.applies(to: method) ? options.hedging ?? configuration.hedging : nil
    }

    private func hedge(_ plan: CallPlan, _ policy: HedgingPolicy, _ options: CallOptions) -> HedgedRun {
        let retry = (options.retry ?? configuration.retry).bounded
        return HedgedRun(plan, policy, pushbackMsMax: retry.pushbackMsMax)
    }
}
