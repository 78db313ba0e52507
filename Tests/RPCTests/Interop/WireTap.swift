import NIOCore
import NIOPosix
import Synchronization

/// Stands between a client and a server, passes every byte on and keeps it: what was really on the wire.
final class WireTap: Sendable {
    enum Direction: Sendable { case up, down }

    let port: Int
    private let listener: any Channel
    private let taken: Taken

    private final class Taken: Sendable {
        /// By connection, in the order in which they came.
        let bytes = Mutex<[(up: ByteBuffer, down: ByteBuffer)]>([])

        func begin() -> Int {
            bytes.withLock { all in
                all.append((ByteBuffer(), ByteBuffer()))
                return all.count - 1
            }
        }

        func add(_ buffer: ByteBuffer, _ connection: Int, _ direction: Direction) {
            bytes.withLock { all -> Void in
                switch direction {
                case .up: all[connection].up.writeImmutableBuffer(buffer)
                case .down: all[connection].down.writeImmutableBuffer(buffer)
                }
            }
        }
    }

    /// - Parameter target: port of the server on this machine.
    static func start(_ group: MultiThreadedEventLoopGroup, to target: Int) async throws -> WireTap {
        let taken = Taken()
        // One loop for both halves of a connection: each may use the other directly.
        let loop = group.next()
        let listener = try await ServerBootstrap(group: loop, childGroup: loop)
            .childChannelOption(ChannelOptions.autoRead, value: false)
            .childChannelInitializer { channel in
                let connection = taken.begin()
                return ClientBootstrap(group: loop)
                    .channelInitializer { other in
                        other.eventLoop.makeCompletedFuture {
                            try other.pipeline.syncOperations.addHandler(Pass(taken, connection, .down, to: channel))
                            try channel.pipeline.syncOperations.addHandler(Pass(taken, connection, .up, to: other))
                        }
                    }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMap { _ in channel.setOption(ChannelOptions.autoRead, value: true) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return WireTap(listener, taken)
    }

    private init(_ listener: any Channel, _ taken: Taken) {
        self.listener = listener
        self.taken = taken
        port = listener.localAddress?.port ?? 0
    }

    func stop() async { try? await listener.close() }

    /// Every whole frame of each connection in one direction, without the preface.
    func frames(_ direction: Direction) throws -> [[WireFrame]] {
        try taken.bytes.withLock { $0 }.map { both in
            var bytes = direction == .up ? both.up : both.down
            if direction == .up { bytes.moveReaderIndex(forwardBy: min(8, bytes.readableBytes)) }
            return try WireFrame.read(&bytes)
        }
    }

    private final class Pass: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let taken: Taken
        private let connection: Int
        private let direction: Direction
        private let other: any Channel

        init(_ taken: Taken, _ connection: Int, _ direction: Direction, to other: any Channel) {
            self.taken = taken
            self.connection = connection
            self.direction = direction
            self.other = other
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            taken.add(bytes, connection, direction)
            other.write(bytes, promise: nil)
        }

        func channelReadComplete(context: ChannelHandlerContext) { other.flush() }
        func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
