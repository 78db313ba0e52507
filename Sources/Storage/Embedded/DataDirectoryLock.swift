import CProcess
import Core
import Glibc
import Synchronization

/// The lock file of a data directory: held by the one process that runs on it, gone with that process however it ends.
final class DataDirectoryLock: Sendable {
    private let descriptor: Mutex<Int32?>

    /// Takes the lock of the existing directory `directory` and writes our process id into it.
    /// - Throws: `Failure` `ALREADY_RUNNING` naming the holder, or why the file cannot be written.
    init(directory: String) throws {
        let path = Self.path(in: directory)
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw ServerFiles.failure(errno, "opening", path) }
        let outcome = acp_lock_exclusive(file)
        guard outcome == 0 else {
            let owner = Self.parse(ServerFiles.read(path, bytesMax: 128) ?? "")
            close(file)
            if outcome != -EWOULDBLOCK { throw ServerFiles.failure(-outcome, "locking", path) }
            let holder = owner.pid.map { "process \($0)" } ?? "another process"
            throw Failure(
                .failedPrecondition, reason: "ALREADY_RUNNING",
                "The data directory \(directory) is in use by \(holder).",
                remedy: "Use the running system, stop it with `acp down`, or choose another --data-dir.")
        }
        let own = getpid()
        let text = "\(own)\n\(ProcessFacts.inspect(own)?.startTicks ?? 0)\n"
        // Written and synced here, before anything else is made: a full disk shows itself now.
        let written = text.withCString { pwrite(file, $0, text.utf8.count, 0) }
        guard written == text.utf8.count, ftruncate(file, off_t(text.utf8.count)) == 0, fsync(file) == 0 else {
            let code = errno
            acp_unlock(file)
            close(file)
            throw ServerFiles.failure(code, "writing", path)
        }
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Lets go at once. Closing alone would not: another thread may have forked a child that has not executed its program yet, and
    /// until then it holds the same open file.
    func release() {
        descriptor.withLock { descriptor in
            if let file = descriptor {
                acp_unlock(file)
                close(file)
            }
            descriptor = nil
        }
    }

    static func path(in directory: String) -> String { "\(directory)/acp.lock" }

    static func owner(of directory: String) throws -> EmbeddedOwner? {
        let path = path(in: directory)
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        if file < 0, errno == ENOENT || errno == ENOTDIR { return nil }
        guard file >= 0 else { throw ServerFiles.failure(errno, "opening", path) }
        defer { close(file) }
        let held = acp_lock_is_held(file)
        guard held >= 0 else { throw ServerFiles.failure(-held, "reading the lock of", path) }
        return held == 1 ? parse(ServerFiles.read(path, bytesMax: 128) ?? "") : nil
    }

    private static func parse(_ text: String) -> EmbeddedOwner {
        let lines = text.split(separator: "\n")
        return EmbeddedOwner(
            pid: lines.first.flatMap { Int32($0) }, startTicks: lines.dropFirst().first.flatMap { UInt64($0) })
    }
}
