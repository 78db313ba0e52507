internal import Core
internal import Crypto
internal import Glibc

/// The secret that is mixed into every stored key, so that a stolen database alone does not let anyone test guesses.
public struct Pepper: Sendable {
    public static let byteCount = 32

    let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    var key: SymmetricKey { SymmetricKey(data: bytes) }

    /// Reads the pepper from the file at `path`, or makes it there (32 random bytes, mode 0600) when it does not exist.
    ///
    /// Throws FAILED_PRECONDITION when the file has another size or others may read it: with another pepper every key would be
    /// refused, so nothing is ever made over an existing file. Blocks for a moment; call it at start.
    public static func loadOrCreate(path: String) throws -> Pepper {
        if let pepper = try load(path: path) { return pepper }
        try create(path: path)
        guard let pepper = try load(path: path) else { throw unusable(path, "disappeared after it was made") }
        return pepper
    }

    /// Reads the pepper from the file at `path`; nil when there is no such file. Throws as `loadOrCreate` does.
    static func load(path: String) throws -> Pepper? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw unusable(path, "cannot be opened (error \(errno))")
        }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw unusable(path, "cannot be examined") }
        guard information.st_mode & 0o077 == 0 else {
            throw unusable(path, "can be read by other users; its mode must be 0600")
        }
        var bytes = [UInt8](repeating: 0, count: byteCount + 1)
        let count = read(descriptor, &bytes, bytes.count)
        guard count == byteCount else { throw unusable(path, "does not have exactly \(byteCount) bytes") }
        return Pepper(bytes: Array(bytes.prefix(byteCount)))
    }

    /// Complete under another name first, then linked: two processes that start together agree on one, and a crash leaves none.
    private static func create(path: String) throws {
        let temporary = "\(path).\(getpid())"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unusable(path, "cannot be made (error \(errno))") }
        defer {
            close(descriptor)
            unlink(temporary)
        }
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<byteCount).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        guard write(descriptor, bytes, byteCount) == byteCount, fsync(descriptor) == 0 else {
            throw unusable(path, "cannot be written (error \(errno))")
        }
        guard link(temporary, path) == 0 || errno == EEXIST else {
            throw unusable(path, "cannot be made (error \(errno))")
        }
    }

    private static func unusable(_ path: String, _ why: String) -> Failure {
        Failure(
            .failedPrecondition, reason: "PEPPER", "The key file \(path) \(why).",
            remedy: "Restore it from a backup; without it every API key has to be issued again.")
    }
}
