internal import Core
internal import RPC

/// Waits until jobs have ended and what they published is searchable.
struct JobWaiter: Sendable {
    /// Jobs that are watched one by one; more are looked up a page at a time, so that a thousand files do not mean a thousand streams.
    static let watchedMax = 16
    private static let pageSize: UInt32 = 1000
    private static let pollFirst = Duration.milliseconds(50)
    private static let pollLast = Duration.milliseconds(500)

    let client: IngestClient
    /// How long the service may be away before waiting is given up.
    let timeout: Duration

    /// Calls `updated` with each job when it has ended, and with those that are watched one by one as they change.
    /// - Throws: `Failure` when the service stays away longer than `timeout`.
    func wait(for ids: Set<String>, updated: @escaping @Sendable (Job) -> Void) async throws {
        var pending = ids
        var pause = Self.pollFirst
        while pending.count > Self.watchedMax {
            let ended = try await repeating { [pending] in try await endedJobs(among: pending) }
            for job in ended {
                pending.remove(job.id)
                updated(job)
            }
            pause = ended.isEmpty ? min(pause * 2, Self.pollLast) : Self.pollFirst
            if pending.count > Self.watchedMax { try await Task.sleep(for: pause) }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for id in pending {
                group.addTask { _ = try await watch(id, progress: updated) }
            }
            try await group.waitForAll()
        }
    }

    /// Follows one job to its end.
    func watch(_ id: String, progress: @Sendable (Job) -> Void) async throws -> Job {
        try await repeating {
            let updates = try await client.watchJob(GetJobRequest(id: id))
            var last: Job?
            for try await job in updates {
                progress(job)
                last = job
            }
            guard let last, last.isFinished else {
                throw Failure(.unavailable, reason: "WATCH_ENDED", "The ingest service stopped reporting on job \(id).")
            }
            return last
        }
    }

    /// Returns once the index has everything that is committed now.
    func waitUntilSearchable() async throws {
        let target = try await repeating { try await status() }.logSequence
        var pause = Duration.milliseconds(5)
        while try await repeating({ try await status() }).indexSequence < target {
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(200))
        }
    }

    private func status() async throws -> GetStatusResponse {
        try await client.getStatus(GetStatusRequest(), options: CallOptions(timeout: timeout))
    }

    /// The jobs of `pending` that have ended. Newest first, so the pages end once all of `pending` were seen.
    private func endedJobs(among pending: Set<String>) async throws -> [Job] {
        var ended: [Job] = []
        var seen = 0
        var request = ListJobsRequest(pageSize: Self.pageSize)
        repeat {
            let page = try await client.listJobs(request, options: CallOptions(timeout: timeout))
            for job in page.jobs where pending.contains(job.id) {
                seen += 1
                if job.isFinished { ended.append(job) }
            }
            request.pageToken = page.nextPageToken
        } while seen < pending.count && !request.pageToken.isEmpty
        return ended
    }

    /// Repeats `body` while the service cannot be reached, for `timeout`: what was acknowledged survives a restart, so it pays to wait.
    private func repeating<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        var givingUp: MonotonicTime?
        while true {
            do {
                return try await body()
            } catch let failure as Failure where failure.code == .unavailable {
                let limit = givingUp ?? MonotonicTime.now().advanced(by: timeout)
                givingUp = limit
                guard MonotonicTime.now() < limit else { throw failure }
                try await Task.sleep(for: .milliseconds(250))
            }
        }
    }
}
