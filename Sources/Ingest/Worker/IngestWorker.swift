internal import Core
internal import Logging
internal import Storage
internal import Synchronization

/// Processes uploaded documents: claims jobs, extracts, chunks, publishes. Several may run in any number of processes.
final class IngestWorker: Sendable {
    /// Jobs held at once, per extractor slot and at least: enough that claiming and publishing happen in batches.
    private static let jobsPerSlot = 8
    private static let jobsMin = 32
    /// Estimated memory of the jobs being processed, in bytes.
    private static let memoryBytesMax = 256 << 20
    /// An original's text, blocks and chunks together take a few times its size.
    private static let memoryPerOriginalByte = 4
    private static let waitForWork = Duration.seconds(5)
    private static let waitForSpace = Duration.seconds(1)
    private static let backoffMsMax = 5000
    static let recordBackoffMsMax = 1000

    let dependencies: Dependencies
    let ledger = WorkLedger()
    let publishing: PublishQueue
    private let jobsMax: Int
    private let loops = Mutex<[Task<Void, Never>]>([])

    struct Dependencies: Sendable {
        let database: Database
        let queue: JobQueue
        let pool: ExtractorPool
        let originals: OriginalReader
        let space: FreeSpace
        /// Names the worker in `explain`.
        let owner: String
        let slots: Int
        /// How often progress is told, and how long a job runs before it is worth telling.
        let progress: Duration
        let logger: Logger
        /// Called when something became visible: followers should look.
        let published: @Sendable () -> Void
    }

    init(_ dependencies: Dependencies) {
        self.dependencies = dependencies
        jobsMax = max(Self.jobsMin, dependencies.slots * Self.jobsPerSlot)
        publishing = PublishQueue(publisher: RevisionPublisher(database: dependencies.database)) { result in
            if result.outcomes.values.contains(.published) { dependencies.published() }
            await dependencies.queue.announce(result.transitions)
        }
    }

    func start() {
        dependencies.queue.reportSizes(ofKinds: [DocumentStore.jobKind])
        loops.withLock { loops in
            guard loops.isEmpty else { return }
            loops = [
                Task { await self.claimJobs() }, Task { await self.sendHeartbeats() }, Task { await self.sweep() },
            ]
        }
    }

    /// Claims nothing more, lets jobs finish for `grace`, then abandons the rest and gives their leases back.
    func stop(grace: Duration) async {
        let deadline = MonotonicTime.now().advanced(by: grace)
        ledger.stop()
        let loops = self.loops.withLock { loops in
            defer { loops = [] }
            return loops
        }
        // The loop that claims first: what it holds but has not begun must be given back too.
        loops.first?.cancel()
        await loops.first?.value
        while ledger.count > 0, MonotonicTime.now() < deadline {
            await ledger.freed.wait(timeout: MonotonicTime.now().duration(to: deadline))
        }
        for task in ledger.cancelAll() { await task.value }
        for loop in loops { loop.cancel() }
        for loop in loops { await loop.value }
        await release(ledger.leases)
    }

    // MARK: Claiming

    private func claimJobs() async {
        var backoffMs = 100
        var isHeldUp = false
        while !ledger.isStopping {
            // A job that fails for want of space uses up its attempts; one that was not begun only waits.
            guard await dependencies.space.allowsProcessing() else {
                if !isHeldUp {
                    dependencies.logger.warning("disk nearly full; no job is begun until there is space")
                }
                isHeldUp = true
                try? await Task.sleep(for: Self.waitForSpace)
                continue
            }
            isHeldUp = false
            let free = jobsMax - ledger.count
            // Claims cost round trips: few large ones.
            guard free * 2 >= jobsMax else {
                await ledger.freed.wait(timeout: .seconds(1))
                continue
            }
            do {
                let claimed = try await dependencies.queue.claim(
                    owner: dependencies.owner, kinds: [DocumentStore.jobKind], limit: free)
                backoffMs = 100
                if claimed.isEmpty {
                    await dependencies.queue.waitForWork(timeout: Self.waitForWork)
                } else {
                    ledger.add(claimed.map(\.lease))
                    await begin(claimed)
                }
            } catch {
                if ledger.isStopping { return }
                dependencies.logger.warning(
                    "jobs cannot be claimed", metadata: ["error": "\(Failure(wrapping: error))"])
                try? await Task.sleep(for: .milliseconds(Int.random(in: backoffMs / 2...backoffMs)))
                backoffMs = min(backoffMs * 2, Self.backoffMsMax)
            }
        }
    }

