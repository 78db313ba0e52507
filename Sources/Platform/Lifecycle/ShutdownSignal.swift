internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// SIGTERM and SIGINT as something to await. A SIGINT after the first request ends the process at once with 130.
public final class ShutdownSignal: Sendable {
    /// The signals of this process.
    public static let shared = ShutdownSignal()

    private enum State {
        /// Nobody has asked to stop. → requested
        case running([UInt64: CheckedContinuation<Int32?, Never>])
        /// With the signal that asked. No way out.
        case requested(Int32)
    }

    private let state = Mutex((phase: State.running([:]), nextWaiter: UInt64(0)))

    /// Only `shared` receives signals; others are for tests and for parts of a process that are stopped by hand.
    public init() {}

    /// Installs the handlers for `shared` and ignores SIGPIPE (hiredis and libpq write without MSG_NOSIGNAL). Call once, early.
    public static func install() {
        let isFirst = installed.exchange(true, ordering: .relaxed) == false
        guard isFirst else { return }
        // The globals used by the handler exist before it can run: their lazy initialisation is not allowed in a handler.
        handlerState.store(0, ordering: .sequentiallyConsistent)
        _ = handlerWake
        var thread = pthread_t()
        pthread_create(&thread, nil, signalThread, nil)
        pthread_detach(thread)
        for number in [SIGTERM, SIGINT] {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = handleSignal
            action.sa_flags = SA_RESTART
            sigaction(number, &action, nil)
        }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Asks to stop as the signal would; later requests change nothing.
    public func request() { request(SIGTERM) }

    func request(_ number: Int32) {
        let waiters = state.withLock { state -> [CheckedContinuation<Int32?, Never>] in
            guard case .running(let waiters) = state.phase else { return [] }
            state.phase = .requested(number)
            return Array(waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: number) }
    }

    /// Stopping was asked for.
    public var isRequested: Bool {
        state.withLock { if case .requested = $0.phase { true } else { false } }
    }

    /// Waits until stopping is asked for.
    /// - Returns: the signal's number, or nil when the waiting task was cancelled.
    @discardableResult
    public func wait() async -> Int32? {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early: Int32?? = state.withLock { state in
                    switch state.phase {
                    case .requested(let number): return .some(number)
                    case .running(var waiters):
                        // Cancelled before it waited: the handler has already run and found nobody.
                        if Task.isCancelled { return .some(nil) }
                        waiters[id] = continuation
                        state.phase = .running(waiters)
                        return .none
                    }
                }
                if let early { continuation.resume(returning: early) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Int32?, Never>? in
                guard case .running(var waiters) = state.phase else { return nil }
                let waiter = waiters.removeValue(forKey: id)
                state.phase = .running(waiters)
                return waiter
            }
            waiter?.resume(returning: nil)
        }
    }
}

private let installed = Atomic<Bool>(false)
/// The first signal that came; 0 before.
private let handlerState = Atomic<Int32>(0)
private let handlerWake = Semaphore()

/// Runs inside the signal: only atomics, sem_post and _exit are allowed here.
private func handleSignal(_ number: Int32) {
    let (isFirst, _) = handlerState.compareExchange(expected: 0, desired: number, ordering: .sequentiallyConsistent)
    if isFirst {
        handlerWake.signal()
    } else if number == SIGINT {
        _exit(130)
    }
}

private func signalThread(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    handlerWake.wait()
    ShutdownSignal.shared.request(handlerState.load(ordering: .sequentiallyConsistent))
    return nil
}
