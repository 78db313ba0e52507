internal import Core
public import NIOCore
public import NIOPosix
internal import Synchronization

/// Runs Swift tasks on an event loop, so that a call's handler runs where its bytes are and no thread is woken for it.
///
/// Jobs that are enqueued on the loop itself are kept in a list that connections drain before they flush: the replies of all
/// handlers that a read woke leave in one write.
public final class LoopExecutor: TaskExecutor, @unchecked Sendable {
    public let loop: any EventLoop
    // Confined to the loop.
    @exclusivity(unchecked) private var jobs: [UnownedJob] = []
    @exclusivity(unchecked) private var isScheduled = false
    @exclusivity(unchecked) private var batchDepth = 0
    /// Whose bytes made the jobs ready.
    @exclusivity(unchecked) private var reading: Connection?

    init(loop: any EventLoop) { self.loop = loop }

    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        guard loop.inEventLoop else {
            loop.execute { unowned.runSynchronously(on: self.asUnownedTaskExecutor()) }
            return
        }
        jobs.append(unowned)
        guard batchDepth == 0, !isScheduled else { return }
        isScheduled = true
        loop.execute {
            self.isScheduled = false
            self.drain()
        }
    }

    /// Runs `body` and then every job that it made ready, with a look at `connection` after each. Must be on the loop.
    func batch(for connection: Connection, _ body: () -> Void) {
        loop.assertInEventLoop()
        batchDepth += 1
        body()
        batchDepth -= 1
        guard batchDepth == 0 else { return }
        reading = connection
        drain()
        reading = nil
    }

    /// Jobs a drain may run before it yields to the loop: a handler that keeps waking itself must not starve the sockets.
    private static let jobsPerDrainMax = 10_000

    private func drain() {
        batchDepth += 1
        defer { batchDepth -= 1 }
        guard !jobs.isEmpty else { return }
        let executor = asUnownedTaskExecutor()
        var index = 0
        while index < jobs.count, index < Self.jobsPerDrainMax {
            jobs[index].runSynchronously(on: executor)
            index += 1
            reading?.flushIfLarge()
        }
        if index == jobs.count { jobs.removeAll(keepingCapacity: true) } else { jobs.removeFirst(index) }
        if !jobs.isEmpty, !isScheduled {
            isScheduled = true
            loop.execute {
                self.isScheduled = false
                self.drain()
            }
        }
    }
}

/// The event loops that servers and clients of one process share, with what belongs to each loop.
public final class RPCRuntime: Sendable {
    /// The loops.
    public let group: MultiThreadedEventLoopGroup
    private let contexts: [ObjectIdentifier: LoopContext]

    /// Starts `threads` loops, 1 to 64.
    public init(threads: Int = 1) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: min(max(threads, 1), 64))
        var contexts: [ObjectIdentifier: LoopContext] = [:]
        for loop in group.makeIterator() { contexts[ObjectIdentifier(loop)] = LoopContext(loop: loop) }
        self.contexts = contexts
    }

    /// Stops the loops. Servers and clients must have been shut down before.
    public func shutdown() async {
        // The only error is "already shut down", which is what is wanted.
        try? await group.shutdownGracefully()
    }

    /// The executor of one of this runtime's loops.
    public func executor(of loop: any EventLoop) -> LoopExecutor { context(of: loop).executor }

    func context(of loop: any EventLoop) -> LoopContext {
        guard let context = contexts[ObjectIdentifier(loop)] else {
            preconditionFailure("the event loop belongs to another runtime")
        }
        return context
    }
}

/// Runs CPU-heavy synchronous work on the global executor, so that an event loop never waits for it.
public func offLoop<T: Sendable>(_ body: @Sendable @escaping () throws -> T) async throws -> T {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
        try await runHere(body)
    }
}

@concurrent
private func runHere<T: Sendable>(_ body: @Sendable () throws -> T) async throws -> T { try body() }
