internal import Synchronization

/// A flag that one task waits for and anyone may set.
final class Nudge: Sendable {
    private struct State {
        var isSet = false
        var waiter: (id: UInt64, continuation: CheckedContinuation<Void, Never>)?
        var lastID: UInt64 = 0
        /// The last wait that ended, perhaps before it had begun.
        var releasedID: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Lets the waiting task go on, or the next one that waits.
    func set() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            state.isSet = state.waiter == nil
            return state.waiter
        }
        waiter?.continuation.resume()
    }

    /// Returns when the flag is or gets set (and clears it), after `timeout`, or when the task is cancelled. One task at a time.
    func wait(timeout: Duration) async {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let timer = Task { [weak self] in
            try? await Task.sleep(for: timeout)
            self?.release(id)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.isSet || state.releasedID == id {
                        state.isSet = false
                        return true
                    }
                    state.waiter = (id, continuation)
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            release(id)
        }
        timer.cancel()
    }

    /// Ends one particular wait.
    private func release(_ id: UInt64) {
        let waiter = state.withLock { state in
            state.releasedID = id
            guard let waiter = state.waiter, waiter.id == id else { return nil as CheckedContinuation<Void, Never>? }
            state.waiter = nil
            return waiter.continuation
        }
        waiter?.resume()
    }
}
