internal import CProcess
internal import Core
internal import Glibc
internal import Synchronization

/// A thread for work that blocks on files: never done on an event loop or the cooperative pool. Work runs in order, one piece at a time.
final class WorkThread: Sendable {
    private static let stackBytes = 4 << 20

    private struct State {
        var work: [@Sendable () -> Void] = []
        var isStarted = false
        var isStopped = false
    }

    /// A counting semaphore. `@unchecked Sendable`: semaphores are made to be shared.
    private final class Semaphore: @unchecked Sendable {
        private let raw = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

        init() {
            raw.initialize(to: sem_t())
            sem_init(raw, 0, 0)
        }

        deinit {
            sem_destroy(raw)
            raw.deallocate()
        }

        func post() { sem_post(raw) }
        func wait() { while sem_wait(raw) != 0 {} }
    }

    private let state = Mutex(State())
    private let arrived = Semaphore()

    init() {}

    /// Lets the thread end once everything handed over has run. Later work is refused.
    func stop() {
        state.withLock { $0.isStopped = true }
        arrived.post()
    }

    /// Runs `body` on the thread, which is started at first use, and returns what it returns.
    /// - Throws: what `body` throws; UNAVAILABLE when the thread is stopped, RESOURCE_EXHAUSTED when it cannot be started.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try start()
        return try await withCheckedThrowingContinuation { continuation in
            let isRefused = state.withLock { state in
                if !state.isStopped { state.work.append { continuation.resume(with: Result { try body() }) } }
                return state.isStopped
            }
            if isRefused {
                continuation.resume(throwing: Failure(.unavailable, reason: "STOPPING", "The service is stopping."))
            } else {
                arrived.post()
            }
        }
    }

    private func start() throws {
        let starts = state.withLock { state in
            defer { state.isStarted = true }
            return !state.isStarted
        }
        guard starts else { return }
        let context = Unmanaged.passRetained(self)
        let error = acp_thread_start(
            { context in
                guard let context else { return }
                Unmanaged<WorkThread>.fromOpaque(context).takeRetainedValue().loop()
            }, context.toOpaque(), Self.stackBytes)
        guard error != 0 else { return }
        context.release()
        state.withLock { $0.isStarted = false }
        throw Failure(
            .resourceExhausted, reason: "THREADS", "The system refused to start a thread.",
            remedy: "Raise the process or thread limit (ulimit -u, systemd TasksMax).")
    }

    private func loop() {
        while true {
            arrived.wait()
            let (work, isStopped) = state.withLock { state in
                defer { state.work = [] }
                return (state.work, state.isStopped)
            }
            for piece in work { piece() }
            if isStopped, work.isEmpty { return }
            // The post that announced the stop was consumed together with the last work.
            if isStopped { arrived.post() }
        }
    }
}
