internal import Storage
internal import Synchronization

/// Wakes workers after uploads without making uploads wait for Redis: while one wake-up is on its way, any number of uploads need only one more.
final class WakeCoalescer: Sendable {
    private enum State {
        case idle
        case waking
        /// Something was committed after the present wake-up was sent.
        case wakingAgain
    }

    private let queue: JobQueue
    private let state = Mutex(State.idle)

    init(queue: JobQueue) { self.queue = queue }

    func wake() {
        let starts = state.withLock { state in
            switch state {
            case .idle:
                state = .waking
                return true
            case .waking, .wakingAgain:
                state = .wakingAgain
                return false
            }
        }
        guard starts else { return }
        Task {
            repeat { await queue.wake() } while again()
        }
    }

    private func again() -> Bool {
        state.withLock { state in
            switch state {
            case .wakingAgain:
                state = .waking
                return true
            case .idle, .waking:
                state = .idle
                return false
            }
        }
    }
}
