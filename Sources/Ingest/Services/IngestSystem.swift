public import Core
public import Logging
public import RPC
internal import Search
public import Storage
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// How ingest runs.
public struct IngestConfiguration: Sendable {
    /// Holds the search index (`index/`) and uploads on their way (`spool/`). Made when missing.
    public var dataDirectory: String
    /// Absolute path of `acp-extract`.
    public var extractorPath = ExtractorPool.defaultExecutable()
    /// Documents extracted at the same time, at least 1.
    public var workers = 2
    public var extractLimits = ExtractionLimits()
    /// How often a job's progress is told: most are done before anybody could look.
    public var progress = Duration.milliseconds(500)
    /// Largest original accepted, in bytes.
    public var uploadBytesMax = Limits.uploadBytesMax
    /// Uploads received at the same time, at least 1; each may hold a MiB.
    public var uploadsMax = 128
    /// Free bytes on the volume of the data directory below which no document is taken in; 0 to take all. A worker waits below half of it.
    public var freeBytesMin = 64 << 20
    /// Beginning of the Redis keys; systems that share a Redis need different ones.
    public var namespace = "acp"
    /// Names this process in the queue, e.g. host and process id.
    public var instance = "ingest-\(getpid())"
    /// No other process has that name now: jobs that it seems to hold at the start were left by one that died.
    public var isOnlyInstance = false
    /// Shown by GetStatus.
    public var version = ""

    public init(dataDirectory: String) { self.dataDirectory = dataDirectory }
}

/// Ingest as a whole: the services, the index of this process and the worker; the executable starts what its role needs.
///
/// `serve ingest` registers the services, starts the index and, by option, the worker; `serve worker` starts only the worker.
public final class IngestSystem: Sendable {
    public let configuration: IngestConfiguration
    private let database: Database
    private let redis: RedisClient?
    private let keys: KeyStore
    private let logger: Logger
    private let queue: JobQueue
    private let follower: IndexFollower
    private let files = WorkThread()
    private let space: FreeSpace
    private let wake: WakeCoalescer
    private let indexStream: String
    private let worker = Mutex<RunningWorker?>(nil)
    private let extractorFailure = Mutex<Failure?>(nil)

    private struct RunningWorker: Sendable {
        var worker: IngestWorker
        var pool: ExtractorPool
    }

    /// Opens nothing yet. The database must have been migrated.
    public init(
        configuration: IngestConfiguration, database: Database, redis: RedisClient?, keys: KeyStore, logger: Logger
    ) {
        self.configuration = configuration
        self.database = database
        self.redis = redis
        self.keys = keys
        self.logger = logger
        queue = JobQueue(database: database, redis: redis, namespace: configuration.namespace)
        wake = WakeCoalescer(queue: queue)
        space = FreeSpace(
            directory: configuration.dataDirectory, reserveBytes: configuration.freeBytesMin, thread: files)
        indexStream = "\(configuration.namespace):index:changes"
        follower = IndexFollower(
            directory: configuration.dataDirectory + "/index", database: database, redis: redis?.address,
            stream: indexStream, logger: logger)
    }

    /// The job queue, for whoever shows or repairs it.
    public var jobs: JobQueue { queue }

    /// The last position of the log that this process's index has applied; 0 while it is not open.
    public var indexSequence: Int64 { follower.sequence }

    /// Adds the services `acp.v1.Ingest`, `acp.v1.Search` and `acp.v1.Keys`.
    public func register(in router: inout ServiceRouter) {
        let store = DocumentStore(database: database)
        let uploads = UploadService(
            store: store, thread: files, spoolDirectory: spoolDirectory, bytesMax: configuration.uploadBytesMax,
            uploadsMax: configuration.uploadsMax, space: space, wake: wake)
        IngestServer(
            uploads: uploads, store: store, texts: RevisionText(database: database), queue: queue, status: status
        ) { [self] in logGrew() }.register(in: &router)
        SearchServer(database: database, follower: follower, logger: logger).register(in: &router)
        KeysServer(keys: keys).register(in: &router)
    }

