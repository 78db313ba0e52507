internal import Core
internal import NIOCore

/// Looks at the first byte of a connection: 0xAC is ACP/1, a letter is an HTTP method, anything else gets a readable error and a close.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let shared: RPCServer.Shared
    private let loopContext: LoopContext
    private var helloTimer: Scheduled<Void>?

    init(shared: RPCServer.Shared, loopContext: LoopContext) {
        self.shared = shared
        self.loopContext = loopContext
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        // A connection that says nothing costs a socket: it has as long as a HELLO.
        helloTimer = context.eventLoop.scheduleTask(in: .seconds(Int64(shared.configuration.limits.helloSeconds))) {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { helloTimer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        helloTimer?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        guard let first = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) else { return }
        do {
            let pipeline = context.pipeline.syncOperations
            if first == Preface.firstByte {
                guard shared.connections.count < shared.configuration.connectionsMax else {
                    return refuse(
                        context, "This server has all the \(shared.configuration.connectionsMax) connections it takes.")
                }
                let connection = ServerConnection(
                    server: shared, loopContext: loopContext, loop: context.eventLoop,
                    peerAddress: context.remoteAddress?.description ?? "in-process")
                shared.connections.insert(connection)
                try pipeline.addHandler(connection)
            } else if (0x41...0x5A).contains(first), let fallback = shared.configuration.httpFallback {
                try fallback(context.channel)
            } else {
                refuse(
                    context, "This port speaks ACP/1 (first byte 0xAC) and HTTP. The first byte was neither.")
                return
            }
        } catch {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func refuse(_ context: ChannelHandlerContext, _ reason: String) {
        let text = reason + "\r\n"
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text))).whenComplete { _ in
            channel.close(promise: nil)
        }
    }
}
