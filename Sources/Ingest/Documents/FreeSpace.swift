internal import Core
internal import Glibc
internal import Synchronization

/// Keeps new work off a volume that is nearly full. PostgreSQL is often on the same one, and ends when it cannot write its log; so what can
/// be refused or put off is, before that happens.
final class FreeSpace: Sendable {
    /// Room for an upload on its way (spooled, stored and in the database's log), in bytes for each of its own, when nothing compresses.
    private static let bytesPerOriginalByte = 3
    /// How long a measurement is believed.
    private static let measured = Duration.milliseconds(200)

    private struct Measurement: Sendable {
        var at: MonotonicTime
        /// nil when the volume does not say.
        var bytes: UInt64?
    }

    private let directory: String
    private let reserveBytes: Int
    private let thread: WorkThread
    private let last = Mutex<Measurement?>(nil)

    /// - Parameter reserveBytes: what uploads leave alone; 0 to measure nothing.
    init(directory: String, reserveBytes: Int, thread: WorkThread) {
        self.directory = directory
        self.reserveBytes = reserveBytes
        self.thread = thread
    }

    /// - Parameter bytes: of the original that is about to be taken in; 0 when it does not say.
    /// - Throws: RESOURCE_EXHAUSTED with reason DISK_FULL.
    func checkUpload(of bytes: Int) async throws {
        let wanted = UInt64(reserveBytes) + UInt64(bytes) * UInt64(Self.bytesPerOriginalByte)
        guard let free = await freeBytes(), free < wanted else { return }
        throw Failure(
            .resourceExhausted, reason: Failure.diskFull,
            "The upload cannot be taken: the disk of \(directory) has \(free >> 20) MiB free, and \(wanted >> 20) MiB are needed. "
                + "Nothing was stored.",
            remedy: "Free space on the volume of the data directory, then upload again.", retryAfterMs: 10_000)
    }

    /// Whether what is stored already may be processed: that takes from the reserve, down to half of it.
    func allowsProcessing() async -> Bool {
        guard let free = await freeBytes() else { return true }
        return free >= UInt64(reserveBytes / 2)
    }

    private func freeBytes() async -> UInt64? {
        guard reserveBytes > 0 else { return nil }
        if let known = last.withLock({ $0 }), known.at.duration(to: .now()) < Self.measured { return known.bytes }
        let directory = directory
        // Unknown is not full: what is written next will tell.
        let bytes = (try? await thread.run { Self.measure(directory) }) ?? nil
        last.withLock { $0 = Measurement(at: .now(), bytes: bytes) }
        return bytes
    }

    private static func measure(_ directory: String) -> UInt64? {
        var space = statvfs()
        guard statvfs(directory, &space) == 0, space.f_blocks > 0 else { return nil }
        return UInt64(space.f_bavail) * UInt64(space.f_frsize)
    }
}
