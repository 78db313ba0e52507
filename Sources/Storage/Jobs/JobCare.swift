public import Core

/// What one sweep did.
public struct JobSweep: Sendable, Hashable {
    /// Jobs that go to another worker because theirs fell silent.
    public var requeued: [JobTransition]
    /// Jobs whose last attempt fell silent. What they belong to has to be told.
    public var dead: [JobTransition]
}

extension JobQueue {
    /// Gives up a job that has not ended. A worker that runs it cannot commit any more and learns it from its next heartbeat.
    /// Throws NOT_FOUND, or FAILED_PRECONDITION when it has ended. Announce the transition after the commit.
    public static func cancel(_ id: UUIDv7, on connection: isolated PostgresConnection) throws -> JobTransition {
        let rows = try connection.execute(
            """
            UPDATE jobs SET state = 'cancelled', reason = 'CANCELLED', message = 'Cancelled on request.', lease_until = NULL,
                lease_owner = NULL, finished_at = clock_timestamp(), updated_at = clock_timestamp()
            WHERE id = $1 AND state IN ('queued', 'running')
            RETURNING id, kind, state
            """, [.uuid(id)])
        if let row = rows.first { return try JobTransition(row) }
        guard let job = try load([id], on: connection).first else { throw notFound(id) }
        throw Failure(
            .failedPrecondition, reason: "JOB_ENDED",
            "Job \(id) cannot be cancelled: it has ended (\(job.state.rawValue)).")
    }

    /// Puts a job that ended without full success back into the queue, with all its attempts. Throws NOT_FOUND, or
    /// FAILED_PRECONDITION when it succeeded or has not ended. Call `wake` after the commit.
    public static func retry(_ id: UUIDv7, on connection: isolated PostgresConnection) throws -> JobTransition {
        let rows = try connection.execute(
            """
            UPDATE jobs SET state = 'queued', attempt = 0, run_at = now(), reason = '', message = '', result = NULL,
                finished_at = NULL, updated_at = clock_timestamp(), stage = '', progress_done = 0, progress_total = 0
            WHERE id = $1 AND state IN ('failed', 'dead', 'partial', 'cancelled')
            RETURNING id, kind, state
            """, [.uuid(id)])
        if let row = rows.first { return try JobTransition(row) }
        guard let job = try load([id], on: connection).first else { throw notFound(id) }
        throw Failure(
            .failedPrecondition, reason: "JOB_NOT_RETRYABLE",
            "Job \(id) cannot be retried: it is \(job.state.rawValue).",
            remedy: "Only failed, dead, partial and cancelled jobs can be retried.")
    }

    /// `cancel` in a transaction of its own, announced.
    public func cancel(_ id: UUIDv7) async throws -> JobTransition {
        let transition = try await database.transaction { try Self.cancel(id, on: $0) }
        await announce([transition])
        return transition
    }

    /// `retry` in a transaction of its own, announced, with a wake-up.
    public func retry(_ id: UUIDv7) async throws -> JobTransition {
        let transition = try await database.transaction { try Self.retry(id, on: $0) }
        await announce([transition])
        await wake()
        return transition
    }

    /// Takes jobs back from workers whose lease ended: to the queue, or `dead` when no attempt is left.
    /// - Parameter on: joined to what the caller has to change for the dead ones.
    public static func sweep(on connection: isolated PostgresConnection) throws -> JobSweep {
        let transitions = try connection.execute(
            """
            WITH silent AS MATERIALIZED (
                SELECT id FROM jobs WHERE state = 'running' AND lease_until < now()
                ORDER BY lease_until LIMIT $1 FOR UPDATE SKIP LOCKED
            )
            UPDATE jobs SET state = CASE WHEN attempt >= attempts_max THEN 'dead' ELSE 'queued' END, run_at = now(),
                finished_at = CASE WHEN attempt >= attempts_max THEN clock_timestamp() END, lease_until = NULL,
                lease_owner = NULL, reason = 'LEASE_EXPIRED', updated_at = clock_timestamp(),
                message = 'The worker stopped answering during attempt ' || attempt || '.',
                stage = CASE WHEN attempt >= attempts_max THEN stage ELSE '' END,
                progress_done = CASE WHEN attempt >= attempts_max THEN progress_done ELSE 0 END,
                progress_total = CASE WHEN attempt >= attempts_max THEN progress_total ELSE 0 END
            FROM silent WHERE jobs.id = silent.id RETURNING jobs.id, jobs.kind, jobs.state
            """, [.int(batchMax)]
        ).map(JobTransition.init)
        return JobSweep(
            requeued: transitions.filter { $0.state == .queued }, dead: transitions.filter { $0.state == .dead })
    }

