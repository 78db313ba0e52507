import Glibc

enum Clocks {
    private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
        var now = timespec()
        guard clock_gettime(clock, &now) == 0 else { preconditionFailure("clock \(clock) cannot be read") }
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    static func now() -> UInt64 { nanoseconds(CLOCK_MONOTONIC) }

    /// CPU time of this process and of the server's, all threads.
    static func cpu(with server: pid_t) -> UInt64 {
        var clock = clockid_t()
        guard clock_getcpuclockid(server, &clock) == 0 else { preconditionFailure("process \(server) is gone") }
        return nanoseconds(CLOCK_PROCESS_CPUTIME_ID) + nanoseconds(clock)
    }
}
