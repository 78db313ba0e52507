internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// One service's log file, appended to and rotated by size: `ingest.jsonl`, then `ingest.1.jsonl` (newest) to `ingest.N.jsonl`.
///
/// Several processes may append to the same file: every write is whole lines in one O_APPEND call, and rotation happens under a lock.
/// Used by the writer thread alone.
struct LogFile: ~Copyable {
    let directory: String
    let service: String
    let fileBytesMax: Int
    let filesMax: Int
    private var descriptor: Int32 = -1
    /// The last write ended inside a line (full disk): the next one starts on a new line.
    private var endsInsideLine = false

    init(directory: String, service: String, fileBytesMax: Int, filesMax: Int) {
        self.directory = directory
        self.service = service
        self.fileBytesMax = fileBytesMax
        self.filesMax = filesMax
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    var path: String { "\(directory)/\(service).jsonl" }
    private func rotatedPath(_ number: Int) -> String { "\(directory)/\(service).\(number).jsonl" }

    /// Appends whole lines; rotates first when they would not fit.
    /// - Throws: `Failure` when the file cannot be opened or written; the lines are then lost.
    mutating func append(_ lines: [UInt8]) throws(Failure) {
        try openCurrent()
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw PlatformFile.failure("could not be read", path, errno) }
        if status.st_size > 0, Int(status.st_size) + lines.count > fileBytesMax {
            rotate()
            try openCurrent()
        }
        let bytes = endsInsideLine ? [UInt8(ascii: "\n")] + lines : lines
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + written, bytes.count - written)
            }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                if written > 0 { endsInsideLine = true }
                throw PlatformFile.failure("could not be written", path, code)
            }
            written += count
        }
        endsInsideLine = false
    }

    /// Opens the file, or opens it anew when another process has rotated it or someone has removed it.
    private mutating func openCurrent() throws(Failure) {
        if descriptor >= 0 {
            if isCurrent() { return }
            close(descriptor)
            descriptor = -1
        }
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        if descriptor < 0, errno == ENOENT {
            try PlatformFile.createDirectory(directory, mode: 0o750)
            descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        }
        guard descriptor >= 0 else { throw PlatformFile.failure("could not be opened", path, errno) }
    }

    private func isCurrent() -> Bool {
        var opened = stat()
        var named = stat()
        return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0
            && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev
    }

    private func rotate() {
        // Whoever gets the lock first renames; the others see that their file is no longer the current one.
        flock(descriptor, LOCK_EX)
        defer { flock(descriptor, LOCK_UN) }
        guard isCurrent() else { return }
        unlink(rotatedPath(filesMax))
        for number in stride(from: filesMax - 1, through: 1, by: -1) {
            rename(rotatedPath(number), rotatedPath(number + 1))
        }
        rename(path, rotatedPath(1))
    }
}

/// One record as it is written: its line of JSON, its line for people, and how many records it stands for.
struct LogLine: Sendable {
    var service: String
    var json: [UInt8]
    var text: [UInt8]
    var records: Int
}

/// The files of all services and standard error; used by the writer thread alone.
final class LogFiles {
    private let options: LogWriter.Options
    private var files: [String: OpenFile] = [:]
    private var complained = false

    /// A dictionary cannot hold the noncopyable file itself.
    private final class OpenFile {
        var file: LogFile
        init(_ file: consuming LogFile) { self.file = file }
    }

    init(options: LogWriter.Options) { self.options = options }

    /// Writes lines in order, those of one service in one call.
    /// - Returns: how many records of each service could not be written.
    func write(_ lines: [LogLine]) -> [String: Int] {
        if options.standardError {
            let text = lines.flatMap { options.standardErrorIsText ? $0.text : $0.json }
            Self.writeToStandardError(text)
        }
        guard let directory = options.directory else { return [:] }
        var lost: [String: Int] = [:]
        for (service, lines) in Dictionary(grouping: lines, by: \.service) {
            let open =
                files[service]
                ?? OpenFile(
                    LogFile(
                        directory: directory, service: service, fileBytesMax: options.fileBytesMax,
                        filesMax: options.filesMax))
            files[service] = open
            do throws(Failure) {
                try open.file.append(lines.flatMap(\.json))
                complained = false
            } catch {
                lost[service] = lines.reduce(0) { $0 + $1.records }
                if !complained { Self.writeToStandardError(Array("acp: logs are lost: \(error.message)\n".utf8)) }
                complained = true
            }
        }
        return lost
    }

    /// As far as standard error takes it: nobody can be told when it does not.
    private static func writeToStandardError(_ bytes: [UInt8]) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress! + written, bytes.count - written) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            written += count
        }
    }
}
