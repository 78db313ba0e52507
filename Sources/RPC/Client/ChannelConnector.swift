internal import Core
internal import NIOCore
internal import NIOPosix

#if canImport(Glibc)
    internal import Glibc
#endif

/// Makes the channels of a client: sockets and what stands between them and the connection.
struct ChannelConnector: Sendable {
    let endpoint: Endpoint
    let connectTimeoutMs: Int64

    /// Connects to `address` on `loop` and gives the channel to `connection`. The result fails when there is no channel; then
    /// `connection` was never used.
    func connect(_ address: PeerAddress, on loop: any EventLoop, _ connection: ClientConnection) -> EventLoopFuture<
        Void
    > {
        switch address.target {
        case .socket(let socket):
            return bootstrap(loop, connection).channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
                .connect(to: socket).map { _ in }
        case .unix(let path):
            return bootstrap(loop, connection).connect(unixDomainSocketPath: path).map { _ in }
        case .inProcess: return connectInProcess(on: loop, connection)
        }
    }

    private func bootstrap(_ loop: any EventLoop, _ connection: ClientConnection) -> ClientBootstrap {
        ClientBootstrap(group: loop)
            .connectTimeout(.milliseconds(connectTimeoutMs))
            .channelOption(
                ChannelOptions.recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 20)
            )
            // Before the first byte can arrive, and before the channel can end unnoticed.
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
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
            .flatMap { bootstrap(loop, connection).withConnectedSocket(ours) }.map { _ in }
    }
}
