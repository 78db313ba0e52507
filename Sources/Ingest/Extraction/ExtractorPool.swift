public import Core
internal import Glibc
public import Logging
internal import Synchronization

/// Reads untrusted documents in sandboxed processes, a few at a time.
///
/// Each slot is a thread that waits for one parser; the parsers are children of two `acp-extract` servers (text and PDF), which are started
/// when first needed and started again when they end.
public final class ExtractorPool: Sendable {
    /// Documents that may wait for a slot.
    public static let waitingMax = 4096

    private enum Phase {
        /// Next: running.
        case new
        /// Next: stopping.
        case running
        /// Slots finish; the last one resumes these. Next: stopped.
        case stopping([CheckedContinuation<Void, Never>])
        case stopped
    }

    private struct State {
        var phase = Phase.new
        var idle: [Int] = []
        var liveSlots = 0
        /// First in, first out from `nextWaiting`.
        var waiting: [ExtractionJob] = []
        var nextWaiting = 0
        var handed: [Int: ExtractionJob] = [:]
        var running: [Int: ExtractionJob] = [:]
    }

    private let executable: String
    private let slotCount: Int
    private let limits: ExtractionLimits
    private let log: Logger
    private let slots = Mutex<[ExtractorSlot]>([])
    private let state = Mutex(State())
    /// Held while a server starts, so that two slots do not start two.
    private let processes = Mutex<[ExtractorProfile: ExtractorProcess]>([:])

    /// - Parameters:
    ///   - executable: absolute path of `acp-extract`; see `defaultExecutable`.
    ///   - slots: documents read at the same time, at least 1.
    public init(executable: String, slots: Int, limits: ExtractionLimits = ExtractionLimits(), log: Logger) {
        self.executable = executable
        slotCount = max(1, slots)
        self.limits = limits
        self.log = log
    }

    /// `acp-extract` in the directory of the running program.
    public static func defaultExecutable() -> String {
        var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = path.withUnsafeMutableBytes { bytes in
            bytes.bindMemory(to: CChar.self).baseAddress.map { readlink("/proc/self/exe", $0, bytes.count) } ?? 0
        }
        let own = path[..<max(0, count)]
        let directory = own.lastIndex(of: UInt8(ascii: "/")).map { own[..<$0] } ?? []
        return String(decoding: directory, as: UTF8.self) + "/acp-extract"
    }

    /// What is known of the servers that run, for health and status.
    public struct Status: Sendable, Hashable {
        /// Profiles whose server runs.
        public var running: [String] = []
        /// Their process ids.
        public var processIDs: [Int32] = []
        /// `name version` of their parsers.
        public var parsers: [String] = []
        /// Lowest Landlock version among them; 0: the seccomp filter is the only fence; nil: none runs yet.
        public var landlockVersion: Int?
        public var documentsWaiting = 0
        public var documentsRunning = 0
    }

    public var status: Status {
        var status = Status()
        processes.withLock { processes in
            for (profile, process) in processes.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                status.running.append(profile.rawValue)
                status.processIDs.append(process.pid)
                status.parsers += process.parsers
                status.landlockVersion = min(status.landlockVersion ?? process.landlockVersion, process.landlockVersion)
            }
        }
        state.withLock { state in
            status.documentsWaiting = state.waiting.count - state.nextWaiting
            status.documentsRunning = state.running.count
        }
        return status
    }

    /// Starts the slots and the server for text. Blocks for as long as that takes to start (about 20 ms).
    /// - Throws: UNAVAILABLE with reason EXTRACTOR_UNAVAILABLE.
    public func start() throws(Failure) {
        try ExtractorProcess.check(executable)
        let server = try process(.text)
        if server.landlockVersion == 0 {
            log.warning("the kernel has no Landlock: parsers are fenced by seccomp alone")
        }
        var made: [ExtractorSlot] = []
        for _ in 0..<slotCount { made.append(try ExtractorSlot()) }
        slots.withLock { $0 = made }
        state.withLock { state in
            state.phase = .running
            state.idle = Array(made.indices.reversed())
            state.liveSlots = made.count
        }
        for (index, slot) in made.enumerated() {
            let isStarted = startThread { [self] in runSlot(index, slot) }
            guard isStarted else {
                state.withLock { $0.liveSlots -= made.count - index }
                throw ExtractorProcess.unavailable("no thread could be started")
            }
        }
    }

    /// Reads one document. Cancelling the task kills its parser.
    ///
    /// - Parameters:
    ///   - limits: instead of the pool's.
    ///   - progress: told as the parser's output comes, in order, on another thread; it must not block.
    /// - Throws: `Failure`: INVALID_ARGUMENT (PDF_DAMAGED, EMPTY_FILE), FAILED_PRECONDITION (PDF_ENCRYPTED, PARSER_TIMEOUT, PARSER_MEMORY,
    ///   PARSER_CRASHED), RESOURCE_EXHAUSTED (TOO_LARGE, EXTRACTOR_BUSY), UNAVAILABLE (EXTRACTOR_UNAVAILABLE); `CancellationError`.
    public func extract(
        _ original: OriginalBytes, mediaType: MediaType, limits: ExtractionLimits? = nil,
        progress: @escaping @Sendable (ExtractionProgress) -> Void = { _ in }
    ) async throws -> ExtractedContent {
        let job = ExtractionJob(original, mediaType: mediaType, limits: limits ?? self.limits, progress: progress)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if job.wait(continuation) { enqueue(job) }
            }
        } onCancel: {
            job.cancel()
        }
    }

    /// Ends running parsers and the servers; documents that wait or run fail with UNAVAILABLE. Returns when all is ended.
    public func shutdown() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            var refused: [ExtractionJob] = []
            let isStopped = state.withLock { state in
                switch state.phase {
                case .running where state.liveSlots > 0: state.phase = .stopping([continuation])
                case .stopping(let others): state.phase = .stopping(others + [continuation])
                case .new, .running, .stopped:
                    state.phase = .stopped
                    return true
                }
                refused = Array(state.waiting[state.nextWaiting...]) + state.handed.values + state.running.values
                state.handed = [:]
                state.waiting = []
                state.nextWaiting = 0
                return false
            }
            if isStopped { continuation.resume() }
            for job in refused {
                job.finish(.failure(Self.stopping))
                job.cancel()
            }
            for slot in slots.withLock({ $0 }) { slot.signal.wake() }
        }
        processes.withLock { $0 = [:] }
    }

    private static let stopping = Failure(
        .unavailable, reason: "EXTRACTOR_UNAVAILABLE", "The service is stopping and reads no more documents.",
        remedy: "The document is read when the service runs again.")

    private func enqueue(_ job: ExtractionJob) {
        enum Decision {
            case wake(Int)
            case wait
            case refuse(Failure)
        }
        let decision: Decision = state.withLock { state in
            guard case .running = state.phase else { return .refuse(Self.stopping) }
            if let slot = state.idle.popLast() {
                state.handed[slot] = job
                return .wake(slot)
            }
            guard state.waiting.count - state.nextWaiting < Self.waitingMax else {
                return .refuse(
                    Failure(
                        .resourceExhausted, reason: "EXTRACTOR_BUSY",
                        "\(Self.waitingMax) documents wait to be read already.",
                        remedy: "Try again later.", retryAfterMs: 1000))
            }
            state.waiting.append(job)
            return .wait
        }
        switch decision {
        case .wake(let index): slots.withLock { $0[index].signal.wake() }
        case .wait: break
        case .refuse(let failure): job.finish(.failure(failure))
        }
    }
}

