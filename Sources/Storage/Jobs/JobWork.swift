public import Core

/// What a worker says about a job it holds: that it is alive, and how far it is.
public struct JobHeartbeat: Sendable, Hashable {
    public var lease: JobLease
    /// nil leaves stage and progress as they are.
    public var progress: JobProgress?

    public init(_ lease: JobLease, progress: JobProgress? = nil) {
        self.lease = lease
        self.progress = progress
    }
}

public struct JobProgress: Sendable, Hashable {
    /// One word, at most 64 bytes, e.g. `parsing`.
    public var stage: String
    public var done: Int64
    /// 0 while unknown.
    public var total: Int64

    public init(stage: String, done: Int64 = 0, total: Int64 = 0) {
        self.stage = stage
        self.done = done
        self.total = total
    }
}

extension JobQueue {
    /// Reason of ABORTED when someone else holds the job, or nobody: the caller's work on it must not be stored.
    public static let leaseLost = "LEASE_LOST"

    /// Takes up to `limit` due jobs of these kinds for `leaseSeconds`, best first. No two claims get the same job.
    /// - Parameter owner: names the worker in `explain`, e.g. host and process id.
    public func claim(owner: String, kinds: [String], limit: Int) async throws -> [ClaimedJob] {
        let limit = max(0, min(limit, Self.batchMax))
        let jobs = try await database.run { connection in
            let ids = try connection.execute(
                """
                WITH due AS MATERIALIZED (
                    SELECT id FROM jobs WHERE state = 'queued' AND run_at <= now() AND kind = ANY($2)
                    ORDER BY priority DESC, run_at, id LIMIT $3 FOR UPDATE SKIP LOCKED
                )
                UPDATE jobs SET state = 'running', attempt = attempt + 1, fencing = fencing + 1, lease_owner = $1,
                    lease_until = now() + make_interval(secs => $4), stage = '', progress_done = 0, progress_total = 0,
                    updated_at = clock_timestamp()
                FROM due WHERE jobs.id = due.id RETURNING jobs.id
                """,
                [.text(owner), .textArray(kinds), .int(limit), .double(Double(Self.leaseSeconds))]
            ).map { try $0.uuid(0) }
            return try Self.load(ids, on: connection)
        }
        // A job may have been cancelled, or even swept and claimed again, since: it is not ours then.
        let claimed = jobs.filter { $0.state == .running && $0.leaseOwner == owner }
            .sorted { ($1.priority, $0.runAt, $0.id) < ($0.priority, $1.runAt, $1.id) }
            .map { ClaimedJob(job: $0, lease: JobLease(jobID: $0.id, fencing: $0.fencing, attempt: $0.attempt)) }
        await announce(claimed.map(\.job.id))
        return claimed
    }

    /// Prolongs leases and stores progress. Returns the jobs that are no longer the caller's: their work should be abandoned.
    public func heartbeat(_ beats: [JobHeartbeat]) async throws -> Set<UUIDv7> {
        guard !beats.isEmpty else { return [] }
        let ids = SQLValue.uuidArray(beats.map(\.lease.jobID))
        let fencing = SQLValue.int64Array(beats.map(\.lease.fencing))
        let lost = try await database.run { connection in
            // Rows that a publisher is just committing are skipped, not waited for: no deadlock, and they end anyway.
            let results = try connection.pipeline([
                (
                    """
                    WITH held AS MATERIALIZED (
                        SELECT jobs.id, b.stage, b.done, b.total
                        FROM jobs JOIN unnest($1::uuid[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
                            AS b (id, fencing, stage, done, total)
                        ON jobs.id = b.id AND jobs.fencing = b.fencing AND jobs.state = 'running'
                        FOR UPDATE OF jobs SKIP LOCKED
                    )
                    UPDATE jobs SET lease_until = now() + make_interval(secs => $6), stage = coalesce(held.stage, jobs.stage),
                        progress_done = coalesce(held.done, jobs.progress_done),
                        progress_total = coalesce(held.total, jobs.progress_total),
                        updated_at = CASE WHEN held.stage IS NULL THEN updated_at ELSE clock_timestamp() END
                    FROM held WHERE jobs.id = held.id
                    """,
                    [
                        ids, fencing, .textArray(beats.map(\.progress?.stage)),
                        .int64Array(beats.map(\.progress?.done)),
                        .int64Array(beats.map(\.progress?.total)), .double(Double(Self.leaseSeconds)),
                    ]
                ),
                (
                    """
                    SELECT b.id FROM unnest($1::uuid[], $2::bigint[]) AS b (id, fencing)
                    LEFT JOIN jobs ON jobs.id = b.id
                    WHERE jobs.id IS NULL OR jobs.fencing <> b.fencing OR jobs.state <> 'running'
                    """, [ids, fencing]
                ),
            ])
            return Set(try results[1].map { try $0.uuid(0) })
        }
        await announce(beats.filter { $0.progress != nil }.map(\.lease.jobID))
        return lost
    }

