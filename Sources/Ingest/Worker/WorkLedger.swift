internal import Core
internal import Storage
internal import Synchronization

/// What happens to a document on its way, in this order.
enum IngestStage: String, Sendable {
    case received, extracting, chunking, publishing
    /// Told by the job's state, never by a worker.
    case published
}

/// The jobs a worker holds: what each is doing, how much memory they may take together, and their tasks.
final class WorkLedger: Sendable {
    private struct Entry {
        var lease: JobLease
        /// Estimate of the memory it takes, in bytes.
        var cost: Int
        var stage = IngestStage.received
        /// Within the stage; `total` is 0 while unknown.
        var done: Int64 = 0
        var total: Int64 = 0
        /// Stage and progress were not told yet.
        var isNews = false
        var startedAt: MonotonicTime
        var task: Task<Void, Never>?
        /// Someone else has the job now.
        var isLost = false

        var progress: JobProgress { JobProgress(stage: stage.rawValue, done: done, total: total) }
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
            entry.stage = .extracting
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

    /// The next stage begins, with nothing of it done.
    /// - Parameter total: how much there is to do; 0 when that is not known yet.
    func enter(_ stage: IngestStage, _ id: UUIDv7, total: Int = 0) {
        state.withLock { state in
            state.entries[id]?.stage = stage
            state.entries[id]?.done = 0
            state.entries[id]?.total = Int64(total)
            state.entries[id]?.isNews = true
        }
    }

    /// So much of the stage is done. Nothing is ever taken back, and news of a stage that has passed is none.
    func advance(_ stage: IngestStage, _ id: UUIDv7, done: Int, total: Int) {
        state.withLock { state in
            guard var entry = state.entries[id], entry.stage == stage, entry.done < done || entry.total < total else {
                return
            }
            entry.done = max(entry.done, Int64(done))
            entry.total = max(entry.total, Int64(total))
            entry.isNews = true
            state.entries[id] = entry
        }
    }

    /// How far a job is; nil when it is not held.
    func progress(of id: UUIDv7) -> JobProgress? { state.withLock { $0.entries[id]?.progress } }

    func isLost(_ id: UUIDv7) -> Bool { state.withLock { $0.entries[id]?.isLost ?? true } }

    func remove(_ id: UUIDv7) {
        state.withLock { state in
            if let entry = state.entries.removeValue(forKey: id) { state.cost -= entry.cost }
        }
        freed.set()
    }

    /// Heartbeats to send: stages and progress of jobs that have run for `quietFor` (most are done before anybody could look), and everything when `all`.
    func heartbeats(all: Bool, quietFor: Duration) -> [JobHeartbeat] {
        let now = MonotonicTime.now()
        return state.withLock { state in
            var beats: [JobHeartbeat] = []
            for (id, entry) in state.entries where !entry.isLost {
                let tells = entry.isNews && entry.startedAt.duration(to: now) >= quietFor
                guard tells || all else { continue }
                if tells { state.entries[id]?.isNews = false }
                beats.append(JobHeartbeat(entry.lease, progress: tells ? entry.progress : nil))
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
