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
        /// Name of this process, for HELLO and logs.
        public var instance = ""
        public var build = ""
        /// Allow a host that is not loopback although the connection is not encrypted.
        public var allowsInsecure = false
        /// Who callers are; nil refuses every method that needs a role.
        public var authenticator: (any Authenticator)?
        /// Outermost first.
        public var interceptors: [any ServerInterceptor] = []
        /// Takes over connections whose first bytes are an HTTP request; called on the connection's loop, before any byte is read on.
        public var httpFallback: (@Sendable (any Channel) throws -> Void)?

        public init() {}
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
    /// - Throws: `Failure` FAILED_PRECONDITION for an unencrypted address that is not loopback, UNAVAILABLE when the address cannot be bound.
    @discardableResult
    public func start(host: String, port: Int) async throws -> SocketAddress {
        try await bind("\(host):\(port)") { bootstrap in
            let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
            guard shared.configuration.allowsInsecure || address.isLoopback else {
                throw Failure(
                    .failedPrecondition, reason: "INSECURE_ADDRESS",
                    "\(host) is not a loopback address, and the connection would not be encrypted.",
                    remedy: "Listen on 127.0.0.1, or set rpc.insecure-allow if the network is trusted.")
            }
            return try await bootstrap.bind(to: address).get()
        }
    }

    /// Answers on a Unix socket; a stale socket file is replaced.
    @discardableResult
    public func start(unixPath: String) async throws -> SocketAddress {
        try await bind(unixPath) {
            try await $0.bind(unixDomainSocketPath: unixPath, cleanupExistingSocketFile: true).get()
        }
    }

    private func bind(_ name: String, _ bind: (ServerBootstrap) async throws -> any Channel) async throws
        -> SocketAddress
    {
        let bootstrap = ServerBootstrap(group: runtime.group)
            .serverChannelOption(ChannelOptions.backlog, value: 1024)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                ChannelOptions.recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 20)
            )
            .childChannelInitializer { [shared, runtime] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ProtocolSniffer(shared: shared, loopContext: runtime.context(of: channel.eventLoop)))
                }
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
        if let error = error as? IOError { return error.description }
        if let error = error as? NIOConnectionError {
            // The addresses were tried in turn; the last reason is as good as any.
            if let last = error.connectionErrors.last { return describe(last.error) }
            return "the name \(error.host) has no address"
        }
        return String(describing: error)
    }

    /// Gives the server one end of a connection that exists already; the in-process transport.
    func adopt(descriptor: CInt) async throws {
        let shared = self.shared
        let runtime = self.runtime
        _ = try await ClientBootstrap(group: runtime.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
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
        for channel in channels { try? await channel.close() }
        let open = shared.connections.all()
        for connection in open { connection.execute { connection.drain() } }
        let deadline = MonotonicTime.now().advanced(by: grace)
        while !shared.connections.isEmpty, MonotonicTime.now() < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
        for connection in shared.connections.all() { connection.execute { connection.closeNow() } }
    }

    /// What all connections of a server use.
    final class Shared: Sendable {
        let router: ServiceRouter
        let configuration: Configuration
        let connections = ConnectionSet()

        init(router: ServiceRouter, configuration: Configuration) {
            self.router = router
            self.configuration = configuration
        }

        /// The context with its principal. Denies by default: a method without a policy has no callers.
        func authorised(_ context: ServerContext) async throws -> ServerContext {
            let method = context.method
            guard case .role(let least) = method.access else {
                if method.access == .open { return context }
                throw Failure(.permissionDenied, reason: "NO_POLICY", "Nobody may call \(context.method.path).")
            }
            guard !context.call.credential.isEmpty else {
                throw Failure(
                    .unauthenticated, reason: "NO_CREDENTIALS",
                    "\(context.method.name) needs an API key, and none was sent.",
                    remedy: "Pass one with --api-key, ACP_API_KEY or `Authorization: Bearer …`.")
            }
            guard let authenticator = configuration.authenticator else {
                throw Failure(.unauthenticated, reason: "NO_AUTHENTICATOR", "This server cannot check credentials.")
            }
            let principal = try await authenticator.authenticate(context.call.credential)
            guard principal.role >= least else {
                throw Failure(
                    .permissionDenied, reason: "ROLE_TOO_LOW",
                    "\(context.method.name) needs the role \(least.name); this key has the role \(principal.role.name).",
                    remedy: "Ask an administrator for a key with that role.")
            }
            var context = context
            context.call.principal = principal
            return context
        }

        func invoke(
            _ entry: ServiceRouter.Entry, _ stream: RPCStream, _ first: ByteBuffer?, _ context: ServerContext
        ) async throws -> (any WireMessage)? {
            if configuration.interceptors.isEmpty { return try await entry.invoke(stream, first, context) }
            return try await invoke(entry, stream, first, context, from: 0)
        }

        private func invoke(
            _ entry: ServiceRouter.Entry, _ stream: RPCStream, _ first: ByteBuffer?, _ context: ServerContext,
            from index: Int
        ) async throws -> (any WireMessage)? {
            guard index < configuration.interceptors.count else {
                return try await entry.invoke(stream, first, context)
            }
            return try await configuration.interceptors[index].intercept(context) {
                try await self.invoke(entry, stream, first, context, from: index + 1)
            }
        }
    }
}

/// The open connections of a server.
final class ConnectionSet: Sendable {
    private let members = Mutex<[ObjectIdentifier: ServerConnection]>([:])

    var isEmpty: Bool { members.withLock { $0.isEmpty } }
    func insert(_ connection: ServerConnection) { members.withLock { $0[ObjectIdentifier(connection)] = connection } }
    func remove(_ connection: ServerConnection) {
        members.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(connection)) }
    }
    func all() -> [ServerConnection] { members.withLock { Array($0.values) } }
}

extension SocketAddress {
    /// Whether only this machine can reach it.
    public var isLoopback: Bool {
        switch self {
        case .v4: ipAddress?.hasPrefix("127.") == true
        case .v6: ipAddress == "::1"
        case .unixDomainSocket: true
        }
    }
}
