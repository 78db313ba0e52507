internal import CLI
internal import CProcess
internal import Core
internal import Glibc
internal import Storage

/// Facts about this and other processes.
enum ProcessIdentity {
    /// Absolute path of the running program.
    static func executable() throws -> String {
        guard let path = realpath("/proc/self/exe", nil) else {
            throw Failure(.internalError, "The path of this program is not known: /proc is not mounted.")
        }
        defer { free(path) }
        return String(cString: path)
    }

    /// `acp-extract` beside this program.
    static func extractor() throws -> String {
        let own = try executable()
        return (own.lastIndex(of: "/").map { String(own[...$0]) } ?? "./") + "acp-extract"
    }

    /// Names whichever process runs on a data directory of this machine, the next one like the one before; at most 255 bytes.
    static func instance(of dataDirectory: String) -> String {
        var name = [CChar](repeating: 0, count: 65)
        gethostname(&name, name.count - 1)
        let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(host):" + hexString(ContentHash.of(Array(dataDirectory.utf8)).prefix(8))
    }

    /// Start time of a process in clock ticks since boot, field 22 of its stat file; nil when there is no such process.
    static func startTicks(of pid: Int32) -> UInt64? {
        let descriptor = open("/proc/\(pid)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return nil }
        let text = String(decoding: buffer[..<count], as: UTF8.self)
        // The name in field 2 may contain anything, so the fields are counted from its closing parenthesis.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}

/// The lock of a data directory whose database and Redis are elsewhere: the same file that the embedded servers hold, so that `acp down`
/// finds the process either way and two never share the directory.
final class DataDirectoryHold: Sendable {
    private let descriptor: Int32

    /// - Throws: `Failure` ALREADY_RUNNING when another process holds it.
    init(_ directory: String) throws {
        try Self.make(directory)
        let path = "\(directory)/acp.lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw Self.failure("opened", path, errno) }
        let outcome = acp_lock_exclusive(file)
        guard outcome == 0 else {
            close(file)
            guard outcome == -EWOULDBLOCK else { throw Self.failure("locked", path, -outcome) }
            throw Failure(
                .failedPrecondition, reason: "ALREADY_RUNNING",
                "The data directory \(directory) is in use by another process.",
                remedy: "Use the running system, stop it with `acp down`, or choose another --data-dir.")
        }
        let text = "\(getpid())\n\(ProcessIdentity.startTicks(of: getpid()) ?? 0)\n"
        guard ftruncate(file, 0) == 0, pwrite(file, text, text.utf8.count, 0) == text.utf8.count else {
            let code = errno
            acp_unlock(file)
            close(file)
            throw Self.failure("written", path, code)
        }
        descriptor = file
    }

    func release() {
        // A child that has not executed its program yet may hold the file open a little longer.
        acp_unlock(descriptor)
        close(descriptor)
    }

    /// Makes the directory and those above it.
    static func make(_ directory: String) throws {
        var path = ""
        for part in directory.split(separator: "/") {
            path += "/\(part)"
            if mkdir(path, 0o755) == 0 {
                // Whatever the umask says: PostgreSQL may run as another user and has to pass through.
                chmod(path, 0o755)
                continue
            }
            guard errno == EEXIST || access(path, X_OK) == 0 else {
                throw failure("made", path, errno)
            }
        }
    }

    private static func failure(_ what: String, _ path: String, _ code: Int32) -> Failure {
        Failure(
            .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
            "\(path) could not be \(what): \(String(cString: strerror(code))).",
            remedy: "Choose another directory with --data-dir, or change its permissions.")
    }
}
