internal import Core
internal import Synchronization

/// How a bounded piece of work ended.
enum BoundedOutcome<Value: Sendable>: Sendable {
    case finished(Value)
    case failed(any Error)
    /// The time was over; the work was cancelled and may still be on its way out.
    case timedOut
}

/// Runs `body` and comes back when it ends or `limit` is over, whichever is first, also when `body` ignores its cancellation.
func bounded<Value: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
) async -> BoundedOutcome<Value> {
    let race = Race<BoundedOutcome<Value>>()
    let work = Task {
        do { race.finish(.finished(try await body())) } catch { race.finish(.failed(error)) }
    }
    let timer = Task {
        try? await Task.sleep(for: limit)
        if !Task.isCancelled { race.finish(.timedOut) }
    }
    return await withTaskCancellationHandler {
        let outcome = await race.value
        work.cancel()
        timer.cancel()
        return outcome
    } onCancel: {
        work.cancel()
    }
}

/// The first of several results, awaited once.
final class Race<Value: Sendable>: Sendable {
    private enum State {
        /// Nobody waits and nothing has come. → waiting, finished
        case open
        /// Somebody waits. → finished
        case waiting(CheckedContinuation<Value, Never>)
        /// The first value came; later ones are ignored. No way out.
        case finished(Value)
    }

    private let state = Mutex(State.open)

    func finish(_ value: Value) {
        let waiting = state.withLock { state -> CheckedContinuation<Value, Never>? in
            switch state {
            case .open: state = .finished(value)
            case .waiting(let continuation):
                state = .finished(value)
                return continuation
            case .finished: break
            }
            return nil
        }
        waiting?.resume(returning: value)
    }

    /// - Precondition: awaited by one task only.
    var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                let finished = state.withLock { state -> Value? in
                    switch state {
                    case .open:
                        state = .waiting(continuation)
                        return nil
                    case .finished(let value): return value
                    case .waiting: preconditionFailure("a race has one waiter")
                    }
                }
                if let finished { continuation.resume(returning: finished) }
            }
        }
    }
}
