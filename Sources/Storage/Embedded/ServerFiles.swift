import Core
import Glibc

/// Files of the embedded servers: bounded, never through symbolic links, with errors for people.
enum ServerFiles {
    /// The whole of a regular file as text; nil when it is absent, not a regular file, or larger than `bytesMax`.
    static func read(_ path: String, bytesMax: Int) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var filled = 0
        while filled < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress! + filled, $0.count - filled) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return nil }
            if got == 0 { break }
            filled += got
        }
        return filled <= bytesMax ? String(decoding: bytes[..<filled], as: UTF8.self) : nil
    }

    /// The line at the end of a file that says most about a failure: what a server said before it ended. At most `bytesMax` bytes.
    static func tail(_ path: String, from offset: off_t = 0, bytesMax: Int = 400) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return "" }
        defer { close(file) }
        let size = lseek(file, 0, SEEK_END)
        let start = max(offset, size - 8192)
        var bytes = [UInt8](repeating: 0, count: 8192)
        let got = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, start) }
        guard got > 0 else { return "" }
        let lines = String(decoding: bytes[..<got], as: UTF8.self).split(whereSeparator: \.isNewline)
        // A full disk makes a server fail in many words after the ones that say so.
        let full = lines.first(where: saysDiskIsFull)
        let telling = lines.last { line in ["FATAL", "PANIC", "error", "Error", "Fatal"].contains { line.contains($0) }
        }
        return String((full ?? telling ?? lines.last ?? "").prefix(bytesMax))
    }

    static func saysDiskIsFull(_ line: some StringProtocol) -> Bool {
        [ENOSPC, EDQUOT].contains { line.contains(errorText($0)) }
    }

    /// Replaces a file as a whole, so that no reader and no crash ever meets a part of it.
    static func write(_ path: String, _ text: String, mode: mode_t) throws {
        let temporary = "\(path).new"
        unlink(temporary)
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw failure(errno, "writing", path) }
        var text = text
        let complete = text.withUTF8 { bytes -> Bool in
            var done = 0
            while done < bytes.count {
                let wrote = Glibc.write(file, bytes.baseAddress! + done, bytes.count - done)
                if wrote < 0, errno == EINTR { continue }
                guard wrote > 0 else { return false }
                done += wrote
            }
            return true
        }
        guard complete, fchmod(file, mode) == 0, fsync(file) == 0, rename(temporary, path) == 0 else {
            let code = errno
            close(file)
            unlink(temporary)
            throw failure(code, "writing", path)
        }
        close(file)
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The path without symbolic links; nil when it does not exist.
    static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// An absolute path without `.`, `..` and repeated slashes, by text alone.
    static func absolute(_ path: String) -> String {
        var text = path
        if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
            text = "\(String(cString: current))/\(path)"
            free(current)
        }
        var parts: [Substring] = []
        for part in text.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        return entryNames(stream)
    }

    /// Removes a directory and all below it, never following a symbolic link, even one exchanged while we work.
    static func removeTree(parent: Int32 = AT_FDCWD, _ name: String, depth: Int = 0) {
        // Deeper than any cluster is.
        guard depth < 32 else { return }
        let directory = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard directory >= 0 else {
            unlinkat(parent, name, 0)
            return
        }
        guard let stream = fdopendir(directory) else {
            close(directory)
            return
        }
        for entry in entryNames(stream) where unlinkat(directory, entry, 0) != 0 {
            removeTree(parent: directory, entry, depth: depth + 1)
        }
        closedir(stream)
        unlinkat(parent, name, AT_REMOVEDIR)
    }

    private static func entryNames(_ stream: OpaquePointer) -> [String] {
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes what was renamed into a directory survive a power cut.
    static func syncDirectory(_ path: String) {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { return }
        fsync(directory)
        close(directory)
    }

    static func errorText(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }

    /// An error of the file system as a failure that says what to do about it.
    static func failure(_ code: Int32, _ doing: String, _ path: String) -> Failure {
        let what = "\(doing) \(path) failed: \(errorText(code))."
        let message = what.prefix(1).uppercased() + what.dropFirst()
        switch code {
        case ENOSPC, EDQUOT:
            return Failure(
                .resourceExhausted, reason: "DISK_FULL", message,
                remedy: "Free space on that file system or choose another --data-dir.")
        case EACCES, EPERM, EROFS, ENOTDIR, EEXIST, ELOOP, ENAMETOOLONG, ENOENT:
            return Failure(
                .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE", message,
                remedy: "Choose a --data-dir that this user may write, or correct its owner and permissions.")
        default:
            return Failure(.internalError, reason: "DATA_DIRECTORY_UNUSABLE", message)
        }
    }
}