// MARK: The slots' threads

extension ExtractorPool {
    private func runSlot(_ index: Int, _ slot: ExtractorSlot) {
        while let job = nextJob(index, slot) {
            guard job.run(slot.signal) else { continue }
            let result = slot.run(job, process: process(_:), lost: lost(_:))
            job.finish(result)
        }
        let waiting = state.withLock { state in
            state.liveSlots -= 1
            guard state.liveSlots == 0, case .stopping(let waiting) = state.phase else {
                return [CheckedContinuation<Void, Never>]()
            }
            state.phase = .stopped
            return waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    /// The next document for a slot, or nil when the pool stops. Blocks.
    private func nextJob(_ index: Int, _ slot: ExtractorSlot) -> ExtractionJob? {
        enum Decision {
            case run(ExtractionJob)
            case wait
            case end
        }
        while true {
            let decision: Decision = state.withLock { state in
                state.running[index] = nil
                guard case .running = state.phase else { return .end }
                let job: ExtractionJob
                if let handed = state.handed.removeValue(forKey: index) {
                    job = handed
                } else if state.nextWaiting < state.waiting.count {
                    job = state.waiting[state.nextWaiting]
                    state.nextWaiting += 1
                    if state.nextWaiting * 2 > state.waiting.count {
                        state.waiting.removeFirst(state.nextWaiting)
                        state.nextWaiting = 0
                    }
                } else {
                    if !state.idle.contains(index) { state.idle.append(index) }
                    return .wait
                }
                state.running[index] = job
                return .run(job)
            }
            switch decision {
            case .run(let job): return job
            case .end: return nil
            case .wait:
                var polled = pollfd(fd: slot.signal.descriptor, events: Int16(POLLIN), revents: 0)
                poll(&polled, 1, -1)
                slot.signal.clear()
            }
        }
    }

    /// The running server of a profile, started if need be. Blocks.
    private func process(_ profile: ExtractorProfile) throws(Failure) -> ExtractorProcess {
        let result: Result<ExtractorProcess, Failure> = processes.withLock { processes in
            if let process = processes[profile] { return .success(process) }
            do throws(Failure) {
                let process = try ExtractorProcess(executable: executable, profile: profile)
                processes[profile] = process
                log.info(
                    "parser process started",
                    metadata: ["profile": "\(profile.rawValue)", "landlock": "\(process.landlockVersion)"])
                return .success(process)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func lost(_ process: ExtractorProcess) {
        processes.withLock { processes in
            for (profile, known) in processes where known === process {
                processes[profile] = nil
                log.warning("parser process ended unexpectedly", metadata: ["profile": "\(profile.rawValue)"])
            }
        }
    }
}

/// Runs `body` on a detached thread. Returns false when the system has none.
private func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let context = Unmanaged.passRetained(Body(body))
    var thread = pthread_t()
    let error = pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    guard error == 0 else {
        context.release()
        return false
    }
    pthread_detach(thread)
    return true
}
