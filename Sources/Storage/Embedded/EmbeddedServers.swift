public import Core
import Glibc
import Synchronization

/// The private PostgreSQL and Redis of `acp up`: started from the installed programs on Unix sockets below one data directory,
/// watched while they run, and stopped in order.
///
/// One instance owns a data directory at a time, by a lock file. Servers that outlived an `acp` that was killed are adopted, not restarted.
/// Only processes proven to serve this data directory are ever signalled.
///
/// Layout of the data directory:
///
/// | path | content | owner |
/// |---|---|---|
/// | `acp.lock` | lock and process id of the owner | us |
/// | `conf/` | generated configuration, rewritten at every start | us |
/// | `logs/` | `postgres.log`, `redis.log`, `initdb.log` | us |
/// | `postgres/` | the cluster: the only thing here that may not be lost | server user |
/// | `redis/` | working directory of Redis, empty | server user |
/// | `run/` | the sockets (elsewhere when the path is too long for a socket) | server user |
public final class EmbeddedServers: Sendable {
    private let dataDirectory: String
    private let options: EmbeddedOptions
    private let log: @Sendable (String) -> Void
    private let state = Mutex(State.idle)

    private enum State {
        /// Nothing runs. → starting
        case idle
        /// `start` is at work. → running, idle (it failed), stopping
        case starting(Task<Instance, any Error>, StopSignals)
        /// Both servers answered once and are watched. → stopping
        case running(Instance)
        /// → idle
        case stopping(Task<Void, Never>)
    }

    /// - Parameters:
    ///   - dataDirectory: made when absent; a relative path is taken from the current directory.
    ///   - log: receives one sentence for everything an operator may want to know. Called on threads of this type; must not block.
    public init(
        dataDirectory: String, options: EmbeddedOptions = EmbeddedOptions(), log: @escaping @Sendable (String) -> Void
    ) {
        self.dataDirectory = dataDirectory
        self.options = options
        self.log = log
    }

    /// Starts or adopts both servers and returns once both have answered.
    ///
    /// After an error nothing of ours runs and the data directory is unlocked; a directory that was new and could not be used is left as it was.
    /// - Throws: `Failure` with reason `ALREADY_RUNNING`, `POSTGRES_NOT_FOUND`, `REDIS_NOT_FOUND`, `POSTGRES_VERSION_MISMATCH`, `DISK_FULL`,
    ///   `DATA_DIRECTORY_UNUSABLE`, `POSTGRES_FAILED` or `REDIS_FAILED`; CANCELLED when the task is cancelled or `stop` is called meanwhile.
    public func start() async throws -> EmbeddedEndpoints {
        let signals = try StopSignals()
        let attempt = state.withLock { state -> Task<Instance, any Error>? in
            guard case .idle = state else { return nil }
            let task = Task { [dataDirectory, options, log] in
                try await Instance.start(dataDirectory: dataDirectory, options: options, signals: signals, log: log)
            }
            state = .starting(task, signals)
            return task
        }
        guard let attempt else {
            throw Failure(
                .failedPrecondition, reason: "ALREADY_STARTED",
                "These embedded servers are already started or stopping.")
        }
        let result = await withTaskCancellationHandler {
            await attempt.result
        } onCancel: {
            signals.raiseAll()
        }
        let stays = state.withLock { state -> Bool in
            guard case .starting = state else { return false }
            if case .success(let instance) = result { state = .running(instance) } else { state = .idle }
            return true
        }
        let instance = try result.get()
        guard stays else { throw StopSignal.cancelled }
        return instance.endpoints
    }

    /// Stops Redis, then PostgreSQL by a fast shutdown, adopted ones included. Escalates when a server does not end; takes at most 10 s.
    /// Does nothing when nothing runs; waits when another stop is at work.
    public func stop() async {
        let work = state.withLock { state -> Task<Void, Never>? in
            let task: Task<Void, Never>
            switch state {
            case .idle: return nil
            case .stopping(let running): return running
            case .starting(let attempt, let signals):
                signals.raiseAll()
                task = Task {
                    if case .success(let instance) = await attempt.result { await instance.stop() }
                    self.stopped()
                }
            case .running(let instance):
                task = Task {
                    await instance.stop()
                    self.stopped()
                }
            }
            state = .stopping(task)
            return task
        }
        await work?.value
    }

