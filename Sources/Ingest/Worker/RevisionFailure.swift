internal import Core
internal import Storage

/// Jobs that do not end well, and what that means for their revisions.
enum RevisionFailure {
    /// Records a failed attempt, and with the last one that the revision failed.
    /// - Throws: ABORTED with reason LEASE_LOST.
    static func record(
        _ lease: JobLease, _ failure: Failure, isRetryable: Bool, progress: JobProgress? = nil,
        on connection: isolated PostgresConnection
    ) throws -> JobTransition {
        var told = failure
        // A job keeps one text: what happened and what to do.
        if !failure.remedy.isEmpty { told.message += " \(failure.remedy)" }
        let transition = try JobQueue.fail(
            lease, told, retryable: isRetryable, progress: progress, on: connection)
        if transition.state.isTerminal {
            try connection.execute(
                """
                UPDATE revisions SET state = 'failed', reason = j.reason, message = j.message
                FROM jobs j WHERE j.id = $1 AND revisions.id = j.revision_id AND revisions.state = 'pending'
                """, [.uuid(lease.jobID)])
        }
        return transition
    }

    /// Marks revisions whose job ended elsewhere without publishing them: its last lease ran out, or it was cancelled.
    static func recordEnded(on connection: isolated PostgresConnection) throws {
        try connection.execute(
            """
            UPDATE revisions SET state = 'failed', reason = j.reason, message = j.message
            FROM jobs j WHERE j.state IN ('dead', 'cancelled', 'failed') AND revisions.id = j.revision_id
                AND revisions.state = 'pending' AND j.reason <> ''
                AND NOT EXISTS (
                    SELECT 1 FROM jobs o WHERE o.revision_id = revisions.id AND o.state IN ('queued', 'running')
                )
            """)
    }

    /// Gives jobs back that were claimed and not finished: this was no attempt.
    static func release(_ leases: [JobLease], on connection: isolated PostgresConnection) throws {
        try connection.execute(
            """
            UPDATE jobs SET state = 'queued', attempt = greatest(attempt - 1, 0), run_at = now(), lease_until = NULL,
                lease_owner = NULL, stage = '', progress_done = 0, progress_total = 0, updated_at = clock_timestamp()
            FROM unnest($1::uuid[], $2::bigint[]) AS l (id, fencing)
            WHERE jobs.id = l.id AND jobs.fencing = l.fencing AND jobs.state = 'running'
            """, [.uuidArray(leases.map(\.jobID)), .int64Array(leases.map(\.fencing))])
    }
}
