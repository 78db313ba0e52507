public import Core
internal import Logging
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// Takes log records from any thread and writes them on one thread of its own.
///
/// The queue is bounded: when writing is slower than logging, records are dropped, counted, and the count is logged.
/// Nothing that logs ever waits for the disk.
public final class LogWriter: Sendable {
    public struct Options: Sendable {
        /// Directory of `<service>.jsonl`; nil writes no files.
        public var directory: String?
        /// Also write to standard error.
        public var standardError: Bool
        /// Standard error gets lines for people instead of JSON.
        public var standardErrorIsText: Bool
        /// Size at which a file is rotated.
        public var fileBytesMax: Int
        /// Rotated files kept for each service.
        public var filesMax: Int
        /// Bytes waiting to be written above which records are dropped.
        public var queueBytesMax: Int

        public init(
            directory: String?, standardError: Bool, standardErrorIsText: Bool = false,
            fileBytesMax: Int = 64_000_000, filesMax: Int = 8, queueBytesMax: Int = 4 << 20
        ) {
            self.directory = directory
            self.standardError = standardError
            self.standardErrorIsText = standardErrorIsText
            self.fileBytesMax = fileBytesMax
            self.filesMax = filesMax
            self.queueBytesMax = queueBytesMax
        }
    }

    private let options: Options
    private let queue = Mutex(Queue())
    /// Wakes the writer thread.
    private let wake = Semaphore()

    fileprivate struct Queue {
        var state = State.working
        /// Lines by service, in order.
        var lines: [LogLine] = []
        var bytes = 0
        /// Records dropped since the last report, by service.
        var dropped: [String: Int] = [:]
        /// Callers that wait until everything before them is written.
        var flushes: [Semaphore] = []
    }

    /// What the writer thread is doing.
    fileprivate enum State {
        /// Taking or writing a batch; it will look at the queue again. → waiting
        case working
        /// Blocked until `wake` is signalled. → working
        case waiting
        /// `close` was called; the thread ends after the last batch. No way out.
        case closing
    }

    /// Starts the writer thread.
    /// - Throws: `Failure` when the system refuses the thread.
    public init(options: Options) throws(Failure) {
        self.options = options
        // The thread keeps the writer alive until `close`.
        let context = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, logWriterThread, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw PlatformFile.failure("could not be started", "the log writer", code)
        }
        pthread_detach(thread)
    }

    /// Queues one record, or drops and counts it when the queue is full.
    func write(_ record: LogRecord) {
        let json = options.directory != nil || !options.standardErrorIsText ? record.jsonLine() : []
        let text = options.standardError && options.standardErrorIsText ? record.textLine() : []
        let size = json.count + text.count
        let wakes = queue.withLock { queue -> Bool in
            if case .closing = queue.state { return false }
            guard queue.bytes + size <= options.queueBytesMax else {
                queue.dropped[record.service, default: 0] += 1
                return false
            }
            queue.bytes += size
            queue.lines.append(LogLine(service: record.service, json: json, text: text, records: 1))
            return queue.beginWork()
        }
        if wakes { wake.signal() }
    }

    /// Waits until every record queued so far is written, at most `timeoutMs` milliseconds. Blocks its thread: for the end of a process and for tests.
    /// - Returns: false when the time was not enough.
    @discardableResult
    public func flush(timeoutMs: Int = 2000) -> Bool { wait(timeoutMs: timeoutMs, closing: false) }

    /// Writes what is queued and ends the writer thread; later records are discarded.
    @discardableResult
    public func close(timeoutMs: Int = 2000) -> Bool { wait(timeoutMs: timeoutMs, closing: true) }

    private func wait(timeoutMs: Int, closing: Bool) -> Bool {
        let done = Semaphore()
        let isOpen = queue.withLock { queue -> Bool in
            if case .closing = queue.state { return false }
            queue.flushes.append(done)
            if queue.beginWork() || closing { wake.signal() }
            if closing { queue.state = .closing }
            return true
        }
        return !isOpen || done.wait(timeoutMs: timeoutMs)
    }

    /// The writer thread's loop.
    fileprivate func run() {
        let files = LogFiles(options: options)
        // Records that a full disk swallowed; reported with the next batch, because reporting at once would fail as well.
        var lost: [String: Int] = [:]
        while true {
            let (batch, isClosing) = queue.withLock { $0.take() }
            if batch.lines.isEmpty && batch.flushes.isEmpty {
                if isClosing { return }
                wake.wait()
                continue
            }
            let dropped = batch.dropped.merging(lost, uniquingKeysWith: +)
            lost = files.write(dropped.sorted { $0.key < $1.key }.map(Self.dropReport) + batch.lines)
            for flush in batch.flushes { flush.signal() }
        }
    }

    private static func dropReport(service: String, count: Int) -> LogLine {
        let record = LogRecord(
            time: .now(), level: .warning, service: service, context: nil, message: "log records dropped",
            metadata: ["dropped": .stringConvertible(count)], error: nil)
        return LogLine(service: service, json: record.jsonLine(), text: record.textLine(), records: count)
    }
}

extension LogWriter.Queue {
    /// Hands the waiting lines to the writer thread; with nothing to do the thread has to wait for `wake`.
    fileprivate mutating func take() -> (batch: LogWriter.Queue, isClosing: Bool) {
        let isClosing = if case .closing = state { true } else { false }
        let batch = self
        // Without lines a count of drops stays: it is reported with the next line, in its place.
        if lines.isEmpty && flushes.isEmpty {
            if !isClosing { state = .waiting }
            return (batch, isClosing)
        }
        lines = []
        bytes = 0
        dropped = [:]
        flushes = []
        return (batch, isClosing)
    }

    /// Notes that there is work; true when the thread has to be woken.
    fileprivate mutating func beginWork() -> Bool {
        guard case .waiting = state else { return false }
        state = .working
        return true
    }
}

private func logWriterThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    Unmanaged<LogWriter>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
