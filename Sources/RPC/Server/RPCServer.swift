internal import Core
internal import Logging
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// A port that answers ACP/1, and HTTP for operators on the same port.
public final class RPCServer: Sendable {
    /// How a server listens and behaves.
    public struct Configuration: Sendable {
        public var limits = RPCLimits()
        public var options = WireOptions()
        /// Accepted sockets at once, whatever their peers speak and also while they say nothing yet; more are told so and closed. The process
        /// must be able to have so many files open.
        public var connectionsMax = 20_000
        /// By method path.
        public var concurrency: [String: ConcurrencyLimit] = [:]
        /// Of each unary method that has no entry of its own; nil for as many as connections allow. Streams live long and have none.
        public var unaryConcurrency: ConcurrencyLimit?
        /// Name of this process, for HELLO and logs.
        public var instance = ""
        public var build = ""
        /// Encryption of TCP connections. With it, those without are taken only from this machine.
        public var tls: ServerTLS?
        /// Allow peers that are not on this machine although the connection is not encrypted.
        public var allowsInsecure = false
        /// Who callers are; nil refuses every method that needs a role.
        public var authenticator: (any Authenticator)?
        /// Outermost first.
        public var interceptors: [any ServerInterceptor] = []
        /// Sees how calls end: metrics and logs.
        public var observer: (any ServerObserver)?
        /// Takes over connections whose first bytes are an HTTP request; called on the connection's loop, before any byte is read on.
        public var httpFallback: (@Sendable (any Channel) throws -> Void)?

        public init() {}

        fileprivate func limit(of method: MethodDescriptor) -> ConcurrencyLimit? {
            if let own = concurrency[method.path] { return own }
            return method.clientStreaming || method.serverStreaming ? nil : unaryConcurrency
        }
    }

    private enum State {
        case idle
        case listening([any Channel])
        case stopped
    }

    let shared: Shared
    private let runtime: RPCRuntime
    private let state = Mutex(State.idle)

    public init(runtime: RPCRuntime, router: ServiceRouter, configuration: Configuration = Configuration()) {
        self.runtime = runtime
        shared = Shared(router: router, configuration: configuration)
    }

    /// Binds `host:port` (0 for any free port) and answers. Returns the bound address.
    /// - Throws: `Failure` FAILED_PRECONDITION for an unencrypted address that is not loopback or a certificate that cannot be used,
    ///   UNAVAILABLE when the address cannot be bound.
    @discardableResult
    public func start(host: String, port: Int) async throws -> SocketAddress {
        try await shared.tls?.reload()
        return try await bind("\(host):\(port)") { bootstrap in
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            guard
                TransportRules.mayListen(
                    on: address, hasTLS: shared.tls != nil, allowsInsecure: shared.configuration.allowsInsecure)
            else {
                throw Failure(
                    .failedPrecondition, reason: "INSECURE_ADDRESS",
                    "\(host) is not a loopback address, and the connection would not be encrypted.",
                    remedy:
                        "Set rpc.tls-certificate and rpc.tls-key, listen on 127.0.0.1, or set rpc.insecure-allow if the network is trusted."
                )
            }
            return try await bootstrap.bind(to: address).get()
        }
    }

    /// Answers on a Unix socket; a stale socket file is replaced.
    @discardableResult
    public func start(unixPath: String) async throws -> SocketAddress {
        try await shared.tls?.reload()
        return try await bind(unixPath) {
            try await $0.bind(unixDomainSocketPath: unixPath, cleanupExistingSocketFile: true).get()
        }
    }

