internal import Core
internal import Glibc
internal import Logging
internal import Search
internal import Storage
internal import Synchronization

/// Keeps this process's index equal to the database: applies `index_log` in order of its sequence.
///
/// The index is derived. When it is damaged, or does not belong to the database, it is emptied and made anew from the log.
final class IndexFollower: Sendable {
    /// The log is looked at this often even if nobody says that it has grown.
    private static let pollMs = 200
    /// Changes are made durable after this long; what a crash forgets is applied again.
    private static let flushSeconds = 5
    private static let backoffMsMax = 5000
    /// How long searches that still use a replaced index may take to end.
    private static let reopenSeconds = 10

    private enum State {
        case idle
        case following(LexicalIndex, Task<Void, Never>?)
        /// Being emptied; searches are refused.
        case rebuilding(Task<Void, Never>?)
        case stopped
    }

    private let directory: String
    private let markerPath: String
    private let database: Database
    private let logger: Logger
    private let thread = WorkThread()
    private let news = Nudge()
    private let state = Mutex(State.idle)
    private let isDamaged = Mutex(false)
    private let waiter = Mutex<RedisWaiter?>(nil)
    private let redis: RedisAddress?
    private let stream: String

    /// - Parameter stream: the Redis stream that says that the log has grown.
    init(directory: String, database: Database, redis: RedisAddress?, stream: String, logger: Logger) {
        self.directory = directory
        markerPath = directory + ".database"
        self.database = database
        self.redis = redis
        self.stream = stream
        self.logger = logger
    }

    /// The index to search.
    /// - Throws: UNAVAILABLE with reason INDEX_NOT_READY.
    var index: LexicalIndex {
        get throws {
            if case .following(let index, _) = state.withLock({ $0 }) { return index }
            throw Failure(
                .unavailable, reason: "INDEX_NOT_READY", "The search index is not open yet, or is being made anew.",
                remedy: "Try again in a moment.", retryAfterMs: 500)
        }
    }

    /// The last position applied; 0 while there is no index.
    var sequence: Int64 { (try? index.sequence) ?? 0 }
    var statistics: IndexStatistics? { try? index.statistics }

    /// Whether this process has an index at all.
    var isUsed: Bool {
        switch state.withLock({ $0 }) {
        case .idle, .stopped: false
        case .following, .rebuilding: true
        }
    }

    /// Says that the log may have grown.
    func nudge() { news.set() }

    /// Says that a search met damage: the index is made anew.
    func reportDamage() {
        isDamaged.withLock { $0 = true }
        news.set()
    }

    /// Opens the index, throws away one that does not belong to the database, and starts following.
    func start() async throws {
        let directory = directory
        let index = try await thread.run { try LexicalIndex(directory: directory) }
        logger.info(
            "index opened", metadata: ["outcome": "\(index.openReport.outcome)", "sequence": "\(index.sequence)"])
        state.withLock { $0 = .following(index, nil) }
        if let redis {
            // Without it changes made by other processes are seen a little later.
            let waiter = try? RedisWaiter(redis, streams: [stream]) { [weak self] _ in self?.nudge() }
            self.waiter.withLock { $0 = waiter }
        }
        let task = Task { await self.follow() }
        state.withLock { state in
            if case .following(let index, _) = state { state = .following(index, task) }
        }
    }

    /// Ends following, makes the index durable and closes it.
    func stop() async {
        waiter.withLock { waiter in
            waiter?.close()
            waiter = nil
        }
        let task = state.withLock { state -> Task<Void, Never>? in
            switch state {
            case .following(_, let task), .rebuilding(let task): task
            case .idle, .stopped: nil
            }
        }
        task?.cancel()
        await task?.value
        await flush()
        state.withLock { $0 = .stopped }
        thread.stop()
    }

    // MARK: Following

    private func follow() async {
        var lastFlush = MonotonicTime.now()
        var backoffMs = 100
        // Whether the index belongs to the database: asked at the start and after the database was away.
        var isVerified = false
        while !Task.isCancelled {
            do {
                if isDamaged.withLock({ $0 }) { try await rebuild("it is damaged") }
                if !isVerified { try await verify() }
                isVerified = true
                let isBehind = try await applyNext()
                backoffMs = 100
                if lastFlush.duration(to: .now()) >= .seconds(Self.flushSeconds) {
                    await flush()
                    lastFlush = .now()
                }
                if !isBehind { await news.wait(timeout: .milliseconds(Self.pollMs)) }
            } catch {
                if Task.isCancelled { return }
                isVerified = false
                let failure = Failure(wrapping: error)
                if failure.code == .dataLoss { isDamaged.withLock { $0 = true } }
                logger.warning("index cannot follow", metadata: ["error": "\(failure)"])
                try? await Task.sleep(for: .milliseconds(Int.random(in: backoffMs / 2...backoffMs)))
                backoffMs = min(backoffMs * 2, Self.backoffMsMax)
            }
        }
    }