    private func stopped() {
        state.withLock { $0 = .idle }
    }

    /// Lets go of everything without stopping the servers, as a `kill -9` of this process would: for tests of adoption.
    func abandon() async {
        let instance = state.withLock { state -> Instance? in
            guard case .running(let instance) = state else { return nil }
            state = .idle
            return instance
        }
        await instance?.abandon()
    }

    /// What readiness reports: the state of both servers now.
    public var health: EmbeddedHealth {
        state.withLock { state in
            switch state {
            case .idle: EmbeddedHealth(postgres: .stopped, redis: .stopped)
            case .starting: EmbeddedHealth(postgres: .starting, redis: .starting)
            case .running(let instance): instance.health
            case .stopping: EmbeddedHealth(postgres: .stopping, redis: .stopping)
            }
        }
    }

    /// Why PostgreSQL is away, as a failure of the call that needed it; nil while it runs.
    public var databaseOutage: Failure? {
        guard case .down(var failure, _) = health.postgres else { return nil }
        // Whatever ended it, it is started again until that works: callers may come back.
        failure.code = .unavailable
        failure.retryAfterMs = 1000
        return failure
    }

    /// Who runs on `dataDirectory` now; nil when nobody does. Takes no lock itself, so that asking never makes a start fail.
    /// - Throws: `Failure` when the lock file exists and cannot be read.
    public static func running(dataDirectory: String) throws -> EmbeddedOwner? {
        try DataDirectoryLock.owner(of: dataDirectory)
    }
}

/// Both servers of one successful start.
private final class Instance: Sendable {
    let endpoints: EmbeddedEndpoints
    private let layout: EmbeddedLayout
    private let lock: DataDirectoryLock
    private let postgres: ServerSupervisor
    private let redis: ServerSupervisor

    private init(
        layout: EmbeddedLayout, lock: DataDirectoryLock, postgres: ServerSupervisor, redis: ServerSupervisor
    ) {
        self.layout = layout
        self.lock = lock
        self.postgres = postgres
        self.redis = redis
        endpoints = EmbeddedEndpoints(
            databaseURL: layout.databaseURL, redisURL: layout.redisURL,
            postgresLog: layout.postgresLog, redisLog: layout.redisLog)
    }

    static func start(
        dataDirectory: String, options: EmbeddedOptions, signals: StopSignals, log: @escaping @Sendable (String) -> Void
    ) async throws -> Instance {
        let prepared = try await onOwnThread { try PreparedDirectory(path: dataDirectory, options: options) }
        let context = ServerContext(
            layout: prepared.layout, identity: prepared.identity, programs: prepared.programs,
            startSeconds: options.startSeconds, log: log)
        let postgres = ServerSupervisor(driver: PostgresDriver(context: context), stop: signals.postgres, log: log)
        let redis = ServerSupervisor(driver: RedisDriver(context: context), stop: signals.redis, log: log)
        let instance = Instance(layout: prepared.layout, lock: prepared.lock, postgres: postgres, redis: redis)
        async let redisStarted: Void = startIf(options.startsRedis, redis)
        do {
            try await startIf(options.startsPostgres, postgres)
            try await redisStarted
        } catch {
            // The first error is the one to report; the other server is stopped, however far it came.
            signals.raiseAll()
            await instance.stop()
            throw error
        }
        return instance
    }

    private static func startIf(_ wanted: Bool, _ server: ServerSupervisor) async throws {
        if wanted { try await server.start() }
    }

    var health: EmbeddedHealth { EmbeddedHealth(postgres: postgres.state, redis: redis.state) }

    func stop() async {
        await redis.stop()
        await postgres.stop()
        layout.removeOutsideRunDirectory()
        lock.release()
    }

    func abandon() async {
        await redis.abandon()
        await postgres.abandon()
        lock.release()
    }
}