    /// Ends the leases of a worker that is known to be dead, so that the next sweep takes its jobs back and nobody waits for them to end.
    /// Should it live after all, its fencing tokens keep it from storing anything once the jobs are claimed again.
    public func endLeases(of owner: String) async throws {
        _ = try await database.run { connection in
            try connection.execute(
                """
                UPDATE jobs SET lease_until = now()
                WHERE state = 'running' AND lease_owner = $1 AND lease_until > now()
                """, [.text(owner)])
        }
    }

    /// `sweep` in a transaction of its own, announced, with a wake-up when there is work; also publishes the queue's size.
    public func sweep() async throws -> JobSweep {
        let swept = try await database.transaction { try Self.sweep(on: $0) }
        await announce(swept.requeued + swept.dead)
        if !swept.requeued.isEmpty { await wake() }
        try await recordSizes()
        return swept
    }

    /// Has the sizes of these queues in the metrics from the next sweep on, also while they are empty.
    public func reportSizes(ofKinds kinds: [String]) { sizeMetrics.watch(kinds) }

    /// Publishes `acp_queue_size` per kind: ready (due), delayed, running.
    private func recordSizes() async throws {
        let rows = try await database.run { connection in
            try connection.execute(
                """
                SELECT kind, count(*) FILTER (WHERE state = 'queued' AND run_at <= now()),
                    count(*) FILTER (WHERE state = 'queued' AND run_at > now()), count(*) FILTER (WHERE state = 'running')
                FROM jobs WHERE state IN ('queued', 'running') GROUP BY kind
                """)
        }
        var sizes: [String: [Int64]] = [:]
        for row in rows { sizes[try row.text(0)] = [try row.int64(1), try row.int64(2), try row.int64(3)] }
        sizeMetrics.record(sizes)
    }

    /// Where a job is in the queue, why, and when it is tried next. Throws NOT_FOUND.
    public func explain(_ id: UUIDv7) async throws -> JobExplanation {
        try await database.transaction(.readOnlySnapshot) { connection in
            guard let job = try Self.load([id], on: connection).first else { throw Self.notFound(id) }
            let counts = try connection.pipeline([
                (
                    """
                    SELECT count(*) FROM (
                        SELECT 1 FROM jobs WHERE state = 'queued' AND run_at <= now()
                            AND (priority > $1 OR (priority = $1 AND (run_at, id) < ($2, $3))) LIMIT $4
                    ) AS ahead
                    """, [.int(job.priority), .time(job.runAt), .uuid(id), .int(Self.positionMax)]
                ),
                ("SELECT count(*) FROM jobs WHERE state = 'running'", []),
                ("SELECT now()", []),
            ])
            let ahead = try counts[0].one().int(0)
            let isDue = job.runAt <= (try counts[2].one().time(0))
            return JobExplanation(
                job: job, ahead: job.state == .queued && isDue ? ahead : nil, running: try counts[1].one().int(0),
                nextAttempt: job.state == .queued ? job.runAt : nil,
                summary: Self.summary(of: job, ahead: isDue ? ahead : nil))
        }
    }

    private static func summary(of job: Job, ahead: Int?) -> String {
        let last = job.message.isEmpty ? "" : " \(job.reason): \(job.message)"
        switch job.state {
        case .queued:
            guard let ahead else {
                return
                    "Attempt \(job.attempt) of \(job.attemptsMax) failed; the next is at \(job.runAt.rfc3339).\(last)"
            }
            return ahead == 0 ? "Next in the queue.\(last)" : "\(ahead) jobs are ahead in the queue.\(last)"
        case .running:
            let stage = job.stage.isEmpty ? "" : ", stage \(job.stage)"
            return "Attempt \(job.attempt) of \(job.attemptsMax) is running on \(job.leaseOwner ?? "a worker")\(stage)."
        case .succeeded: return "Done."
        case .partial: return "Done in part.\(last)"
        case .failed: return "Failed; repeating it unchanged would fail again.\(last)"
        case .dead: return "Failed \(job.attempt) times and will not be tried again by itself.\(last)"
        case .cancelled: return "Cancelled."
        }
    }
}
