internal import Core
internal import Glibc

/// A temporary file without a name: whatever happens to the process, nothing is left behind.
///
/// Its methods block; call them on a `WorkThread` or a database connection's thread. `@unchecked Sendable`: the descriptor is only used with
/// positions, which the kernel serialises, and closed once.
final class SpoolFile: @unchecked Sendable {
    /// Borrowed; valid as long as this object.
    let descriptor: Int32
    private let directory: String
    /// O_TMPFILE of <fcntl.h>, which Swift does not import.
    private static let withoutName: Int32 = 0o20000000 | O_DIRECTORY

    /// - Throws: `Failure` DISK_FULL or SPOOL_UNUSABLE, naming the directory.
    init(directory: String) throws {
        self.directory = directory
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw Self.failure("create", directory, errno) }
        var descriptor = open(directory, Self.withoutName | O_RDWR | O_CLOEXEC, mode_t(0o600))
        if descriptor < 0, errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT {
            // A file system that has none without a name: it has one for a moment.
            let path = "\(directory)/upload-\(UUIDv7())"
            descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode_t(0o600))
            if descriptor >= 0 { unlink(path) }
        }
        guard descriptor >= 0 else { throw Self.failure("create a file in", directory, errno) }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Writes all of `bytes` at `offset`.
    func write(_ bytes: [UInt8], at offset: Int) throws {
        try bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = pwrite(
                    descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written,
                    off_t(offset + written))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.failure("write to", directory, count == 0 ? ENOSPC : errno) }
                written += count
            }
        }
    }

    /// Reads exactly `count` bytes at `offset`.
    func read(count: Int, at offset: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialised in
            while initialised < count {
                let got = pread(
                    descriptor, buffer.baseAddress?.advanced(by: initialised), count - initialised,
                    off_t(offset + initialised))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { throw Self.failure("read from", directory, got == 0 ? EIO : errno) }
                initialised += got
            }
        }
    }

    private static func failure(_ action: String, _ directory: String, _ code: Int32) -> Failure {
        let why = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        if code == ENOSPC || code == EDQUOT {
            return Failure(
                .resourceExhausted, reason: "DISK_FULL",
                "The upload cannot be taken: could not \(action) \(directory): \(why). Nothing was stored.",
                remedy: "Free space on the volume of the data directory, then upload again.", retryAfterMs: 10_000)
        }
        return Failure(
            .unavailable, reason: "SPOOL_UNUSABLE",
            "The upload cannot be taken: could not \(action) \(directory): \(why). Nothing was stored.",
            remedy: "Check that the data directory exists, is not read-only and belongs to the service's user.")
    }
}
