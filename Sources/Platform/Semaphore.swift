#if canImport(Glibc)
    internal import Glibc
#endif

/// A counting semaphore for the few threads that block on purpose (log writer, signal waiter). Never wait on it from a task.
final class Semaphore: Sendable {
    // The address must not move while threads wait on it, so it lives on the heap and is freed with the last owner.
    private nonisolated(unsafe) let pointer: UnsafeMutablePointer<sem_t>

    init() {
        pointer = .allocate(capacity: 1)
        sem_init(pointer, 0, 0)
    }

    deinit {
        sem_destroy(pointer)
        pointer.deallocate()
    }

    /// Lets one waiter go on. Allowed in signal handlers.
    func signal() { sem_post(pointer) }

    func wait() {
        while sem_wait(pointer) != 0 && errno == EINTR {}
    }

    /// Waits at most `timeoutMs` milliseconds.
    /// - Returns: false when the time was not enough.
    func wait(timeoutMs: Int) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_REALTIME, &deadline)
        let nanoseconds = deadline.tv_nsec + timeoutMs % 1000 * 1_000_000
        deadline.tv_sec += timeoutMs / 1000 + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        while sem_timedwait(pointer, &deadline) != 0 {
            if errno != EINTR { return false }
        }
        return true
    }
}
