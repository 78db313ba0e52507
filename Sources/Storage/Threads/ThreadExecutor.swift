internal import Core

/// A serial executor that is one operating-system thread, for actors that call blocking C libraries.
///
/// The thread keeps the executor alive until `stop()`, which the owning actor calls from its `deinit`.
final class ThreadExecutor: SerialExecutor {
    private struct Queue {
        var jobs: [UnownedJob] = []
        var isStopped = false
    }

    private let queue = Monitor(Queue())

    /// Starts the thread. Throws RESOURCE_EXHAUSTED when the system has no thread left.
    init() throws {
        try BlockingThread.start { [self] in run() }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.update { $0.jobs.append(job) }
    }

    /// Lets the thread end once everything enqueued has run.
    func stop() {
        queue.update { $0.isStopped = true }
    }

    private func run() {
        let executor = asUnownedSerialExecutor()
        while true {
            let batch = queue.wait { queue -> [UnownedJob]? in
                if queue.jobs.isEmpty { return queue.isStopped ? [] : nil }
                defer { queue.jobs.removeAll(keepingCapacity: true) }
                return queue.jobs
            }
            guard let batch, !batch.isEmpty else { return }
            for job in batch { job.runSynchronously(on: executor) }
        }
    }
}