    /// Opens the index and starts following the log. Returns when the index can be searched at the position where it was left.
    /// - Throws: `Failure` INDEX_IO, INDEX_IN_USE.
    public func startIndex() async throws {
        try makeDataDirectory()
        try await follower.start()
    }

    /// Starts the parsers and the worker.
    /// - Throws: UNAVAILABLE with reason EXTRACTOR_UNAVAILABLE.
    public func startWorker() async throws {
        try makeDataDirectory()
        let pool = ExtractorPool(
            executable: configuration.extractorPath, slots: configuration.workers, limits: configuration.extractLimits,
            log: logger)
        do {
            try await files.run { try pool.start() }
            extractorFailure.withLock { $0 = nil }
        } catch {
            extractorFailure.withLock { $0 = Failure(wrapping: error) }
            throw error
        }
        if configuration.isOnlyInstance { try await queue.endLeases(of: configuration.instance) }
        let worker = IngestWorker(
            .init(
                database: database, queue: queue, pool: pool,
                originals: OriginalReader(database: database, spoolDirectory: spoolDirectory, thread: files),
                space: space,
                owner: configuration.instance, slots: max(1, configuration.workers), progress: configuration.progress,
                logger: logger
            ) { [weak self] in self?.logGrew() })
        self.worker.withLock { $0 = RunningWorker(worker: worker, pool: pool) }
        worker.start()
    }

    /// Stops the worker, giving documents in work `grace` to finish and their leases back otherwise, then the index. Services should have
    /// stopped before.
    public func stop(grace: Duration) async {
        let running = worker.withLock { worker in
            defer { worker = nil }
            return worker
        }
        if let running {
            await running.worker.stop(grace: grace)
            await running.pool.shutdown()
        }
        await follower.stop()
        files.stop()
        queue.close()
    }

    /// PostgreSQL, Redis, the parsers and the index, whichever this process uses.
    public func health() async -> [DependencyHealth] { await status.dependencies() }

    private var spoolDirectory: String { configuration.dataDirectory + "/spool" }

    private var status: IngestStatus {
        IngestStatus(
            database: database, redis: redis, follower: follower, extractor: { [weak self] in self?.extractorHealth() },
            version: configuration.version)
    }

    private func extractorHealth() -> IngestStatus.ExtractorHealth? {
        if let failure = extractorFailure.withLock({ $0 }) { return .init(failure: failure, detail: "") }
        guard let running = worker.withLock({ $0 }) else { return nil }
        let isFenced = running.pool.status.landlockVersion != 0
        return .init(
            failure: nil, detail: isFenced ? "" : "The kernel has no Landlock: parsers are fenced by seccomp alone.")
    }

    /// Tells followers, here and elsewhere, that the log has grown.
    private func logGrew() {
        follower.nudge()
        guard let redis else { return }
        let stream = RedisArgument(indexStream)
        // Whoever misses it looks by itself within 200 ms.
        Task { _ = try? await redis.command(["XADD", stream, "MAXLEN", "~", "100", "*", "grew", "1"]) }
    }

    private func makeDataDirectory() throws {
        guard mkdir(configuration.dataDirectory, 0o700) == 0 || errno == EEXIST else {
            let why = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
            throw Failure(
                .failedPrecondition, reason: "DATA_DIRECTORY",
                "The data directory \(configuration.dataDirectory) cannot be made: \(why).",
                remedy: "Make it, or choose another, and let the service's user write to it.")
        }
    }
}

/// Proves callers by their API keys.
public struct KeyAuthenticator: Authenticator {
    private let keys: KeyStore

    public init(keys: KeyStore) { self.keys = keys }

    public func authenticate(_ credential: String) async throws -> Principal { try await keys.authenticate(credential) }
}