    private func begin(_ claimed: [ClaimedJob]) async {
        let inputs: [IngestInput]
        do {
            inputs = try await dependencies.database.run { try IngestInput.load(claimed, on: $0) }
        } catch {
            for claim in claimed { await giveUp(claim.lease, because: error) }
            return
        }
        let known = Set(inputs.map(\.lease.jobID))
        for claim in claimed where !known.contains(claim.job.id) {
            await giveUp(claim.lease, because: Self.aboutNothing)
        }
        for input in inputs {
            let cost = min(input.size * Self.memoryPerOriginalByte, Self.memoryBytesMax)
            while !ledger.hasRoom(cost: cost, costMax: Self.memoryBytesMax), !ledger.isStopping {
                await ledger.freed.wait(timeout: .seconds(1))
            }
            // What was claimed and not begun is given back when stopping.
            if ledger.isStopping { return }
            start(input, cost: cost)
        }
    }

    private func giveUp(_ lease: JobLease, because error: any Error) async {
        if await finish(lease, mediaType: nil, failedBy: error) { ledger.remove(lease.jobID) }
    }

    private static let aboutNothing = Failure(
        .failedPrecondition, reason: "NO_REVISION", "The job names no revision that exists.")

    private func start(_ input: IngestInput, cost: Int) {
        let id = input.lease.jobID
        guard ledger.begin(id, cost: cost) else {
            ledger.remove(id)
            return
        }
        let task = Task {
            let isDone = await CallContext.$current.withValue(input.context) { await self.process(input) }
            if isDone { self.ledger.remove(id) }
        }
        ledger.attach(task, to: id)
    }

    // MARK: Keeping leases

    private func sendHeartbeats() async {
        var lastAll = MonotonicTime.now()
        while !Task.isCancelled {
            try? await Task.sleep(for: dependencies.progress)
            let now = MonotonicTime.now()
            let all = lastAll.duration(to: now) >= .seconds(JobQueue.heartbeatSeconds)
            if all { lastAll = now }
            let beats = ledger.heartbeats(all: all, quietFor: dependencies.progress)
            guard !beats.isEmpty else { continue }
            do {
                let lost = try await dependencies.queue.heartbeat(beats)
                if !lost.isEmpty { ledger.lose(lost) }
            } catch {
                dependencies.logger.warning("heartbeat failed", metadata: ["error": "\(Failure(wrapping: error))"])
            }
        }
    }

    /// Takes jobs back from workers that fell silent, and tells revisions of jobs that nobody will finish.
    private func sweep() async {
        var tellsAll = true
        while !Task.isCancelled {
            do {
                let swept = try await dependencies.queue.sweep()
                if tellsAll || !swept.dead.isEmpty {
                    try await dependencies.database.run { try RevisionFailure.recordEnded(on: $0) }
                    tellsAll = false
                }
            } catch {
                if !Task.isCancelled {
                    dependencies.logger.warning("sweep failed", metadata: ["error": "\(Failure(wrapping: error))"])
                }
                tellsAll = true
            }
            try? await Task.sleep(for: .seconds(JobQueue.sweepSeconds))
        }
    }

    private func release(_ leases: [JobLease]) async {
        guard !leases.isEmpty else { return }
        do {
            try await dependencies.database.run { try RevisionFailure.release(leases, on: $0) }
            for lease in leases { ledger.remove(lease.jobID) }
            await dependencies.queue.wake()
        } catch {
            // Nothing is lost: the leases end by themselves.
            dependencies.logger.warning(
                "leases were not given back", metadata: ["error": "\(Failure(wrapping: error))"])
        }
    }
}