    /// Records how a job ended, in the transaction that stores what it produced. Throws ABORTED with reason LEASE_LOST, so that the
    /// transaction rolls back, when the lease was taken away. Announce the transition after the commit.
    public static func complete(
        _ completion: JobCompletion, on connection: isolated PostgresConnection
    ) throws -> JobTransition {
        guard let transition = try completeMany([completion], on: connection).first else {
            throw Failure(
                .aborted, reason: leaseLost,
                "The worker no longer holds job \(completion.lease.jobID): it stalled, or the job was cancelled.")
        }
        return transition
    }

    /// Records how several jobs ended and returns those that were still the caller's. What the others produced must not be stored:
    /// call this first in the transaction, then store for the jobs returned.
    public static func completeMany(
        _ completions: [JobCompletion], on connection: isolated PostgresConnection
    ) throws -> [JobTransition] {
        guard !completions.isEmpty else { return [] }
        return try connection.execute(
            """
            UPDATE jobs SET state = c.state, result = c.result, reason = c.reason, message = c.message, lease_until = NULL,
                lease_owner = NULL, finished_at = clock_timestamp(), updated_at = clock_timestamp(), stage = '',
                progress_done = coalesce(c.count, progress_done), progress_total = coalesce(c.count, progress_total)
            FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::bigint[])
                AS c (id, fencing, state, result, reason, message, count)
            WHERE jobs.id = c.id AND jobs.fencing = c.fencing AND jobs.state = 'running'
            RETURNING jobs.id, jobs.kind, jobs.state
            """,
            [
                .uuidArray(completions.map(\.lease.jobID)), .int64Array(completions.map(\.lease.fencing)),
                .textArray(completions.map(\.state.rawValue)), .jsonArray(completions.map(\.result)),
                .textArray(completions.map(\.reason)), .textArray(completions.map(\.message)),
                .int64Array(completions.map(\.count)),
            ]
        ).map(JobTransition.init)
    }

    /// Records that an attempt failed: back to the queue with a delay when `retryable` and attempts are left, else `dead`
    /// (retryable) or `failed`. Throws ABORTED with reason LEASE_LOST. Announce the transition after the commit.
    /// - Parameter progress: how far the attempt came, which a job that ends with it keeps; nil for what was told last.
    public static func fail(
        _ lease: JobLease, _ failure: Failure, retryable: Bool, progress: JobProgress? = nil,
        on connection: isolated PostgresConnection
    ) throws -> JobTransition {
        let delay = RetryDelay.milliseconds(attempt: lease.attempt, jitter: Double.random(in: 0..<1))
        let rows = try connection.execute(
            """
            UPDATE jobs SET
                state = CASE WHEN NOT $3 THEN 'failed' WHEN attempt >= attempts_max THEN 'dead' ELSE 'queued' END,
                run_at = CASE WHEN $3 AND attempt < attempts_max THEN now() + make_interval(secs => $4) ELSE run_at END,
                finished_at = CASE WHEN $3 AND attempt < attempts_max THEN NULL ELSE clock_timestamp() END,
                lease_until = NULL, lease_owner = NULL, reason = $5, message = $6, updated_at = clock_timestamp(),
                stage = CASE WHEN $3 AND attempt < attempts_max THEN '' ELSE coalesce($7, stage) END,
                progress_done = CASE WHEN $3 AND attempt < attempts_max THEN 0 ELSE coalesce($8, progress_done) END,
                progress_total = CASE WHEN $3 AND attempt < attempts_max THEN 0 ELSE coalesce($9, progress_total) END
            WHERE id = $1 AND fencing = $2 AND state = 'running'
            RETURNING id, kind, state
            """,
            [
                .uuid(lease.jobID), .int64(lease.fencing), .bool(retryable), .double(Double(delay) / 1000),
                .text(failure.reason.isEmpty ? failure.code.name : failure.reason), .text(failure.message),
                .text(progress?.stage), .int64(progress?.done), .int64(progress?.total),
            ])
        guard let row = rows.first else {
            throw Failure(
                .aborted, reason: leaseLost,
                "The worker no longer holds job \(lease.jobID): its failure was not recorded.")
        }
        return try JobTransition(row)
    }

    /// `fail` in a transaction of its own, announced.
    public func fail(_ lease: JobLease, _ failure: Failure, retryable: Bool) async throws -> JobTransition {
        let transition = try await database.run { try Self.fail(lease, failure, retryable: retryable, on: $0) }
        await announce([transition])
        return transition
    }
}

/// How long a job waits after a failed attempt: 1 s doubling to 5 minutes, half of it random so that jobs that failed together
/// do not come back together.
enum RetryDelay {
    static let firstMs = 1000
    static let lastMs = 300_000

    /// - Parameters:
    ///   - attempt: the attempt that failed, from 1.
    ///   - jitter: from 0 up to but not including 1.
    static func milliseconds(attempt: Int, jitter: Double) -> Int {
        let limit = min(lastMs, firstMs << min(20, max(0, attempt - 1)))
        return limit / 2 + Int(Double(limit / 2) * jitter)
    }
}

extension JobTransition {
    /// Decodes (id, kind, state).
    init(_ row: Row) throws {
        guard let state = JobState(rawValue: try row.text(2)) else {
            throw Failure(.internalError, reason: "JOB_STATE", "A job has a state that this version does not know.")
        }
        self.init(id: try row.uuid(0), kind: try row.text(1), state: state)
    }
}
