internal import Metrics
internal import Synchronization

/// The queue's metrics. Kinds come from the code that enqueues, so the label is from a closed set.
enum JobMetrics {
    static func finished(kind: String, state: JobState) {
        Counter(label: "acp_jobs_finished_total", dimensions: [("queue", kind), ("state", state.rawValue)]).increment()
    }
}

/// Remembers which kinds were reported or are worked on, so that a queue that drained goes to 0 instead of staying at its last size, and
/// one that nothing was put into yet is seen to be empty.
final class QueueSizeMetrics: Sendable {
    private static let states = ["ready", "delayed", "running"]
    private let known = Mutex<Set<String>>([])

    /// Reports these kinds from now on, empty or not.
    func watch(_ kinds: [String]) { known.withLock { $0.formUnion(kinds) } }

    /// - Parameter sizes: per kind, in the order of `states`.
    func record(_ sizes: [String: [Int64]]) {
        let kinds = known.withLock { known in
            known.formUnion(sizes.keys)
            return known
        }
        for kind in kinds {
            for (index, state) in Self.states.enumerated() {
                Gauge(label: "acp_queue_size", dimensions: [("queue", kind), ("state", state)])
                    .record(sizes[kind]?[index] ?? 0)
            }
        }
    }
}
