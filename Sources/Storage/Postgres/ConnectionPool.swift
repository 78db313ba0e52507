internal import Core
internal import Metrics
internal import Synchronization

/// Opens, lends and closes connections within limits; `PoolState` decides, this does.
final class ConnectionPool: Sendable {
    private typealias State = PoolState<PostgresConnection, CheckedContinuation<Grant, any Error>>

    private enum Grant: Sendable {
        case use(PostgresConnection)
        case open
    }

    private struct Guarded: ~Copyable {
        var pool: State
        var waiterIDs: UInt64 = 0
        /// One task at a time closes what is idle for too long.
        var isReaping = false
    }

    private let configuration: Database.Configuration
    private let state: Mutex<Guarded>
    private let openGauge = Gauge(label: "acp_db_connections")
    private let waitTimer = Timer(label: "acp_db_pool_wait_seconds")

    init(_ configuration: Database.Configuration) {
        self.configuration = configuration
        state = Mutex(Guarded(pool: State(openMin: configuration.poolMin, openMax: configuration.poolMax)))
    }

    /// How many connections are open, idle and asked for.
    var counts: (open: Int, idle: Int, waiting: Int) {
        state.withLock { ($0.pool.open, $0.pool.idleCount, $0.pool.waiting) }
    }

    /// Lends a connection for one use. Throws UNAVAILABLE when none becomes free in time or none can be opened, and
    /// CancellationError when the task is cancelled while it waits.
    func acquire() async throws -> PostgresConnection {
        try Task.checkCancellation()
        switch state.withLock({ $0.pool.acquire() }) {
        case .use(let connection): return connection
        case .open: return try await open()
        case .closed: throw Self.closed
        case .wait: break
        }
        let start = MonotonicTime.now()
        defer { waitTimer.recordNanoseconds(start.duration(to: .now()).wholeNanoseconds) }
        switch try await waitForGrant() {
        case .use(let connection): return connection
        case .open: return try await open()
        }
    }

    /// Takes a connection back; one that is not reusable is closed and its slot passed on.
    func release(_ connection: PostgresConnection, isReusable: Bool) {
        let granted = state.withLock { guarded in
            isReusable ? guarded.pool.giveBack(connection, now: .now()) : guarded.pool.lose()
        }
        resume(granted)
        recordOpen()
        startReaperIfNeeded()
    }

    func close() {
        let (connections, waiters) = state.withLock { $0.pool.close() }
        for waiter in waiters { waiter.resume(throwing: Self.closed) }
        recordOpen()
        // Letting go of them ends their threads.
        _ = connections
    }

    private static let closed = Failure(
        .unavailable, reason: DatabaseReason.unavailable,
        "The database connections are closed: the service is stopping.")

    private func open() async throws -> PostgresConnection {
        do {
            let connection = try await PostgresConnection.open(configuration)
            recordOpen()
            return connection
        } catch {
            resume(state.withLock { $0.pool.lose() })
            recordOpen()
            throw error
        }
    }

    private func resume(_ granted: PoolState<PostgresConnection, CheckedContinuation<Grant, any Error>>.Granted) {
        switch granted {
        case .connection(let connection, let waiter): waiter.resume(returning: .use(connection))
        case .permission(let waiter): waiter.resume(returning: .open)
        case .nothing: break
        }
    }

    private func waitForGrant() async throws -> Grant {
        let id = state.withLock { guarded in
            guarded.waiterIDs += 1
            return guarded.waiterIDs
        }
        let timeout = Task { [self] in
            try await Task.sleep(for: .milliseconds(configuration.acquireTimeoutMs))
            state.withLock { $0.pool.abandon(id) }?.resume(throwing: exhausted)
        }
        defer {
            timeout.cancel()
            state.withLock { $0.pool.forget(id) }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                register(continuation, id)
            }
        } onCancel: {
            state.withLock { $0.pool.abandon(id, mayComeLater: true) }?.resume(throwing: CancellationError())
        }
    }

    /// Between `acquire` and here a connection may have come back, so it is asked for once more under the same lock.
    private func register(_ continuation: CheckedContinuation<Grant, any Error>, _ id: UInt64) {
        enum Decision {
            case registered
            case cancelled
            case grant(Grant)
            case closed
        }
        let decision: Decision = state.withLock { guarded in
            switch guarded.pool.acquire() {
            case .use(let connection): .grant(.use(connection))
            case .open: .grant(.open)
            case .closed: .closed
            case .wait: guarded.pool.enqueue(id, continuation) ? .registered : .cancelled
            }
        }
        switch decision {
        case .registered: break
        case .cancelled: continuation.resume(throwing: CancellationError())
        case .grant(let grant): continuation.resume(returning: grant)
        case .closed: continuation.resume(throwing: Self.closed)
        }
    }

    private var exhausted: Failure {
        Failure(
            .unavailable, reason: DatabaseReason.poolExhausted,
            "No database connection became free within \(configuration.acquireTimeoutMs) ms (\(configuration.poolMax) in use).",
            remedy: "Try again; if it persists, look for slow statements or raise the pool size.", retryAfterMs: 500)
    }

    private func recordOpen() { openGauge.record(Int64(counts.open)) }

    private func startReaperIfNeeded() {
        let starts = state.withLock { guarded in
            guard guarded.pool.hasSurplus, !guarded.isReaping else { return false }
            guarded.isReaping = true
            return true
        }
        guard starts else { return }
        Task { [weak self, idle = configuration.idleSecondsMax] in
            while true {
                try await Task.sleep(for: .seconds(max(1, idle / 2)))
                guard let self, self.reap(idleSeconds: idle) else { return }
            }
        }
    }

    /// Closes what has been idle for too long. Returns whether there may be more later.
    private func reap(idleSeconds: Int) -> Bool {
        let limit = MonotonicTime.now().advanced(by: .seconds(-idleSeconds))
        let (removed, continues) = state.withLock { guarded in
            let removed = guarded.pool.removeIdle(since: limit)
            guarded.isReaping = guarded.pool.hasSurplus
            return (removed, guarded.isReaping)
        }
        if !removed.isEmpty { recordOpen() }
        return continues
    }
}
