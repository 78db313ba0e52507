internal import Core
internal import Glibc

/// A serial executor that is one thread: reading files may block for as long as a disk or a network drive likes.
final class FileThread: SerialExecutor, @unchecked Sendable {
    // All of it is touched only between lock and unlock.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [UnownedJob] = []

    /// Starts the thread, which lives as long as the process.
    /// - Throws: `Failure` when the system has no thread left.
    init() throws {
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, fileThread, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw Failure(
                .resourceExhausted, "No thread could be started: \(systemError(code)).",
                remedy: "Raise the limit of processes (ulimit -u).")
        }
        pthread_detach(thread)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        pthread_mutex_lock(mutex)
        jobs.append(job)
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    fileprivate func run() {
        let executor = asUnownedSerialExecutor()
        while true {
            pthread_mutex_lock(mutex)
            while jobs.isEmpty { pthread_cond_wait(condition, mutex) }
            let batch = jobs
            jobs.removeAll(keepingCapacity: true)
            pthread_mutex_unlock(mutex)
            for job in batch { job.runSynchronously(on: executor) }
        }
    }
}

private func fileThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    Unmanaged<FileThread>.fromOpaque(context).takeRetainedValue().run()
    return nil
}

/// Reads the files to upload, on a thread of its own.
actor FileReader {
    private nonisolated let thread: FileThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init() throws { thread = try FileThread() }

    /// A file and its beginning.
    struct Opened: Sendable {
        /// nil when `head` is all of it.
        var descriptor: Int32?
        var bytes: Int
        var head: [UInt8]
    }

    /// The files below `path`, as `FileTree.files` finds them.
    func files(at path: String) throws -> FileTree.Listing { try FileTree.files(at: path) }

    /// Opens a regular file and reads its first `headBytes`.
    /// - Throws: `Failure` with reason EMPTY_FILE, TOO_LARGE, NOT_A_FILE or UNREADABLE.
    func open(_ path: String, headBytes: Int, bytesMax: Int) throws -> Opened {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.unreadable(path, errno) }
        do {
            let size = try Self.size(of: descriptor, path, bytesMax: bytesMax)
            let head = try Self.read(descriptor, headBytes, path)
            guard head.count < size else {
                close(descriptor)
                return Opened(descriptor: nil, bytes: size, head: head)
            }
            return Opened(descriptor: descriptor, bytes: size, head: head)
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// The next bytes; empty at the end.
    func read(_ descriptor: Int32, _ count: Int, path: String) throws -> [UInt8] {
        try Self.read(descriptor, count, path)
    }

    func close(_ descriptor: Int32) { Glibc.close(descriptor) }

    private static func size(of descriptor: Int32, _ path: String, bytesMax: Int) throws -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.invalidArgument, reason: "NOT_A_FILE", "\(path) is not a regular file.")
        }
        guard status.st_size > 0 else {
            throw Failure(
                .invalidArgument, reason: "EMPTY_FILE", "\(path) is empty.",
                remedy: "Check the file and upload it again.")
        }
        guard status.st_size <= bytesMax else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "\(path) has \(status.st_size) bytes; at most \(bytesMax) are accepted (ingest.upload-bytes-max).",
                remedy: "Split the document, or raise ingest.upload-bytes-max here and on the server.")
        }
        return Int(status.st_size)
    }

    private static func read(_ descriptor: Int32, _ count: Int, _ path: String) throws -> [UInt8] {
        var code: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = 0
            while filled < count {
                let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), count - filled)
                if got < 0, errno == EINTR { continue }
                if got < 0 { code = errno }
                if got <= 0 { break }
                filled += got
            }
        }
        guard code == 0 else { throw unreadable(path, code) }
        return bytes
    }

    static func unreadable(_ path: String, _ code: Int32) -> Failure {
        let failureCode: StatusCode = code == ENOENT ? .notFound : .failedPrecondition
        return Failure(
            failureCode, reason: "UNREADABLE", "\(path) cannot be read: \(systemError(code)).",
            remedy: code == EACCES ? "Change its permissions, or run as a user who may read it." : "")
    }
}