    private func verify() async throws {
        let sequence = try index.sequence
        let marker = IndexMarker.read(markerPath)
        let mismatch = try await database.run { connection in
            let corpus = try IndexMarker.corpus(on: connection)
            return try IndexMarker.mismatch(marker, sequence: sequence, corpus: corpus, on: connection)
        }
        if let mismatch { try await rebuild(mismatch) }
    }

    /// Applies the next stretch of the log. Returns whether there may be more.
    private func applyNext() async throws -> Bool {
        let index = try index
        let sequence = index.sequence
        guard let batch = try await database.run({ try IndexBatch.load(after: sequence, on: $0) }) else { return false }
        let start = MonotonicTime.now()
        do {
            try await thread.run { try index.apply(batch.changes, through: batch.sequence) }
        } catch let failure as Failure where failure.code == .invalidArgument {
            try await applyOneByOne(batch, to: index)
        }
        IngestMetrics.stage("indexing", start, .now())
        return true
    }

    /// One document that the index refuses must not keep all others out: it is left out, and said so.
    private func applyOneByOne(_ batch: IndexBatch, to index: LexicalIndex) async throws {
        let logger = logger
        try await thread.run {
            for (change, sequence) in zip(batch.changes, batch.sequences) {
                do {
                    try index.apply([change], through: sequence)
                } catch let failure as Failure where failure.code == .invalidArgument {
                    guard case .publish(let document, _) = change else { throw failure }
                    try index.apply([.retract(document: document)], through: sequence)
                    logger.error(
                        "document left out of the index",
                        metadata: ["document_id": "\(document)", "error": "\(failure)"])
                }
            }
            if index.sequence < batch.sequence { try index.apply([], through: batch.sequence) }
        }
    }

    /// Makes everything applied so far durable. A failure leaves the index working; it is tried again.
    private func flush() async {
        guard let index = try? index else { return }
        do {
            try await thread.run { try index.flush() }
            let sequence = index.statistics.durableSequence
            guard sequence > 0, IndexMarker.read(markerPath)?.sequence != sequence else { return }
            let marker = try await database.run { connection -> IndexMarker? in
                let rows = try connection.execute(
                    "SELECT revision_id FROM index_log WHERE sequence = $1", [.int64(sequence)])
                guard let row = rows.first else { return nil }
                return IndexMarker(
                    corpus: try IndexMarker.corpus(on: connection), sequence: sequence, revision: try row.uuid(0))
            }
            let path = markerPath
            if let marker { try await thread.run { try marker.write(path) } }
        } catch {
            logger.warning("index not made durable", metadata: ["error": "\(Failure(wrapping: error))"])
        }
    }

    // MARK: Making it anew

    private func rebuild(_ reason: String) async throws {
        logger.warning("index is made anew", metadata: ["reason": "\(reason)"])
        // Until it is done, so that a failure in the middle is followed by another attempt.
        isDamaged.withLock { $0 = true }
        let (directory, markerPath) = (directory, markerPath)
        // While this process still has the index open, so that no other one can have.
        try await thread.run {
            unlink(markerPath)
            guard unlink("\(directory)/manifest") == 0 || errno == ENOENT else {
                throw Failure(
                    .unavailable, reason: "INDEX_IO", "Could not empty the index in \(directory) (error \(errno)).")
            }
        }
        state.withLock { state in
            if case .following(_, let task) = state { state = .rebuilding(task) }
        }
        let deadline = MonotonicTime.now().advanced(by: .seconds(Self.reopenSeconds))
        while true {
            do {
                // Without its manifest whatever else is there is discarded.
                let index = try await thread.run { try LexicalIndex(directory: directory) }
                isDamaged.withLock { $0 = false }
                state.withLock { state in
                    if case .rebuilding(let task) = state { state = .following(index, task) }
                }
                return
            } catch let failure as Failure where failure.reason == "INDEX_IN_USE" && MonotonicTime.now() < deadline {
                // A search still reads the old one.
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }
}
