import NIOCore

/// The socket of a simulated connection, at the head of its pipeline: what is written goes to `onWrite` instead of into the channel,
/// and whether the connection wants to read can be asked.
final class SimulatedSocket: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Gets what was flushed, with the promise that is kept once the socket has taken it.
    var onWrite: (ByteBuffer, EventLoopPromise<Void>?) -> Void = { $1?.succeed() }
    /// The connection wants more bytes.
    var onRead: () -> Void = {}
    /// This end closed the connection.
    var onClose: () -> Void = {}
    private(set) var wantsRead = true
    private var unflushed: [(ByteBuffer, EventLoopPromise<Void>?)] = []

    /// Bytes are about to be handed to the connection.
    func willRead() { wantsRead = false }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        unflushed.append((unwrapOutboundIn(data), promise))
    }

    func flush(context: ChannelHandlerContext) {
        let writes = unflushed
        unflushed = []
        for (bytes, promise) in writes { onWrite(bytes, promise) }
    }

    func read(context: ChannelHandlerContext) {
        wantsRead = true
        onRead()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        onClose()
        // Closing only the output leaves the channel open for what the peer still sends.
        if mode == .output { promise?.succeed() } else { context.close(mode: mode, promise: promise) }
    }
}
