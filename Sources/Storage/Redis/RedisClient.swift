internal import Core
internal import Logging
internal import Metrics

/// Redis for many callers: connection threads that send everything callers ask for in one write and then read the answers in order.
///
/// While a thread waits for answers, new commands gather; so the batches grow with the load by themselves.
public final class RedisClient: Sendable {
    public struct Configuration: Sendable {
        public var address: RedisAddress
        /// Connections, each with its own thread.
        public var connections = 1
        /// How long connecting and each batch may take, in milliseconds.
        public var timeoutMs = 2000
        /// Commands waiting for a connection; more are refused at once.
        public var pendingMax = 10_000

        public init(address: RedisAddress) { self.address = address }
    }

    /// Commands sent in one write.
    private static let batchMax = 1024

    fileprivate struct Command: Sendable {
        let arguments: [RedisArgument]
        let continuation: CheckedContinuation<RedisValue, any Error>
    }

    private struct Queue: Sendable {
        var pending: [Command] = []
        var isClosed = false
        /// Set while every attempt to connect fails, so that callers need not wait to learn it.
        var refusedUntil: MonotonicTime?
        var lastFailure = Failure.redisUnavailable("the connection was lost")
    }

    private let configuration: Configuration
    private let queue = Monitor(Queue())
    private let batchSize = Recorder(label: "acp_redis_batch_commands")

    /// Starts the threads; the first command connects. Throws RESOURCE_EXHAUSTED when the system has no thread left.
    public init(_ configuration: Configuration) throws {
        precondition(configuration.connections >= 1 && configuration.timeoutMs >= 1)
        self.configuration = configuration
        for _ in 0..<configuration.connections {
            try BlockingThread.start { [queue, configuration, batchSize] in
                Self.serve(queue, configuration, batchSize)
            }
        }
    }

    deinit { close() }

    /// Sends one command and returns its answer.
    ///
    /// Throws UNAVAILABLE with reason REDIS_UNAVAILABLE when Redis cannot be reached or does not answer in time (the command may have
    /// run), at once while reconnecting keeps failing; FAILED_PRECONDITION with reason REDIS_COMMAND when Redis refuses the command.
    public func command(_ arguments: [RedisArgument]) async throws -> RedisValue {
        let value = try await withCheckedThrowingContinuation { continuation in
            let refusal: Failure? = queue.update { queue in
                if queue.isClosed { return .redisUnavailable("the client is closed") }
                if let until = queue.refusedUntil, MonotonicTime.now() < until { return queue.lastFailure }
                if queue.pending.count >= configuration.pendingMax {
                    return .redisUnavailable("\(configuration.pendingMax) commands are waiting for it")
                }
                queue.pending.append(Command(arguments: arguments, continuation: continuation))
                return nil
            }
            if let refusal { continuation.resume(throwing: refusal) }
        }
        if case .error(let message) = value {
            throw Failure(.failedPrecondition, reason: "REDIS_COMMAND", "Redis refused a command: \(message).")
        }
        return value
    }

    /// Where this client connects to.
    public var address: RedisAddress { configuration.address }

    /// Refuses new commands; the threads end after those that wait.
    public func close() { queue.update { $0.isClosed = true } }

    // MARK: - On the connection's thread

    private static func serve(_ queue: Monitor<Queue>, _ configuration: Configuration, _ batchSize: Recorder) {
        let log = Logger(label: "acp.redis")
        let timeout = Duration.milliseconds(configuration.timeoutMs)
        var connection: RedisConnection?
        var backoff = ReconnectBackoff()
        while true {
            let taken = queue.wait { queue -> [Command]? in
                if queue.pending.isEmpty { return queue.isClosed ? [] : nil }
                let batch = Array(queue.pending.prefix(batchMax))
                queue.pending.removeFirst(batch.count)
                return batch
            }
            guard let batch = taken, !batch.isEmpty else { return }
            batchSize.record(Int64(batch.count))
            do {
                // A server that restarted has closed the connection: notice it before a command is lost in it.
                if connection?.isStale ?? true {
                    connection = try RedisConnection(configuration.address, timeout: timeout)
                }
                if backoff.succeeded() { log.info("redis connected") }
                queue.update { $0.refusedUntil = nil }
            } catch {
                connection = nil
                refuse(batch, Failure(wrapping: error), queue, until: .now().advanced(by: backoff.failed()))
                if backoff.isFirst { log.warning("redis unavailable", metadata: ["error": "\(error)"]) }
                continue
            }
            var answered = 0
            do {
                guard connection != nil else { continue }
                for command in batch { try connection?.append(command.arguments) }
                for command in batch {
                    guard let value = try connection?.reply() else { break }
                    command.continuation.resume(returning: value)
                    answered += 1
                }
            } catch {
                connection = nil
                for command in batch[answered...] { command.continuation.resume(throwing: error) }
                log.warning("redis connection lost", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Fails a batch and everything behind it: they would only wait to hear the same.
    private static func refuse(
        _ batch: [Command], _ failure: Failure, _ queue: Monitor<Queue>, until: MonotonicTime
    ) {
        let behind = queue.update { queue in
            queue.refusedUntil = until
            queue.lastFailure = failure
            defer { queue.pending = [] }
            return queue.pending
        }
        for command in batch + behind { command.continuation.resume(throwing: failure) }
    }
}

/// How long not to try again: from 100 ms doubling to 5 s, with jitter so that many processes do not come at once.
struct ReconnectBackoff {
    private static let firstMs = 100
    private static let lastMs = 5000
    private var failures = 0

    /// True after the first failure in a row, when it is worth a line in the log.
    var isFirst: Bool { failures == 1 }

    /// Returns whether there was anything to recover from.
    mutating func succeeded() -> Bool {
        defer { failures = 0 }
        return failures > 0
    }

    mutating func failed() -> Duration {
        let limit = min(Self.lastMs, Self.firstMs << min(failures, 10))
        failures += 1
        return .milliseconds(Int.random(in: limit / 2...limit))
    }
}
