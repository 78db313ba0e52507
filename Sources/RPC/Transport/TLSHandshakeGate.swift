internal import Core
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// Stands behind TLS until the peer is known to be content: bounds the handshake, hides the connection from the handlers behind it until
/// then, and says in our own words why it failed. Leaves with the first byte that was encrypted.
final class TLSHandshakeGate: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    private enum State {
        /// There is no connection yet. → `handshaking`.
        case connecting
        /// → `settling` when TLS is up, `failed`.
        case handshaking(Scheduled<Void>, hidesActive: Bool)
        /// TLS is up here, but with TLS 1.3 a server verifies the client afterwards. → out of the pipeline with the first byte, `failed`.
        case settling
        case failed
    }

    private let problem: TLSProblem
    private let seconds: Int
    private let time: TimeAmount
    private let ready: (any Channel, NIOSSLCertificate?) throws -> Void
    private let failed: (Failure) -> Void
    private var state = State.connecting

    /// - Parameters:
    ///   - seconds: what the handshake may take.
    ///   - time: what is left of that; nil for all of it.
    ///   - ready: gets the peer's verified certificate, if it showed one; may add handlers.
    ///   - failed: the handshake failed; the channel is being closed. One of the two is called once there is a connection.
    init(
        _ problem: TLSProblem, seconds: Int, time: TimeAmount? = nil,
        ready: @escaping (any Channel, NIOSSLCertificate?) throws -> Void,
        failed: @escaping (Failure) -> Void
    ) {
        self.problem = problem
        self.seconds = seconds
        self.time = time ?? .seconds(Int64(seconds))
        self.ready = ready
        self.failed = failed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context, hidesActive: false) }
    }

    func channelActive(context: ChannelHandlerContext) { begin(context, hidesActive: true) }

    private func begin(_ context: ChannelHandlerContext, hidesActive: Bool) {
        guard case .connecting = state else { return }
        let channel = context.channel
        let timer = context.eventLoop.scheduleTask(in: time) { [self] in
            fail(problem.timedOut(seconds: seconds), channel)
        }
        state = .handshaking(timer, hidesActive: hidesActive)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted = event, case .handshaking(let timer, let hidesActive) = state else {
            return context.fireUserInboundEventTriggered(event)
        }
        timer.cancel()
        state = .settling
        if hidesActive { context.fireChannelActive() }
        do {
            try ready(context.channel, certificate(context))
        } catch {
            state = .failed
            failed(Failure(wrapping: error))
            context.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch state {
        case .handshaking: fail(problem.failure(error, certificate: certificate(context)), context.channel)
        case .settling:
            state = .failed
            context.fireErrorCaught(problem.failure(error, certificate: nil))
        // The end of a failed connection has nothing to add; who connects learns why that failed.
        case .connecting, .failed: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        // A connection may end while the handlers before this one still learn that it began.
        case .connecting, .handshaking: fail(problem.interrupted(), context.channel)
        case .settling: context.fireErrorCaught(problem.closedAtOnce)
        case .failed: break
        }
        context.fireChannelInactive()
    }

    private func fail(_ failure: Failure, _ channel: any Channel) {
        switch state {
        case .connecting: break
        case .handshaking(let timer, _): timer.cancel()
        case .settling, .failed: return
        }
        state = .failed
        failed(failure)
        channel.close(promise: nil)
    }

    private func certificate(_ context: ChannelHandlerContext) -> NIOSSLCertificate? {
        try? context.pipeline.syncOperations.nioSSL_peerCertificate()
    }
}
