internal import Core
internal import NIOCore
internal import NIOSSL

/// Looks at the first byte of a connection: 0x16 begins TLS, behind which the same question is asked again; 0xAC is ACP/1, a letter is
/// an HTTP method, anything else gets a readable error and a close.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    /// What is already known of a connection.
    enum Layer: Sendable {
        case plain
        /// With what the peer has proven to be, if it was asked.
        case encrypted(PeerCertificate?)
    }

    /// What a client may send before TLS is up here: far more than its first message takes.
    static let heldBytesMax = 32_768

    private let shared: RPCServer.Shared
    private let loopContext: LoopContext
    private let layer: Layer
    /// From then on the peer has the time of a HELLO to send one, whatever comes before it.
    private let acceptedAt: MonotonicTime
    /// All places are taken: the peer is only told so.
    let isBeyondLimit: Bool
    /// nil for a connection inside the process, and for one beyond the limit.
    private let seat: ConnectionPlaces.Seat?
    private var context: ChannelHandlerContext?
    private var firstByteTimer: Scheduled<Void>?
    /// What came while certificates are being read; nil otherwise.
    private var held: ByteBuffer?

    init(
        shared: RPCServer.Shared, loopContext: LoopContext, layer: Layer = .plain, acceptedAt: MonotonicTime? = nil,
        isBeyondLimit: Bool = false, seat: ConnectionPlaces.Seat? = nil
    ) {
        self.shared = shared
        self.loopContext = loopContext
        self.layer = layer
        self.acceptedAt = acceptedAt ?? loopContext.now()
        self.isBeyondLimit = isBeyondLimit
        self.seat = seat
    }

    private var helloSeconds: Int {
        isBeyondLimit
            ? min(ConnectionPlaces.tellingSecondsMax, shared.configuration.limits.helloSeconds)
            : shared.configuration.limits.helloSeconds
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let channel = context.channel
        // A connection that says nothing costs a socket: it has as long as a HELLO.
        let left = loopContext.rest(of: .seconds(helloSeconds), since: acceptedAt)
        firstByteTimer = context.eventLoop.scheduleTask(in: left) { [self] in
            // It began a handshake, for which certificates are still being read.
            if held != nil {
                let peer = Self.name(channel.remoteAddress)
                shared.configuration.observer?.tlsChanged(
                    .handshakeFailed(
                        peer: peer, TLSProblem(side: .server, peer: peer).timedOut(seconds: helloSeconds)))
            }
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        firstByteTimer?.cancel()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        firstByteTimer?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if held != nil {
            held?.writeBuffer(&bytes)
            if let count = held?.readableBytes, count > Self.heldBytesMax { context.close(promise: nil) }
            return
        }
        guard let byte = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return }
        let first = FirstByte(byte)
        if isBeyondLimit { return refuse(context, first) }
        if first == .tls, case .plain = layer, let tls = shared.tls { return encrypt(context, tls, bytes) }
        do {
            if let refusal = try serve(context, first) {
                return first.answer(refusal, on: context.channel)
            }
        } catch {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    /// Tells the peer that there is no place for it. Inside of TLS that would cost what is short.
    private func refuse(_ context: ChannelHandlerContext, _ first: FirstByte) {
        if first == .tls { return context.close(promise: nil) }
        first.answer(
            .init(.unavailable, "this server has all the \(shared.places.servedMax) connections it takes"),
            on: context.channel)
    }

    /// Adds what speaks the protocol that begins so; otherwise says why not.
    private func serve(_ context: ChannelHandlerContext, _ first: FirstByte) throws -> FirstByte.Refusal? {
        guard shared.takes(layer, from: context.remoteAddress) else {
            return .init(
                .failedPrecondition, "this port takes no unencrypted connection from there, use acps:// or https://")
        }
        switch first {
        case .acp:
            let connection = ServerConnection(
                server: shared, loopContext: loopContext, loop: context.eventLoop,
                peerAddress: Self.name(context.remoteAddress), layer: layer, acceptedAt: acceptedAt, seat: seat)
            shared.connections.insert(connection)
            try context.pipeline.syncOperations.addHandler(connection)
            // A stop that begins now finds it among the connections; one that has begun may have looked before.
            if shared.isStopping { connection.drain() }
            return nil
        case .http:
            guard let fallback = shared.configuration.httpFallback else {
                return .init(.failedPrecondition, "this port speaks only ACP/1")
            }
            seat?.isGreeted()
            try fallback(context.channel)
            return nil
        case .tls:
            return .init(.failedPrecondition, "this port speaks ACP/1 and HTTP without TLS, use acp:// or http://")
        case .unknown:
            return .init(
                .failedPrecondition, "this port speaks ACP/1 (first byte 0xAC) and HTTP, and the first byte was neither"
            )
        }
    }

    private static func name(_ address: SocketAddress?) -> String { address?.description ?? "in-process" }

    // MARK: TLS

    private func encrypt(_ context: ChannelHandlerContext, _ tls: TLSContextSource, _ bytes: ByteBuffer) {
        guard shared.handshakeBegins() else { return context.close(promise: nil) }
        held = bytes
        let loop = context.eventLoop
        tls.use { result in
            if loop.inEventLoop { self.encrypt(result) } else { loop.execute { self.encrypt(result) } }
        }
    }

    private func encrypt(_ result: Result<NIOSSLContext, Failure>) {
        guard let context, let held else { return shared.handshakeEnded() }
        do {
            let gate = makeGate(Self.name(context.remoteAddress))
            let pipeline = context.pipeline.syncOperations
            let handler = NIOSSLServerHandler(context: try result.get())
            try pipeline.addHandler(gate)
            try pipeline.addHandler(handler, position: .before(gate))
        } catch {
            shared.handshakeEnded()
            return context.close(promise: nil)
        }
        self.held = nil
        context.fireChannelRead(NIOAny(held))
        context.fireChannelReadComplete()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func makeGate(_ peer: String) -> TLSHandshakeGate {
        TLSHandshakeGate(
            TLSProblem(side: .server, peer: peer), seconds: helloSeconds,
            time: loopContext.rest(of: .seconds(helloSeconds), since: acceptedAt)
        ) { [shared, loopContext, acceptedAt, seat] channel, certificate in
            shared.handshakeEnded()
            try channel.pipeline.syncOperations.addHandler(
                ProtocolSniffer(
                    shared: shared, loopContext: loopContext,
                    layer: .encrypted(certificate.map { CertificateText.peer($0) }), acceptedAt: acceptedAt, seat: seat)
            )
        } failed: { [shared] failure in
            shared.handshakeEnded()
            shared.configuration.observer?.tlsChanged(.handshakeFailed(peer: peer, failure))
        }
    }
}