    private func bind(_ name: String, _ bind: (ServerBootstrap) async throws -> any Channel) async throws
        -> SocketAddress
    {
        let bootstrap = ServerBootstrap(group: runtime.group)
            .serverChannelOption(ChannelOptions.backlog, value: 1024)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Without descriptors left, accepting fails and would be tried again at once, for ever.
                    try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
                }
            }
            .childChannelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                ChannelOptions.recvAllocator,
                // Each idle connection keeps a buffer of its last size: it begins small and grows with what comes.
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: 1 << 20)
            )
            .childChannelInitializer { [shared, runtime] channel in
                channel.eventLoop.makeCompletedFuture { try shared.begin(channel, runtime) }
            }
        do {
            let channel = try await bind(bootstrap)
            guard let address = channel.localAddress else {
                throw Failure(.internalError, "The bound socket of \(name) has no address.")
            }
            state.withLock { state in
                if case .listening(let channels) = state {
                    state = .listening(channels + [channel])
                } else {
                    state = .listening([channel])
                }
            }
            return address
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(
                .unavailable, reason: "CANNOT_LISTEN", "Cannot listen on \(name): \(Self.describe(error)).",
                remedy: "Is another process using the address? Choose another port.")
        }
    }

    static func describe(_ error: any Error) -> String {
        // What the system calls it; the error's own text is for those who debug it.
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)) }
        if let error = error as? NIOConnectionError {
            // The addresses were tried in turn; the last reason is as good as any.
            if let last = error.connectionErrors.last { return describe(last.error) }
            return "the name \(error.host) has no address"
        }
        return String(describing: error)
    }

    /// Reads the certificate files now if they have changed. Otherwise that happens within `ServerTLS.checkSeconds` of the next connection.
    /// - Throws: `Failure` FAILED_PRECONDITION when they cannot be used; what was in use stays so.
    public func reloadCertificates() async throws { try await shared.tls?.reload() }

    /// Gives the server one end of a connection that exists already; the in-process transport.
    func adopt(descriptor: CInt) async throws {
        let shared = self.shared
        let runtime = self.runtime
        _ = try await ClientBootstrap(group: runtime.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // It takes no place: what floods a port must not part the services of one process.
                    try channel.pipeline.syncOperations.addHandler(
                        ProtocolSniffer(shared: shared, loopContext: runtime.context(of: channel.eventLoop)))
                }
            }
            .withConnectedSocket(descriptor).get()
    }

    /// Stops accepting, lets calls in flight finish for `grace`, cancels the rest.
    public func shutdown(grace: Duration) async {
        let channels = state.withLock { state -> [any Channel] in
            defer { state = .stopped }
            if case .listening(let channels) = state { return channels }
            return []
        }
        shared.stop()
        for channel in channels { try? await channel.close() }
        let open = shared.connections.all()
        for connection in open { connection.execute { connection.drain() } }
        let deadline = MonotonicTime.now().advanced(by: grace)
        while !shared.connections.isEmpty, MonotonicTime.now() < deadline {
            // Who is cancelled waits no longer.
            do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
        }
        for connection in shared.connections.all() { connection.execute { connection.closeNow() } }
    }

    /// What all connections of a server use.
    final class Shared: Sendable {
        let router: ServiceRouter
        let configuration: Configuration
        let connections: ConnectionSet
        let places: ConnectionPlaces
        let tls: TLSContextSource?
        private let handshakes = Atomic(0)
        private let stopping = Atomic(false)
        /// By index of the entry.
        private let observers: [any MethodObserver]
        private let gates: [AdmissionGate?]
        /// For calls that reached no method.
        private let refusals: (any MethodObserver)?

        init(router: ServiceRouter, configuration: Configuration) {
            self.router = router
            self.configuration = configuration
            let observer = configuration.observer
            tls = configuration.tls?.source { observer?.tlsChanged($0) }
            connections = ConnectionSet { observer?.connectionsChanged($0) }
            places = ConnectionPlaces(servedMax: configuration.connectionsMax)
            observers = observer.map { observer in router.entries.map { observer.observe($0.method) } } ?? []
            refusals = observer?.observe(
                MethodDescriptor(
                    path: "/refused", service: "", name: "refused", requestType: "", responseType: "",
                    clientStreaming: false, serverStreaming: false, access: .denied, idempotent: false,
                    uploadStartField: "", uploadDataField: "", httpRules: []))
            let limits = router.entries.map { configuration.limit(of: $0.method) }
            gates = limits.allSatisfy { $0 == nil } ? [] : limits.map { $0.map { AdmissionGate($0) } }
        }

        func observer(of entry: ServiceRouter.Entry) -> (any MethodObserver)? {
            observers.isEmpty ? nil : observers[entry.index]
        }

        /// The server takes no more connections.
        func stop() { stopping.store(true, ordering: .sequentiallyConsistent) }
        var isStopping: Bool { stopping.load(ordering: .sequentiallyConsistent) }

        func gate(of entry: ServiceRouter.Entry) -> AdmissionGate? { gates.isEmpty ? nil : gates[entry.index] }

        /// A socket was accepted. On its loop.
        /// - Throws: `NoPlace` when it is to be closed.
        func begin(_ channel: any Channel, _ runtime: RPCRuntime) throws {
            let loopContext = runtime.context(of: channel.eventLoop)
            let sniffer: ProtocolSniffer
            switch places.enter(channel) {
            case .served(let seat): sniffer = ProtocolSniffer(shared: self, loopContext: loopContext, seat: seat)
            case .told: sniffer = ProtocolSniffer(shared: self, loopContext: loopContext, isBeyondLimit: true)
            case .none:
                configuration.observer?.connectionRefused()
                throw NoPlace()
            }
            if sniffer.isBeyondLimit { configuration.observer?.connectionRefused() }
            try channel.pipeline.syncOperations.addHandler(sniffer)
        }

        /// Whether a connection from `peer` is served as it is.
        func takes(_ layer: ProtocolSniffer.Layer, from peer: SocketAddress?) -> Bool {
            if case .encrypted = layer { return true }
            return TransportRules.takesPlaintext(
                from: peer, tls: configuration.tls, allowsInsecure: configuration.allowsInsecure)
        }

        /// False when there are as many handshakes as there may be.
        func handshakeBegins() -> Bool {
            let count = handshakes.wrappingAdd(1, ordering: .relaxed).newValue
            guard count <= configuration.tls?.handshakesMax ?? 0 else {
                handshakeEnded()
                return false
            }
            return true
        }

        func handshakeEnded() { handshakes.wrappingSubtract(1, ordering: .relaxed) }

        /// A call ended before it had a method or a stream.
        func refused(_ failure: Failure, _ context: LoopContext) {
            refusals?.callEnded(
                CallContext(
                    trace: context.makeTrace(), madeRequestID: context.makeRequestID(), correlationID: "",
                    credential: "", deadline: nil),
                failure: failure, nanoseconds: 0, queuedNanoseconds: 0)
        }

        /// Puts the principal into the call. Denies by default: a method without a policy has no callers.
        func authorise(_ stream: ServerStream) async throws {
            let method = stream.entry.method
            guard case .role(let least) = method.access else {
                if method.access == .open { return }
                throw Failure(.permissionDenied, reason: "NO_POLICY", "Nobody may call \(method.path).")
            }
            let credential = stream.call.credential
            guard !credential.isEmpty else {
                throw Failure(
                    .unauthenticated, reason: "NO_CREDENTIALS",
                    "\(method.name) needs an API key, and none was sent.",
                    remedy: "Pass one with --api-key, ACP_API_KEY or `Authorization: Bearer …`.")
            }
            guard let authenticator = configuration.authenticator else {
                throw Failure(.unauthenticated, reason: "NO_AUTHENTICATOR", "This server cannot check credentials.")
            }
            let principal = try await authenticator.authenticate(credential)
            guard principal.role >= least else {
                throw Failure(
                    .permissionDenied, reason: "ROLE_TOO_LOW",
                    "\(method.name) needs the role \(least.name); this key has the role \(principal.role.name).",
                    remedy: "Ask an administrator for a key with that role.")
            }
            stream.call.principal = principal
        }

        /// Runs the handler inside the interceptors from `index` on.
        func invoke(_ stream: ServerStream, _ context: ServerContext, from index: Int) async throws {
            guard index < configuration.interceptors.count else {
                return try await stream.entry.invoke(stream, context)
            }
            try await configuration.interceptors[index].intercept(context) {
                try await self.invoke(stream, context, from: index + 1)
            }
        }
    }
}

/// The open connections of a server.
final class ConnectionSet: Sendable {
    private let members = Mutex<[ObjectIdentifier: ServerConnection]>([:])
    private let onChange: @Sendable (Int) -> Void
    /// Of the process: several servers number their connections together.
    private static let lastNumber = Atomic<UInt64>(0)

    /// - Parameter onChange: gets the number of connections whenever it changes.
    init(onChange: @escaping @Sendable (Int) -> Void) { self.onChange = onChange }

    func nextNumber() -> UInt64 { Self.lastNumber.add(1, ordering: .relaxed).newValue }

    var count: Int { members.withLock { $0.count } }
    var isEmpty: Bool { count == 0 }
    func insert(_ connection: ServerConnection) {
        onChange(
            members.withLock {
                $0[ObjectIdentifier(connection)] = connection
                return $0.count
            })
    }
    func remove(_ connection: ServerConnection) {
        onChange(
            members.withLock {
                $0.removeValue(forKey: ObjectIdentifier(connection))
                return $0.count
            })
    }
    func all() -> [ServerConnection] { members.withLock { Array($0.values) } }
}
