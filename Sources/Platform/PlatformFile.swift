internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Small files read and replaced whole; for settings and secrets, not for data.
enum PlatformFile {
    /// The text of a small file.
    /// - Throws: `Failure` NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (larger than `bytesMax`), INVALID_ARGUMENT (not UTF-8).
    static func readText(_ path: String, bytesMax: Int) throws(Failure) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("could not be opened", path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("could not be read", path, errno)
            }
            if count == 0 { break }
            bytes.append(contentsOf: buffer[..<count])
            guard bytes.count <= bytesMax else {
                throw Failure(
                    .resourceExhausted, reason: Failure.tooLarge, "\(path) is larger than \(bytesMax) bytes.")
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(.invalidArgument, "\(path) is not UTF-8 text.")
        }
        return text
    }

    /// Replaces a file as one step, mode 0600: readers see the old text or the new, also after a power cut.
    static func replace(_ path: String, with text: String) throws(Failure) {
        let target = resolved(path)
        let directory = parent(of: target)
        try createDirectory(directory, mode: 0o700)
        let temporary = "\(target).\(getpid()).\(hexString(UInt64.random(in: 0...(.max))))"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("could not be written", temporary, errno) }
        do throws(Failure) {
            defer { close(descriptor) }
            try writeAll(Array(text.utf8), to: descriptor, path: temporary)
            guard fsync(descriptor) == 0 else { throw failure("could not be written", temporary, errno) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, target) == 0 else {
            let code = errno
            unlink(temporary)
            throw failure("could not be replaced", target, code)
        }
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }

    /// Creates a directory and its parents; an existing one is left as it is.
    static func createDirectory(_ path: String, mode: mode_t) throws(Failure) {
        if mkdir(path, mode) == 0 { return }
        let code = errno
        var status = stat()
        if code == EEXIST, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
        guard code == ENOENT, path != "/", !path.isEmpty else { throw failure("could not be created", path, code) }
        try createDirectory(parent(of: path), mode: mode)
        guard mkdir(path, mode) == 0 || errno == EEXIST else { throw failure("could not be created", path, errno) }
    }

    private static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(Failure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + written, bytes.count - written) }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("could not be written", path, errno)
            }
            written += count
        }
    }

    /// The file behind a symbolic link, so that replacing does not replace the link.
    private static func resolved(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func failure(_ what: String, _ path: String, _ code: Int32) -> Failure {
        let cause = errorText(code)
        switch code {
        case ENOENT: return Failure(.notFound, "\(path) \(what): \(cause).")
        case EACCES, EPERM: return Failure(.permissionDenied, "\(path) \(what): \(cause).")
        case ENOSPC, EDQUOT:
            return Failure(
                .resourceExhausted, reason: "DISK_FULL", "\(path) \(what): \(cause).",
                remedy: "Free space on that file system.")
        default: return Failure(.internalError, "\(path) \(what): \(cause).")
        }
    }

    /// The system's words for an error number. glibc's strerror is thread-safe since 2.32.
    static func errorText(_ code: Int32) -> String {
        strerror(code).map { String(cString: $0) } ?? "error \(code)"
    }
}
