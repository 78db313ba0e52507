import Core
import NIOCore
import NIOPosix
import Synchronization
import TestProtos

@testable import RPC

/// A server that is not ours: it reads REQUEST frames whose message is in them, and writes to each the raw bytes that its `misbehaviour`
/// stands for. Without one it answers like an honest server.
final class ScriptedServer: Sendable {
    let port: Int
    private let listener: any Channel
    private let state: State

    /// What the connections of one server share.
    fileprivate final class State: Sendable {
        let connections = Mutex(0)
        let channels = Mutex<[any Channel]>([])
    }

    /// Connections that came so far.
    var connectionCount: Int { state.connections.withLock { $0 } }

    static func start(_ runtime: RPCRuntime) async throws -> ScriptedServer {
        let state = State()
        let listener = try await ServerBootstrap(group: runtime.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    state.connections.withLock { $0 += 1 }
                    state.channels.withLock { $0.append(channel) }
                    try channel.pipeline.syncOperations.addHandler(ScriptedPeer())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return ScriptedServer(listener, state)
    }

    private init(_ listener: any Channel, _ state: State) {
        self.listener = listener
        self.state = state
        port = listener.localAddress?.port ?? 0
    }

    func stop() async {
        try? await listener.close()
        for channel in state.channels.withLock({ $0 }) { try? await channel.close() }
    }
}

/// One connection of a scripted server.
private final class ScriptedPeer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var buffer = ByteBuffer()
    private var prefaceRead = false

    func channelActive(context: ChannelHandlerContext) {
        send(RawFrame(type: 0, meta: RawFrame.bytes(of: Script.hello)).bytes, context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        buffer.writeBuffer(&bytes)
        if !prefaceRead {
            guard buffer.readBytes(length: Preface.bytes) != nil else { return }
            prefaceRead = true
        }
        while let header = buffer.getBytes(at: buffer.readerIndex, length: FrameHeader.bytes) {
            let header = header.withUnsafeBytes { FrameHeader($0.baseAddress!) }
            guard buffer.readableBytes >= FrameHeader.bytes + header.length else { break }
            buffer.moveReaderIndex(forwardBy: FrameHeader.bytes + header.metaLength)
            let payload = buffer.readSlice(length: header.length - header.metaLength) ?? ByteBuffer()
            if header.type == FrameType.request.rawValue { answer(header.stream, payload, context) }
        }
    }

    private func answer(_ stream: UInt32, _ payload: ByteBuffer, _ context: ChannelHandlerContext) {
        guard let request = try? TestControlRequest.decode(payload) else { return context.close(promise: nil) }
        let script = Script(stream: stream, request: request)
        send(script.bytes, context)
        if script.closes {
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
