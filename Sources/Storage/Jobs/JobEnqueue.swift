public import Core

extension JobQueue {
    /// Stores a job in the caller's transaction, so that it exists exactly when what it is about does. Call `wake` after the commit.
    ///
    /// With an idempotency key that the same principal has used before, nothing is stored and the earlier job's id is returned.
    public static func enqueue(
        _ job: NewJob, on connection: isolated PostgresConnection
    ) throws -> (id: UUIDv7, alreadyExisted: Bool) {
        try enqueue([job], on: connection)[0]
    }

    /// Stores several jobs in one round trip; results are in the order of `jobs`.
    public static func enqueue(
        _ jobs: [NewJob], on connection: isolated PostgresConnection
    ) throws -> [(id: UUIDv7, alreadyExisted: Bool)] {
        for job in jobs {
            guard (job.idempotencyKey?.utf8.count ?? 1) <= NewJob.idempotencyKeyBytesMax, job.idempotencyKey != ""
            else {
                throw Failure.invalid(
                    field: "idempotency_key", "must have 1 to \(NewJob.idempotencyKeyBytesMax) bytes")
            }
        }
        let inserted = try connection.pipeline(jobs.map(insert))
        var results: [(id: UUIDv7, alreadyExisted: Bool)] = []
        for (job, rows) in zip(jobs, inserted) {
            if rows.isEmpty {
                results.append((try existing(job, on: connection), true))
            } else {
                results.append((job.id, false))
            }
        }
        return results
    }

    private static func insert(_ job: NewJob) -> (StaticString, [SQLValue]) {
        (
            """
            INSERT INTO jobs (id, kind, payload, priority, attempts_max, run_at, idempotency_key, traceparent, request_id,
                principal_id, document_id, revision_id)
            VALUES ($1, $2, $3, $4, $5, coalesce($6, now()), $7, $8, $9, $10, $11, $12)
            ON CONFLICT (principal_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
            RETURNING id
            """,
            [
                .uuid(job.id), .text(job.kind), .json(job.payload), .int(job.priority), .int(job.attemptsMax),
                .time(job.runAt), .text(job.idempotencyKey), .text(job.traceparent), .text(job.requestID),
                .uuid(job.principalID), .uuid(job.documentID), .uuid(job.revisionID),
            ]
        )
    }

    /// The insert waited for a concurrent one with the same key to commit, so a new statement sees it.
    private static func existing(_ job: NewJob, on connection: isolated PostgresConnection) throws -> UUIDv7 {
        try connection.execute(
            "SELECT id FROM jobs WHERE principal_id IS NOT DISTINCT FROM $1 AND idempotency_key = $2",
            [.uuid(job.principalID), .text(job.idempotencyKey)]
        ).one().uuid(0)
    }
}
