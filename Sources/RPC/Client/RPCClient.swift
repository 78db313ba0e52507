internal import Core
internal import NIOCore
internal import NIOPosix
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// Calls the methods of one service. Connects when first used and again after a loss; safe to share.
public final class RPCClient: Sendable {
    public struct Configuration: Sendable {
        public var limits = RPCLimits()
        public var options = WireOptions()
        /// Credential of calls that bring none; sent once per connection. Never logged.
        public var credential = ""
        /// What the service is called in messages, e.g. `ingest`.
        public var serviceName = "the service"
        public var connectTimeoutMs: Int64 = 5000
        /// Time without a new attempt after a failed one, in milliseconds.
        public var reconnectDelayMs: Int64 = 50

        public init() {}
    }

    private enum State {
        /// No connection → `connecting`.
        case idle
        /// → `ready` or `failed`. Callers share the attempt.
        case connecting(EventLoopFuture<ClientConnection>)
        /// → `idle` when the connection is lost or drains.
        case ready(ClientConnection)
        /// The last attempt failed: until then calls fail at once with its reason. → `connecting`.
        case failed(until: MonotonicTime, Failure)
        /// Final.
        case closed
    }

    public let endpoint: Endpoint
    private let runtime: RPCRuntime
    private let configuration: Configuration
    private let state = Mutex(State.idle)

    public init(runtime: RPCRuntime, endpoint: Endpoint, configuration: Configuration = Configuration()) {
        self.runtime = runtime
        self.endpoint = endpoint
        self.configuration = configuration
    }

    /// Closes the connection once calls in flight have ended; later calls fail.
    public func shutdown() async {
        let old = state.withLock { state -> State in
            defer { state = .closed }
            return state
        }
        switch old {
        case .ready(let connection): connection.execute { connection.shutdown() }
        case .connecting(let future):
            // The attempt uses the runtime's loops: it must have ended before they are stopped.
            if let connection = try? await future.get() { connection.execute { connection.closeNow() } }
        case .idle, .failed, .closed: break
        }
    }

    // MARK: Calls

