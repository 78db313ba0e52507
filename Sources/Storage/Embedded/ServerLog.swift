import Core
import Glibc

/// The log files that the servers write to through a descriptor we open: they need no rights in the directory.
enum ServerLog {
    /// A log longer than this is cut to nothing after its end was kept in `NAME.1`.
    static let logBytesMax = 8 << 20
    static let keptBytesMax = 1 << 20

    /// Opens for appending. Returns the descriptor, which the caller closes, and where new text begins.
    static func open(_ path: String, truncating: Bool = false) throws -> (descriptor: Int32, start: off_t) {
        trim(path)
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (truncating ? O_TRUNC : 0)
        let file = Glibc.open(path, flags, 0o640)
        guard file >= 0 else { throw ServerFiles.failure(errno, "opening", path) }
        return (file, max(0, lseek(file, 0, SEEK_END)))
    }

    /// Bounds a log that a server holds open: it appends, so that the file can be cut under it.
    static func trim(_ path: String) {
        let file = Glibc.open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        let size = lseek(file, 0, SEEK_END)
        guard size > logBytesMax else { return }
        var bytes = [UInt8](repeating: 0, count: keptBytesMax)
        let got = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, size - off_t(keptBytesMax)) }
        if got > 0 {
            try? ServerFiles.write("\(path).1", String(decoding: bytes[..<got], as: UTF8.self), mode: 0o640)
        }
        ftruncate(file, 0)
    }
}
