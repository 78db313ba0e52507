internal import Core
internal import Synchronization

/// Repeats what a service refused because it is busy, when the service says, until `timeout` has passed.
///
/// Only for calls whose repetition is safe.
final class BusyRetry: Sendable {
    private let timeout: Duration
    private let console: Console
    private let isTold = Mutex(false)

    init(timeout: Duration, console: Console) {
        self.timeout = timeout
        self.console = console
    }

    /// - Throws: what `body` throws last.
    func run<Value>(_ body: () async throws -> Value) async throws -> Value {
        var givingUp: MonotonicTime?
        while true {
            do {
                return try await body()
            } catch let failure as Failure where Self.isBusy(failure) {
                let limit = givingUp ?? MonotonicTime.now().advanced(by: timeout)
                givingUp = limit
                // Up to half as long again, so that those that were refused together do not come back together.
                let waitMs = Int(failure.retryAfterMs) + Int.random(in: 0...Int(failure.retryAfterMs) / 2)
                guard MonotonicTime.now().advanced(by: .milliseconds(waitMs)) < limit else { throw failure }
                tell(failure)
                try await Task.sleep(for: .milliseconds(waitMs))
            }
        }
    }

    /// A full disk also names a time, but nobody makes room meanwhile.
    private static func isBusy(_ failure: Failure) -> Bool {
        failure.code == .resourceExhausted && failure.retryAfterMs > 0 && failure.reason != Failure.diskFull
    }

    /// Once for all calls that wait.
    private func tell(_ failure: Failure) {
        let isFirst = isTold.withLock { isTold in
            defer { isTold = true }
            return !isTold
        }
        guard isFirst else { return }
        console.warning(
            "\(Terminal.oneLine(failure.message)) Trying again for \(timeout.components.seconds) s (--timeout).")
    }
}
