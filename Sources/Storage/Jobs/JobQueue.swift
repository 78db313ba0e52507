public import Core
internal import Logging
internal import Synchronization

/// The durable queue. A job is a row committed with what it belongs to; Redis only makes workers look sooner, and everything here
/// works without it.
public final class JobQueue: Sendable {
    /// How long a claim holds without a heartbeat.
    public static let leaseSeconds = 30
    /// How often a worker should send heartbeats.
    public static let heartbeatSeconds = 10
    /// How often some process should call `sweep`.
    public static let sweepSeconds = 5
    /// Jobs in one claim, heartbeat, sweep, page or watch.
    public static let batchMax = 1000
    /// Jobs counted before one whose position is asked.
    public static let positionMax = 10_000

    let database: Database
    let log = Logger(label: "acp.jobs")
    private let redis: RedisClient?
    let sizeMetrics = QueueSizeMetrics()
    private let events: JobEvents

    /// - Parameter namespace: beginning of the Redis keys; systems that share a Redis need different ones.
    public init(database: Database, redis: RedisClient?, namespace: String = "acp") {
        self.database = database
        self.redis = redis
        events = JobEvents(redis?.address, namespace: namespace)
    }

    /// Stops listening to Redis; the queue still works by polling.
    public func close() { events.close() }

    // MARK: - Waking

    /// Tells workers that there may be work. Call after the commit; a failure is only logged, because workers also poll.
    public func wake() async {
        events.workArrived()
        await publish(to: events.wakeStream, field: "wake", value: "1")
    }

    /// Tells watchers, after the commit, what became of jobs, and counts those that ended.
    public func announce(_ transitions: [JobTransition]) async {
        for transition in transitions where transition.state.isTerminal {
            JobMetrics.finished(kind: transition.kind, state: transition.state)
        }
        await announce(transitions.map(\.id))
    }

    func announce(_ ids: [UUIDv7]) async {
        guard !ids.isEmpty else { return }
        events.changed(ids)
        for start in stride(from: 0, to: ids.count, by: Self.batchMax) {
            let page = ids[start..<min(ids.count, start + Self.batchMax)]
            let value = page.map(\.description).joined(separator: ",")
            await publish(to: events.changeStream, field: "ids", value: value)
        }
    }

    private func publish(to stream: String, field: RedisArgument, value: String) async {
        guard let redis else { return }
        do {
            _ = try await redis.command([
                "XADD", RedisArgument(stream), "MAXLEN", "~", "1000", "*", field, RedisArgument(value),
            ])
        } catch {
            log.debug("job event not published", metadata: ["error": "\(error)"])
        }
    }

    /// Returns when there may be work: a wake-up came (also one that came since the last call), or `timeout` passed, or sooner
    /// while Redis cannot be listened to. Returns at once in a cancelled task.
    public func waitForWork(timeout: Duration) async { await events.waitForWork(timeout) }

    // MARK: - Looking

    /// The job with this id. Throws NOT_FOUND.
    public func get(_ id: UUIDv7) async throws -> Job {
        guard let job = try await get([id]).first else { throw Self.notFound(id) }
        return job
    }

    /// Those jobs of `ids` that exist, in no particular order; at most `batchMax` ids.
    public func get(_ ids: [UUIDv7]) async throws -> [Job] {
        try await database.run { try Self.load(ids, on: $0) }
    }

    /// A page of jobs, newest first, starting after (older than) `after`; nil for the newest. `states` empty means all. At most
    /// `batchMax` and one more, which tells whether there is another page.
    public func list(after: UUIDv7? = nil, limit: Int, states: Set<JobState> = []) async throws -> [Job] {
        let states = states.isEmpty ? JobState.allCases : states.sorted { $0.rawValue < $1.rawValue }
        let jobs = try await database.transaction(.readOnlySnapshot) { connection in
            let ids = try connection.execute(
                """
                SELECT id FROM jobs WHERE ($1::uuid IS NULL OR id < $1) AND state = ANY($2)
                ORDER BY id DESC LIMIT $3
                """,
                [.uuid(after), .textArray(states.map(\.rawValue)), .int(max(0, min(limit, Self.batchMax + 1)))]
            ).map { try $0.uuid(0) }
            return try Self.load(ids, on: connection)
        }
        return jobs.sorted { $0.id > $1.id }
    }

    /// Snapshots of jobs as they change, beginning with each as it is now; ends when all have ended.
    /// The iterator throws NOT_FOUND when one of `ids` does not exist.
    public func updates(of ids: [UUIDv7]) -> JobUpdates {
        JobUpdates(queue: self, ids: ids, subscription: events.watch(ids))
    }

    /// Snapshots of one job as it changes, ending with its end.
    public func updates(_ id: UUIDv7) -> JobUpdates { updates(of: [id]) }

    /// True while changes are reported by Redis, so that polling can be slow.
    var isListening: Bool { events.isConnected }

    /// The one place that lists a job's columns; the order is that of `Job.init(_: Row)`.
    static func load(_ ids: [UUIDv7], on connection: isolated PostgresConnection) throws -> [Job] {
        guard ids.count <= batchMax else {
            throw Failure.invalid(field: "ids", "at most \(batchMax) jobs can be asked for at once")
        }
        guard !ids.isEmpty else { return [] }
        return try connection.execute(
            """
            SELECT id, kind, payload, state, priority, attempt, attempts_max, run_at, lease_until, lease_owner, fencing, stage,
                progress_done, progress_total, reason, message, result, idempotency_key, traceparent, request_id,
                principal_id, document_id, revision_id, created_at, updated_at, finished_at
            FROM jobs WHERE id = ANY($1)
            """, [.uuidArray(ids)]
        ).map(Job.init)
    }

    static func notFound(_ id: UUIDv7) -> Failure {
        Failure(.notFound, reason: "JOB_NOT_FOUND", "There is no job \(id).", remedy: "List jobs to see their ids.")
    }
}
