public import Core

/// PostgreSQL as the rest of the system sees it: a pool of connections, each with its own thread.
///
/// Bodies given to `run` and `transaction` are synchronous and run on the connection's thread, so they may block on the database
/// but should do nothing else that is slow.
public final class Database: Sendable {
    public struct Configuration: Sendable {
        /// A libpq connection string or URI: `postgresql://user@host/db`, or `host=/run/acp dbname=acp` for a Unix socket.
        public var url: String
        /// Connections kept while idle.
        public var poolMin = 1
        /// Connections open at once.
        public var poolMax = 8
        /// How long a caller waits for a free connection, in milliseconds.
        public var acquireTimeoutMs = 5000
        /// How long one statement may run, in milliseconds.
        public var statementTimeoutMs = 30_000
        /// How long a transaction may sit between statements, in milliseconds.
        public var idleTransactionTimeoutMs = 60_000
        /// Connections beyond `poolMin` are closed after this many seconds of idleness.
        public var idleSecondsMax = 10
        public var connectTimeoutSeconds = 5
        /// Shown in PostgreSQL's activity view.
        public var applicationName = "acp"
        /// Why the server is away, when whoever runs it knows; callers are told this instead of how connecting failed.
        public var outage: (@Sendable () -> Failure?)?

        public init(url: String) { self.url = url }
    }

    /// Times that a transaction is run when it keeps meeting concurrent changes.
    private static let transactionAttemptsMax = 5

    private let pool: ConnectionPool

    /// Opens nothing yet: the first use connects.
    public init(_ configuration: Configuration) { pool = ConnectionPool(configuration) }

    /// Runs `body` on a connection, outside a transaction: each `execute` and each `pipeline` commits by itself.
    ///
    /// Throws what `body` throws; UNAVAILABLE when PostgreSQL cannot be reached or no connection becomes free;
    /// CancellationError when the task is cancelled before `body` starts.
    public func run<T: Sendable>(_ body: @Sendable (isolated PostgresConnection) throws -> T) async throws -> T {
        try await lend(nil, body)
    }

    /// Runs `body` in a transaction and commits it; rolls back when it throws.
    ///
    /// Run again from the start, a bounded number of times, when it meets a serialization failure or deadlock: `body` must
    /// have no other effect than on the database. Throws as `run`, and UNAVAILABLE with reason COMMIT_UNKNOWN when the connection
    /// was lost while committing.
    public func transaction<T: Sendable>(
        _ isolation: Isolation = .readCommitted, _ body: @Sendable (isolated PostgresConnection) throws -> T
    ) async throws -> T {
        var attempt = 1
        while true {
            do {
                return try await lend(isolation, body)
            } catch let failure as Failure where failure.isTransactionConflict && attempt < Self.transactionAttemptsMax
            {
                try await Task.sleep(for: .milliseconds(Int.random(in: 1...(10 << attempt))))
                attempt += 1
            }
        }
    }

    /// Asks PostgreSQL for an answer; for health checks.
    public func ping() async throws {
        _ = try await run { try $0.execute("SELECT 1") }
    }

    /// Connections open, idle among them, and callers waiting.
    public var connectionCounts: (open: Int, idle: Int, waiting: Int) { pool.counts }

    /// Gives out no more connections and closes each when its user is done.
    public func close() { pool.close() }

    /// Lends a connection to `body`; those that the server closed while they were idle are replaced first.
    private func lend<T: Sendable>(
        _ isolation: Isolation?, _ body: @Sendable (isolated PostgresConnection) throws -> T
    ) async throws -> T {
        while true {
            let connection = try await pool.acquire()
            let loan = await connection.lend(isolation, body)
            pool.release(connection, isReusable: loan.isReusable)
            if let outcome = loan.outcome { return try outcome.get() }
        }
    }
}

extension PostgresConnection {
    /// Connects on a new thread.
    static func open(_ configuration: Database.Configuration) async throws -> PostgresConnection {
        let executor = try ThreadExecutor()
        do {
            let handle = try await Connector(executor: executor).connect(configuration)
            return PostgresConnection(
                executor: executor, handle: handle, statementTimeoutMs: configuration.statementTimeoutMs)
        } catch {
            executor.stop()
            throw error
        }
    }
}

/// Connecting blocks too, so it happens on the thread that the connection will have.
private actor Connector {
    private nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(executor: ThreadExecutor) { self.executor = executor }

    func connect(_ configuration: Database.Configuration) throws -> ConnectionHandle {
        try ConnectionHandle.connect(configuration)
    }
}
