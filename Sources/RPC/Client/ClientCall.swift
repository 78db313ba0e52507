internal import Core
internal import Synchronization

/// A call whose messages are read or written one by one, across its attempts. Cancelled when nobody refers to it any more.
final class ClientCall: Sendable {
    fileprivate enum Phase {
        /// → `restarting` when the attempt failed before anything was produced or answered.
        case running
        /// Another attempt is being made. → `running`, also when there is none.
        case restarting(writers: [UnsafeContinuation<Void, Never>])
    }

    fileprivate struct State {
        var phase = Phase.running
        var stream: ClientStream
        var attempts: CallAttempts?
        /// The application has written something, which only the current attempt has.
        var hasProduced = false
    }

    private let state: Mutex<State>

    /// - Parameter attempts: of which `stream` is the last; nil when the call is not repeated any more.
    init(_ stream: ClientStream, _ attempts: CallAttempts?) {
        state = Mutex(State(stream: stream, attempts: attempts))
    }

    deinit { state.withLock { $0.stream }.cancel() }

    var stream: ClientStream { state.withLock { $0.stream } }

    /// The stream for something the application writes. From here on the call cannot be repeated: no copy is kept.
    func streamForWriting() async throws -> ClientStream {
        while true {
            if let stream = state.withLock({ $0.startWriting() }) { return stream }
            await withTaskCancellationHandler {
                await withUnsafeContinuation { continuation in
                    if !state.withLock({ $0.wait(continuation) }) { continuation.resume() }
                    // A cancellation before this line has found nobody to wake.
                    if Task.isCancelled { wakeWriters() }
                }
            } onCancel: {
                wakeWriters()
            }
            try Task.checkCancellation()
        }
    }

    /// Those that go on waiting come back.
    private func wakeWriters() { state.withLock { $0.takeWriters() }.forEach { $0.resume() } }

    /// The current stream failed with `error` while it was read; returns when there is another.
    /// - Throws: `error` when the call is not repeated.
    func restart(after error: any Error) async throws {
        let failed = stream
        guard let failure = error as? Failure, try await failed.finalProgress() != nil,
            var attempts = state.withLock({ $0.startRestart(of: failed) })
        else { throw error }
        do {
            try await attempts.failed(failed, failure)
            let stream = try await attempts.open(waits: false)
            endRestart(stream, attempts)
        } catch {
            endRestart(failed, nil)
            throw error
        }
    }

    private func endRestart(_ stream: ClientStream, _ attempts: CallAttempts?) {
        let writers = state.withLock { state in
            state.stream = stream
            state.attempts = attempts
            defer { state.phase = .running }
            return state.takeWriters()
        }
        for writer in writers { writer.resume() }
    }
}

extension ClientCall.State {
    mutating func startWriting() -> ClientStream? {
        guard case .running = phase else { return nil }
        hasProduced = true
        return stream
    }

    /// False when there is nothing to wait for.
    mutating func wait(_ writer: UnsafeContinuation<Void, Never>) -> Bool {
        guard case .restarting(let writers) = phase else { return false }
        phase = .restarting(writers: writers + [writer])
        return true
    }

    mutating func takeWriters() -> [UnsafeContinuation<Void, Never>] {
        guard case .restarting(let writers) = phase else { return [] }
        phase = .restarting(writers: [])
        return writers
    }

    mutating func startRestart(of failed: ClientStream) -> CallAttempts? {
        guard case .running = phase, stream === failed, var attempts else { return nil }
        if hasProduced { attempts.requestIsGone() }
        phase = .restarting(writers: [])
        return attempts
    }
}
