internal import Core
internal import Storage
internal import Synchronization

/// The jobs a worker holds: what each is doing, how much memory they may take together, and their tasks.
final class WorkLedger: Sendable {
    private struct Entry {
        var lease: JobLease
        /// Estimate of the memory it takes, in bytes.
        var cost: Int
        var stage = "received"
        /// The stage was not told yet.
        var isNews = false
        var startedAt: MonotonicTime
        var task: Task<Void, Never>?
        /// Someone else has the job now.
        var isLost = false
    }

    private struct State {
        var entries: [UUIDv7: Entry] = [:]
        var cost = 0
        var isStopping = false
    }

    private let state = Mutex(State())
    /// Set whenever a job is done with.
    let freed = Nudge()

    var count: Int { state.withLock { $0.entries.count } }
    var isStopping: Bool { state.withLock { $0.isStopping } }
    var leases: [JobLease] { state.withLock { $0.entries.values.map(\.lease) } }

    func stop() {
        state.withLock { $0.isStopping = true }
        freed.set()
    }

    /// Takes up claimed jobs, before their tasks exist: their leases have to be kept from now on.
    func add(_ leases: [JobLease]) {
        let now = MonotonicTime.now()
        state.withLock { state in
            for lease in leases { state.entries[lease.jobID] = Entry(lease: lease, cost: 0, startedAt: now) }
        }
    }

    /// Whether another job of this cost may begin; one always may.
    func hasRoom(cost: Int, costMax: Int) -> Bool {
        state.withLock { $0.cost == 0 || $0.cost + cost <= costMax }
    }

    /// Returns false when the job was lost before it began.
    func begin(_ id: UUIDv7, cost: Int) -> Bool {
        state.withLock { state in
            guard var entry = state.entries[id], !entry.isLost else { return false }
            entry.cost = cost
            entry.stage = "extracting"
            entry.isNews = true
            state.cost += cost
            state.entries[id] = entry
            return true
        }
    }

    /// Tells which task to cancel when the job is lost.
    func attach(_ task: Task<Void, Never>, to id: UUIDv7) {
        let isLost = state.withLock { state in
            state.entries[id]?.task = task
            return state.entries[id]?.isLost == true
        }
        if isLost { task.cancel() }
    }

    func enter(_ stage: String, _ id: UUIDv7) {
        state.withLock { state in
            state.entries[id]?.stage = stage
            state.entries[id]?.isNews = true
        }
    }

    func isLost(_ id: UUIDv7) -> Bool { state.withLock { $0.entries[id]?.isLost ?? true } }

    func remove(_ id: UUIDv7) {
        state.withLock { state in
            if let entry = state.entries.removeValue(forKey: id) { state.cost -= entry.cost }
        }
        freed.set()
    }

    /// Heartbeats to send: stages of jobs that have run for `quietFor` (most are done before anybody could look), and everything when `all`.
    func heartbeats(all: Bool, quietFor: Duration) -> [JobHeartbeat] {
        let now = MonotonicTime.now()
        return state.withLock { state in
            var beats: [JobHeartbeat] = []
            for (id, entry) in state.entries where !entry.isLost {
                let tells = entry.isNews && entry.startedAt.duration(to: now) >= quietFor
                guard tells || all else { continue }
                if tells { state.entries[id]?.isNews = false }
                beats.append(JobHeartbeat(entry.lease, progress: tells ? JobProgress(stage: entry.stage) : nil))
            }
            return beats
        }
    }

    /// Abandons jobs that belong to someone else now.
    func lose(_ ids: Set<UUIDv7>) {
        let tasks = state.withLock { state in
            ids.compactMap { id -> Task<Void, Never>? in
                state.entries[id]?.isLost = true
                return state.entries[id]?.task
            }
        }
        for task in tasks { task.cancel() }
    }

    /// Cancels whatever still runs and returns the tasks.
    func cancelAll() -> [Task<Void, Never>] {
        let tasks = state.withLock { $0.entries.values.compactMap(\.task) }
        for task in tasks { task.cancel() }
        return tasks
    }
}
