internal import Core
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

#if canImport(Glibc)
    internal import Glibc
#endif

/// Makes the channels of a client: sockets and what stands between them and the connection.
struct ChannelConnector: Sendable {
    let endpoint: Endpoint
    private let configuration: RPCClient.Configuration
    /// nil for an endpoint without TLS.
    private let tls: TLSContextSource?

    init(endpoint: Endpoint, configuration: RPCClient.Configuration) {
        self.endpoint = endpoint
        self.configuration = configuration
        tls = endpoint.isEncrypted ? configuration.tls.source : nil
    }

    /// Connects to `address` on `loop` and gives the channel to `connection`, which is encrypted then if the endpoint says so. The result
    /// fails when that is not possible; then no call may be made on `connection`.
    func connect(_ address: PeerAddress, on loop: any EventLoop, _ connection: ClientConnection) -> EventLoopFuture<
        Void
    > {
        switch address.target {
        case .socket(let socket):
            if let tls { return connect(address, socket, on: loop, connection, tls) }
            if !TransportRules.mayCarryCredentials(
                to: socket, isEncrypted: false, allowsInsecure: configuration.allowsInsecure)
            {
                let peer = name(address)
                guard connection.credential.isEmpty else { return loop.makeFailedFuture(Self.insecure(to: peer)) }
                connection.insecurePeer = peer
            }
            return bootstrap(loop) { try $0.addHandler(connection) }
                .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
                .connect(to: socket).map { _ in }
        case .unix(let path):
            return bootstrap(loop) { try $0.addHandler(connection) }.connect(unixDomainSocketPath: path).map { _ in }
        case .inProcess: return connectInProcess(on: loop, connection)
        }
    }

    /// A credential would travel unencrypted.
    static func insecure(to peer: String) -> Failure {
        Failure(
            .failedPrecondition, reason: "INSECURE_CREDENTIAL",
            "No credential is sent to \(peer): it is not this machine, and the connection is not encrypted.",
            remedy:
                "Write acps:// in its address and give it a certificate (rpc.tls-certificate), or set rpc.insecure-allow = true if the network is trusted."
        )
    }

    private func name(_ address: PeerAddress) -> String { "\(configuration.serviceName) at \(address.description)" }

    private func bootstrap(
        _ loop: any EventLoop, _ addHandlers: @escaping @Sendable (ChannelPipeline.SynchronousOperations) throws -> Void
    ) -> ClientBootstrap {
        ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(configuration.connectTimeoutMs))
            .channelOption(
                ChannelOptions.recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 20)
            )
            // Before the first byte can arrive, and before the channel can end unnoticed.
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try addHandlers(channel.pipeline.syncOperations) }
            }
    }

    private func connectInProcess(on loop: any EventLoop, _ connection: ClientConnection) -> EventLoopFuture<Void> {
        guard case .inProcess(let server) = endpoint else {
            preconditionFailure("only an endpoint in this process has such addresses")
        }
        var pair: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
            return loop.makeFailedFuture(IOError(errnoCode: errno, reason: "socketpair"))
        }
        let (ours, theirs) = (pair[0], pair[1])
        return loop.makeFutureWithTask { try await server.adopt(descriptor: theirs) }
            .flatMapError { error in
                Glibc.close(ours)
                return loop.makeFailedFuture(error)
            }
            .flatMap { bootstrap(loop) { try $0.addHandler(connection) }.withConnectedSocket(ours) }.map { _ in }
    }

    // MARK: TLS

    private func connect(
        _ address: PeerAddress, _ socket: SocketAddress, on loop: any EventLoop, _ connection: ClientConnection,
        _ tls: TLSContextSource
    ) -> EventLoopFuture<Void> {
        let serverName = configuration.tls.serverName ?? address.host
        let problem = TLSProblem(
            side: .client(
                serverName: serverName, caPath: configuration.tls.caPath,
                showsCertificate: configuration.tls.identity != nil),
            peer: name(address))
        return tls.context(on: loop).flatMap { context in
            let encrypted = loop.makePromise(of: Void.self)
            bootstrap(loop) { pipeline in
                // An address is not sent as a name; it is verified against the addresses of the certificate.
                let handler = try NIOSSLClientHandler(
                    context: context, serverHostname: Self.isAddress(serverName) ? nil : serverName)
                let gate = TLSHandshakeGate(problem, seconds: configuration.limits.helloSeconds) { _, _ in
                    encrypted.succeed()
                } failed: {
                    encrypted.fail($0)
                }
                try pipeline.addHandlers([handler, gate, connection])
            }
            .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .connect(to: socket).cascadeFailure(to: encrypted)
            return encrypted.futureResult
        }
    }

    private static func isAddress(_ host: String) -> Bool { (try? SocketAddress(ipAddress: host, port: 0)) != nil }
}