    public func unary<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions = CallOptions()
    ) async throws -> Response {
        let (stream, opening) = try await prepare(method, options, endStream: true)
        let bytes = try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                Self.begin(stream, opening, request, continuation)
            }
        } onCancel: {
            stream.connection.execute { stream.connection.cancel(stream) }
        }
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

    public func serverStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, _ request: Request, options: CallOptions = CallOptions()
    ) async throws -> ResponseReader<Response> {
        let stream = try await open(method, options, first: RawMessage(request.encoded()), endStream: true)
        return ResponseReader(stream: stream, lifetime: CallLifetime(stream: stream))
    }

    public func clientStreaming<Request: WireMessage, Response: WireMessage>(
        _ method: MethodDescriptor, options: CallOptions = CallOptions(),
        _ produce: (RequestWriter<Request>) async throws -> Void
    ) async throws -> Response {
        let stream = try await open(method, options, first: nil, endStream: false)
        let lifetime = CallLifetime(stream: stream)
        defer { withExtendedLifetime(lifetime) {} }
        do {
            try await produce(RequestWriter(stream: stream))
            try await stream.send(nil, endStream: true)
        } catch let failure as Failure where failure.reason == "STREAM_ENDED" {
            // The server answered before it had everything: its answer is the outcome.
        }
        let bytes = try await withTaskCancellationHandler {
            try await stream.answer()
        } onCancel: {
            stream.connection.execute { stream.connection.cancel(stream) }
        }
        return try Response.decode(bytes)
    }

    public func bidirectional<Request: WireMessage, Response: WireMessage, Result>(
        _ method: MethodDescriptor, options: CallOptions = CallOptions(),
        _ body: (RequestWriter<Request>, ResponseReader<Response>) async throws -> Result
    ) async throws -> Result {
        let stream = try await open(method, options, first: nil, endStream: false)
        let lifetime = CallLifetime(stream: stream)
        return try await body(RequestWriter(stream: stream), ResponseReader(stream: stream, lifetime: lifetime))
    }

    /// A stream on a connection that is ready, and what it will send first.
    private func prepare(
        _ method: MethodDescriptor, _ options: CallOptions, endStream: Bool
    ) async throws -> (ClientStream, ClientConnection.Opening) {
        let (meta, deadline) = try options.requestMeta(clientCredential: "")
        let connection = try await connect()
        return (
            ClientStream(connection: connection),
            ClientConnection.Opening(method: method, meta: meta, deadline: deadline, endStream: endStream)
        )
    }

    /// Opens a stream that is read and written later.
    private func open(
        _ method: MethodDescriptor, _ options: CallOptions, first: RawMessage?, endStream: Bool
    ) async throws -> ClientStream {
        let (stream, opening) = try await prepare(method, options, endStream: endStream)
        stream.connection.execute { stream.client.open(stream, opening, first: first) }
        return stream
    }

    // MARK: Connecting

    private func connect() async throws -> ClientConnection {
        // Either a connection or the attempt to make one.
        let (ready, attempt) = try state.withLock { state -> (ClientConnection?, EventLoopFuture<ClientConnection>?) in
            switch state {
            case .ready(let connection): return (connection, nil)
            case .connecting(let future): return (nil, future)
            case .failed(let until, let failure) where MonotonicTime.now() < until: throw failure
            case .closed: throw Failure(.unavailable, reason: "CLIENT_CLOSED", "The client was shut down.")
            case .idle, .failed:
                let future = startConnecting()
                state = .connecting(future)
                return (nil, future)
            }
        }
        if let ready { return ready }
        guard let attempt else { preconditionFailure("every state that does not throw has one of the two") }
        do {
            let connection = try await attempt.get()
            state.withLock { state in
                if case .connecting = state { state = .ready(connection) }
            }
            return connection
        } catch {
            let failure = unreachable(error)
            state.withLock { state in
                guard case .connecting = state else { return }
                state = .failed(
                    until: MonotonicTime.now().advanced(by: .milliseconds(configuration.reconnectDelayMs)), failure)
            }
            throw failure
        }
    }

    private func unreachable(_ error: any Error) -> Failure {
        if let failure = error as? Failure { return failure }
        return Failure(
            .unavailable, reason: "UNREACHABLE",
            "Cannot reach \(configuration.serviceName) at \(endpoint.description): \(RPCServer.describe(error)).",
            remedy: "Is it running? `acp up` starts everything; `acp config show` tells which address is used.")
    }

    private func startConnecting() -> EventLoopFuture<ClientConnection> {
        let loop = runtime.group.next()
        let configuration = self.configuration
        let context = runtime.context(of: loop)
        return openChannel(on: loop).flatMap { channel in
            channel.eventLoop.submit {
                let connection = ClientConnection(
                    limits: configuration.limits, options: configuration.options, loopContext: context,
                    loop: channel.eventLoop,
                    credential: configuration.credential
                ) { [weak self] in self?.lost($0) }
                try channel.pipeline.syncOperations.addHandler(connection)
                return connection
            }
        }
    }

    private func bootstrap(_ loop: any EventLoop) -> ClientBootstrap {
        ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(configuration.connectTimeoutMs))
            .channelOption(
                ChannelOptions.recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 20))
    }

    private func openChannel(on loop: any EventLoop) -> EventLoopFuture<any Channel> {
        switch endpoint {
        case .tcp(let host, let port):
            return bootstrap(loop).channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: host, port: port)
        case .unix(let path):
            return bootstrap(loop).connect(unixDomainSocketPath: path)
        case .inProcess(let server):
            var pair: [CInt] = [-1, -1]
            guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
                return loop.makeFailedFuture(IOError(errnoCode: errno, reason: "socketpair"))
            }
            let (ours, theirs) = (pair[0], pair[1])
            return loop.makeFutureWithTask { try await server.adopt(descriptor: theirs) }
                .flatMap { self.bootstrap(loop).withConnectedSocket(ours) }
        }
    }

    private func lost(_ connection: ClientConnection) {
        state.withLock { state in
            if case .ready(let current) = state, current === connection { state = .idle }
        }
    }
}
