import Core
import NIOCore
import NIOEmbedded

@testable import RPC

/// An embedded loop with what connections need of one: simulated time and seeded randomness. Confined to the thread that made it.
final class EmbeddedLoop {
    /// Not zero, so that times before the beginning exist.
    static let origin: UInt64 = 1_000_000_000_000

    let loop = EmbeddedEventLoop()
    let context: LoopContext

    init(seed: UInt64 = 1) {
        let loop = self.loop
        context = LoopContext(
            loop: loop,
            clock: LoopContext.Clock { MonotonicTime(nanoseconds: Self.origin + loop.now.uptimeNanoseconds) },
            random: FastRandom(seed: seed))
    }

    var now: MonotonicTime { context.now() }

    /// Lets time pass, in which everything happens that is due.
    func pass(milliseconds: Int64) { loop.advanceTime(by: .milliseconds(milliseconds)) }
    func run() { loop.run() }
}

/// One real end of a connection on an embedded loop; the test is its peer. Confined to the thread that made the loop.
final class EmbeddedEnd<End: Connection>: @unchecked Sendable {
    let embedded: EmbeddedLoop
    let connection: End
    let channel: EmbeddedChannel
    private let socket = SimulatedSocket()
    private var written = ByteBuffer()
    private var held: [EventLoopPromise<Void>] = []
    /// Bytes that were written since the beginning.
    private(set) var writtenBytes = 0
    /// The peer takes nothing more.
    var isStalled = false
    private let prefaceBytes: Int

    init(_ connection: End, on embedded: EmbeddedLoop, prefaceBytes: Int) throws {
        self.embedded = embedded
        self.connection = connection
        self.prefaceBytes = prefaceBytes
        channel = EmbeddedChannel(loop: embedded.loop)
        try channel.pipeline.syncOperations.addHandler(socket)
        try channel.pipeline.syncOperations.addHandler(connection)
        socket.onWrite = { [unowned self] bytes, promise in
            written.writeImmutableBuffer(bytes)
            writtenBytes += bytes.readableBytes
            guard let promise else { return }
            if isStalled { held.append(promise) } else { promise.succeed() }
        }
        socket.onClose = { [unowned self] in
            let held = self.held
            self.held = []
            for promise in held { promise.fail(ChannelError.ioOnClosedChannel) }
        }
        channel.connect(to: try SocketAddress(unixDomainSocketPath: "/embedded"), promise: nil)
        embedded.run()
    }

    /// Whether the connection wants to read; a stopped one does not.
    var wantsRead: Bool { socket.wantsRead }
    var isClosed: Bool { !channel.isActive }

    /// Hands bytes to the connection as one read, and runs what that starts.
    func receive(_ bytes: ByteBuffer) {
        guard channel.isActive else { return }
        socket.willRead()
        channel.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
        channel.pipeline.syncOperations.fireChannelReadComplete()
        if channel.isActive { channel.pipeline.syncOperations.read() }
        embedded.run()
    }

    func receive(_ frames: WireFrame...) {
        var bytes = ByteBuffer()
        for frame in frames { bytes.writeImmutableBuffer(frame.bytes) }
        receive(bytes)
    }

    /// The frames that were written since the last time.
    func sent() throws -> [WireFrame] {
        embedded.run()
        if writtenBytes > 0, written.readerIndex == 0, prefaceBytes > 0 {
            written.moveReaderIndex(to: min(prefaceBytes, written.readableBytes))
        }
        return try WireFrame.read(&written)
    }

    /// Everything that was written since the last time, with the preface. Not together with `sent`.
    func takeBytes() -> ByteBuffer {
        embedded.run()
        defer { written = ByteBuffer() }
        return written
    }

    /// The peer takes everything that waits.
    func takeAll() {
        isStalled = false
        let held = self.held
        self.held = []
        for promise in held { promise.succeed() }
        embedded.run()
    }

    /// The connection is gone.
    func lose() {
        channel.close(promise: nil)
        embedded.run()
    }
}
