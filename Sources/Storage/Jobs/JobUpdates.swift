internal import Core

/// Snapshots of jobs as they change; made by `JobQueue.updates`.
///
/// Nothing runs between two calls of `next`, so a slow reader sees fewer snapshots instead of a growing buffer; the last snapshot of
/// every job is never skipped.
public struct JobUpdates: AsyncSequence, Sendable {
    /// A change is seen after this long even if no news of it arrives: with Redis, and without.
    private static let pollMs = 1000
    private static let pollWithoutRedisMs = 150

    let queue: JobQueue
    let ids: [UUIDv7]
    let subscription: JobEvents.Subscription

    public func makeAsyncIterator() -> Iterator { Iterator(self) }

    public struct Iterator: AsyncIteratorProtocol {
        private let updates: JobUpdates
        private var unfinished: Set<UUIDv7>
        private var seen: [UUIDv7: Job] = [:]
        private var ready: [Job] = []
        private var isFirst = true

        init(_ updates: JobUpdates) {
            self.updates = updates
            unfinished = Set(updates.ids)
        }

        /// Throws NOT_FOUND when a job does not exist, CancellationError when the task is cancelled, and what the database throws.
        public mutating func next() async throws -> Job? {
            while ready.isEmpty {
                guard !unfinished.isEmpty else { return nil }
                if !isFirst {
                    let pollMs = updates.queue.isListening ? JobUpdates.pollMs : JobUpdates.pollWithoutRedisMs
                    await updates.subscription.signal.wait(.milliseconds(pollMs))
                    try Task.checkCancellation()
                }
                try await look()
                isFirst = false
            }
            return ready.removeFirst()
        }

        private mutating func look() async throws {
            let jobs = try await updates.queue.get(Array(unfinished))
            if jobs.count < unfinished.count {
                let missing = unfinished.subtracting(jobs.map(\.id)).min()
                throw missing.map(JobQueue.notFound) ?? CancellationError()
            }
            for job in jobs.sorted(by: { $0.id < $1.id }) where isNews(job) {
                seen[job.id] = job
                ready.append(job)
                if job.state.isTerminal { unfinished.remove(job.id) }
            }
        }

        /// A heartbeat moves only the lease, which is not worth a snapshot.
        private func isNews(_ job: Job) -> Bool {
            guard let last = seen[job.id] else { return true }
            return last.updatedAt != job.updatedAt || last.state != job.state
        }
    }
}
