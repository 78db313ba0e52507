internal import Core
internal import Glibc

/// Threads of our own, for C libraries that block.
enum BlockingThread {
    /// Threads that serve one connection need little stack; the memory is only reserved, not resident.
    private static let stackBytes = 1 << 20

    /// Runs `body` on a new detached thread. Throws RESOURCE_EXHAUSTED when the system has none left.
    static func start(_ body: @escaping @Sendable () -> Void) throws {
        final class Start: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }

        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackBytes)

        let start = Unmanaged.passRetained(Start(body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        if status != 0 {
            start.release()
            throw Failure(
                .resourceExhausted, reason: "THREADS", "The system refused to start a thread for a connection.",
                remedy: "Raise the process or thread limit (ulimit -u, systemd TasksMax) or lower the pool sizes.")
        }
    }
}
