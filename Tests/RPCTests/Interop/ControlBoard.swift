import Core
import Synchronization
import TestProtos

/// What the calls of a control service have done, and the signals that let them go on: tests wait for events, never for time.
final class ControlBoard: Sendable {
    private struct Waiter {
        let id: Int
        let isMet: @Sendable (borrowing State) -> Bool
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var progress: [String: TestControlProgress] = [:]
        var signals: Set<String> = []
        /// Nothing waits any more.
        var isReleased = false
        var waiters: [Waiter] = []
        var nextWaiter = 0
    }

    private let state = Mutex(State())
    private let drainAction = Mutex<(@Sendable () -> Void)?>(nil)

    // MARK: Events

    func progress(of name: String) -> TestControlProgress { state.withLock { $0.progress[name] ?? .init() } }

    func update(_ name: String, _ change: (inout TestControlProgress) -> Void) {
        guard !name.isEmpty else { return }
        changed { change(&$0.progress[name, default: .init()]) }
    }

    func signal(_ name: String) { changed { $0.signals.insert(name) } }

    /// Ends all waiting, now and later: the test is over.
    func release() { changed { $0.isReleased = true } }

    private func changed(_ change: (inout State) -> Void) {
        let met = state.withLock { state -> [Waiter] in
            change(&state)
            var met: [Waiter] = []
            for waiter in state.waiters where state.isReleased || waiter.isMet(state) { met.append(waiter) }
            let ids = Set(met.map(\.id))
            state.waiters.removeAll { ids.contains($0.id) }
            return met
        }
        for waiter in met { waiter.continuation.resume() }
    }

    // MARK: Waiting

    /// Returns when the call has got as far as `wanted` says.
    @discardableResult
    func wait(for wanted: TestControlWait) async throws -> TestControlProgress {
        try await wait { state in
            guard let progress = state.progress[wanted.name] else { return false }
            return progress.messagesRead >= wanted.messagesReadMin
                && progress.repliesWritten >= wanted.repliesWrittenMin
                && (!wanted.hasStarted || progress.hasStarted) && (!wanted.wasCancelled || progress.wasCancelled)
                && (!wanted.hasEnded || progress.hasEnded)
        }
        return progress(of: wanted.name)
    }

    func wait(forSignal name: String) async throws { try await wait { $0.signals.contains(name) } }

    /// Waits until the task is cancelled.
    func waitForCancellation() async throws { try await wait { _ in false } }

    private func wait(until isMet: @escaping @Sendable (borrowing State) -> Bool) async throws {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state -> Result<Void, any Error>? in
                    if state.isReleased || isMet(state) { return .success(()) }
                    // A cancellation that came before found no waiter to end.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters.append(Waiter(id: id, isMet: isMet, continuation: continuation))
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    // MARK: Drain

    func onDrain(_ action: @escaping @Sendable () -> Void) { drainAction.withLock { $0 = action } }

    func drain() { drainAction.withLock { $0 }?() }
}
