internal import Core
internal import Logging
internal import Synchronization

/// The parts of a process in the order of their dependencies: started in that order, stopped in reverse, within a bound.
public final class Lifecycle: Sendable {
    /// One part, e.g. a database pool or a listening server.
    public struct Component: Sendable {
        public let name: String
        /// How long stopping it may take; what is left of the whole bound may be less.
        public let stopLimit: Duration
        /// Returns when the part is ready to be used by the ones after it.
        public let start: @Sendable () async throws -> Void
        /// Finishes work in flight and releases everything; cancelled when its time is over.
        public let stop: @Sendable () async throws -> Void

        public init(
            _ name: String, stopLimit: Duration = .seconds(10),
            start: @escaping @Sendable () async throws -> Void = {},
            stop: @escaping @Sendable () async throws -> Void = {}
        ) {
            self.name = name
            self.stopLimit = stopLimit
            self.start = start
            self.stop = stop
        }
    }

    /// A part that did not stop as it should.
    public struct StopProblem: Sendable, Hashable {
        public let component: String
        public let cause: String
    }

    /// Longest time that stopping everything takes.
    public let stopLimit: Duration
    private let logger: Logger
    private let state = Mutex(State.idle([]))

    private enum State {
        /// Parts may be added. → starting
        case idle([Component])
        /// `start` runs and owns what is up so far. → running, stopped
        case starting
        /// All are up. → stopped
        case running([Component])
        /// Being stopped, or stopped. No way out.
        case stopped
    }

    /// - Parameter stopLimit: the setting `drain.seconds`.
    public init(stopLimit: Duration = .seconds(10)) {
        self.stopLimit = stopLimit
        logger = Logger(label: "acp.lifecycle")
    }

    /// Adds a part that may use all parts added before it.
    /// - Precondition: nothing has been started yet.
    public func add(_ component: Component) {
        state.withLock { state in
            guard case .idle(let components) = state else {
                preconditionFailure("\(component.name) was added after the start")
            }
            state = .idle(components + [component])
        }
    }

    /// Starts all parts in order. When one fails or the task is cancelled, those that were started are stopped again.
    /// - Throws: what the part threw, or `CancellationError`.
    public func start() async throws {
        let components = state.withLock { state -> [Component] in
            guard case .idle(let components) = state else { preconditionFailure("a lifecycle is started once") }
            state = .starting
            return components
        }
        var started: [Component] = []
        for component in components {
            // Noted before it starts: a part that fails half-way has something to clean up too.
            started.append(component)
            do {
                try await component.start()
                if Task.isCancelled || isStopped { throw CancellationError() }
            } catch {
                if !(error is CancellationError) {
                    logger.error("start failed", error: error, metadata: ["component": .string(component.name)])
                }
                state.withLock { $0 = .stopped }
                await stop(started)
                throw error
            }
        }
        let isRunning = state.withLock { state in
            guard case .starting = state else { return false }
            state = .running(started)
            return true
        }
        guard !isRunning else { return }
        await stop(started)
        throw CancellationError()
    }

    private var isStopped: Bool { state.withLock { if case .stopped = $0 { true } else { false } } }

    /// Stops all parts in reverse order within `stopLimit`. A part that takes too long is given up and named; the others are still stopped.
    ///
    /// While `start` runs, this only makes it give up: it stops what it has started and then throws.
    @discardableResult
    public func stop() async -> [StopProblem] {
        let components = state.withLock { state -> [Component] in
            defer { state = .stopped }
            return if case .running(let started) = state { started } else { [] }
        }
        return await stop(components)
    }

    @discardableResult
    private func stop(_ components: [Component]) async -> [StopProblem] {
        // A task of its own: a cancelled caller must not cut the clean-up short.
        await Task { await stopInReverse(components) }.value
    }

    private func stopInReverse(_ components: [Component]) async -> [StopProblem] {
        let deadline = MonotonicTime.now().advanced(by: stopLimit)
        var problems: [StopProblem] = []
        for component in components.reversed() {
            let left = max(.zero, MonotonicTime.now().duration(to: deadline))
            // Even when the time is over everyone gets a moment: most stops only close a descriptor.
            let limit = max(.milliseconds(50), min(left, component.stopLimit))
            switch await bounded(limit, component.stop) {
            case .finished: continue
            case .failed(let error):
                problems.append(StopProblem(component: component.name, cause: Failure(wrapping: error).message))
            case .timedOut:
                problems.append(StopProblem(component: component.name, cause: "did not stop within \(limit)"))
            }
        }
        for problem in problems {
            logger.warning(
                "stop was not clean",
                metadata: ["component": .string(problem.component), "cause": .string(problem.cause)])
        }
        return problems
    }

    /// Starts, waits until stopping is asked for, stops.
    /// - Parameter ready: called once everything is up.
    /// - Throws: what starting threw.
    @discardableResult
    public func run(
        until signal: ShutdownSignal = .shared, ready: @Sendable () async -> Void = {}
    ) async throws -> [StopProblem] {
        let starting = Task { try await self.start() }
        let watcher = Task {
            if await signal.wait() != nil { starting.cancel() }
        }
        do {
            try await starting.value
            watcher.cancel()
        } catch {
            watcher.cancel()
            // Stopped while starting: that is what was asked for.
            if signal.isRequested, error is CancellationError { return [] }
            throw error
        }
        await ready()
        await signal.wait()
        return await stop()
    }
}
