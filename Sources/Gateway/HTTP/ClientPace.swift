internal import Core
internal import NIOCore

/// Watches how fast a client sends and takes, and tells its connection when it is too slow. Also the first handler of the pipeline:
/// it sees bytes arrive before they make a request. Confined to the connection's loop.
final class ClientPace: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    enum Phase {
        /// Between requests: the client may be quiet for long.
        case idle
        /// Bytes of a head have arrived, but not all.
        case head
        case body
        /// The request is here and is worked on.
        case working
    }

    /// Bytes of a body that must arrive in `slowClientSeconds`; slower is as good as nothing.
    private static let bodyBytesMin = 1024

    private let limit: Duration
    private let idleLimit: Duration
    private let interval: TimeAmount
    private weak var connection: HTTPConnection?
    private var channel: (any Channel)?
    private var timer: RepeatedTask?
    private var phase = Phase.idle
    private var phaseStart = MonotonicTime.now()
    private var bytesIn = 0
    /// The connection does not read: a pause is ours, not the client's.
    var isHeld = false
    private var bytesWritten = 0
    private var bytesTaken = 0
    private var takenAt = MonotonicTime.now()

    init(_ configuration: HTTPGateway.Configuration) {
        // Looked at five times within the limit, so that nobody outlives it by more than rounding.
        let limitMs = Int64(configuration.slowClientSecondsMax * 1000)
        interval = .milliseconds(max(10, limitMs / 5))
        limit = .milliseconds(limitMs - limitMs / 5)
        idleLimit = .milliseconds(Int64(configuration.idleSecondsMax * 1000))
    }

    func start(_ connection: HTTPConnection, _ channel: any Channel) {
        self.connection = connection
        self.channel = channel
        timer = channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.look()
        }
    }

    func stop() {
        timer?.cancel()
        timer = nil
        channel = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytesIn += unwrapInboundIn(data).readableBytes
        if phase == .idle { enter(.head) }
        context.fireChannelRead(data)
    }

    func enter(_ next: Phase) {
        // Bytes that came after the request belong to the next one's head.
        let isPipelined = next == .idle && phase == .working && bytesIn > 0
        phase = isPipelined ? .head : next
        phaseStart = .now()
        bytesIn = 0
        isHeld = false
    }

    func wrote(_ bytes: Int) {
        if bytesTaken == bytesWritten { takenAt = .now() }
        bytesWritten += bytes
    }

    private func look() {
        guard let connection, let channel else { return }
        let now = MonotonicTime.now()
        let quiet = phaseStart.duration(to: now)
        switch phase {
        case .idle: if quiet >= idleLimit { return connection.abort() }
        case .head: if quiet >= limit { return connection.tooSlow(.head) }
        case .body where isHeld:
            phaseStart = now
            bytesIn = 0
        case .body where quiet >= limit:
            if bytesIn < Self.bodyBytesMin { return connection.tooSlow(.body) }
            phaseStart = now
            bytesIn = 0
        case .body, .working: break
        }
        let waiting = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let taken = max(0, bytesWritten - waiting)
        if waiting == 0 || taken > bytesTaken {
            bytesTaken = waiting == 0 ? bytesWritten : taken
            takenAt = now
        } else if takenAt.duration(to: now) >= limit {
            connection.abort()
        }
    }
}
