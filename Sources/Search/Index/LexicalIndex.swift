internal import Core
internal import Synchronization

/// The lexical index of one process: follows `index_log`, answers BM25 searches.
///
/// Recent changes are small segments in memory, older ones immutable files; a search takes a snapshot of both and is never blocked by writing.
/// Everything here is derived: the directory may be deleted while nobody has it open, and the index starts again at sequence 0.
///
/// `apply`, `flush` and `init` do blocking file I/O and analysis; `search` reads mapped files. Call them from a thread of your own, not from the
/// cooperative pool. Lock order: `writer`, then `snapshot`.
public final class LexicalIndex: Sendable {
    /// What only the writer changes.
    private struct Writer {
        /// The number of the next segment file; never used twice, even when writing it failed.
        var nextFileNumber: UInt64
    }

    private let directory: IndexDirectory
    private let options: IndexOptions
    private let lock: DirectoryLock
    /// Held for the whole of a write.
    private let writer: Mutex<Writer>
    /// Held for the moment of taking or replacing the snapshot.
    private let snapshot: Mutex<IndexSnapshot>

    /// What was found on opening.
    public let openReport: IndexOpenReport

    /// Opens or creates the index in `directory`. Damage of any kind, another version included, discards what is there (see `openReport`).
    ///
    /// - Throws: `Failure` INDEX_IO when the directory cannot be used, INDEX_IN_USE when another process has it open.
    public init(directory path: String, options: IndexOptions = IndexOptions()) throws {
        try Files.createDirectory(path)
        lock = try DirectoryLock(directory: path)
        directory = IndexDirectory(path: path)
        self.options = options
        let opened = try directory.open()
        openReport = opened.report
        writer = Mutex(Writer(nextFileNumber: opened.nextFileNumber))
        snapshot = Mutex(opened.snapshot)
    }

    /// The last applied sequence of `index_log`. What a reopened index starts with is the one of the last flush.
    public var sequence: Int64 { snapshot.withLock { $0.sequence } }

    // MARK: Writing

    /// Applies changes as one: searches that start afterwards see all of them, others none.
    ///
    /// When memory is full it is flushed first, so a full disk refuses changes instead of filling memory.
    ///
    /// - Parameter sequence: the position after the changes; larger than `sequence`, or equal to it when there are no changes.
    /// - Throws: `Failure` with nothing applied.
    public func apply(_ changes: [IndexChange], through sequence: Int64) throws {
        for change in changes { try change.validate(options) }
        try writer.withLock { writer in
            try Self.translatingDamage {
                var next = snapshot.withLock { $0 }
                guard sequence > next.sequence || sequence == next.sequence && changes.isEmpty else {
                    throw Failure(
                        .failedPrecondition, reason: "SEQUENCE_BEHIND",
                        "The search index is at sequence \(next.sequence) and cannot apply changes through \(sequence)."
                    )
                }
                if next.memoryChunks >= options.memoryChunksMax || next.memoryBytes >= options.memoryBytesMax {
                    next = try flush(next, &writer)
                }
                try apply(changes, to: &next)
                next.sequence = sequence
                snapshot.withLock { $0 = next }
            }
        }
    }

    /// Makes everything applied so far durable, then merges segment files when there are too many.
    ///
    /// - Throws: `Failure` when the state could not be made durable; the index goes on as before.
    public func flush() throws {
        try writer.withLock { writer in
            try Self.translatingDamage {
                let current = snapshot.withLock { $0 }
                if current.memory.isEmpty, current.sequence == current.durableSequence { return }
                _ = try flush(current, &writer)
            }
        }
    }

    private func apply(_ changes: [IndexChange], to next: inout IndexSnapshot) throws {
        var last: [UUIDv7: [IndexedChunk]] = [:]
        for change in changes { last[change.document] = change.chunks }
        for id in last.keys {
            for index in next.files.indices { try next.files[index].retract(id) }
            for index in next.memory.indices { try next.memory[index].retract(id) }
        }
        next.memory.removeAll { $0.liveDocumentCount == 0 }
        var group: [(id: UUIDv7, chunks: [IndexedChunk])] = []
        var groupChunks = 0
        for (id, chunks) in last where !chunks.isEmpty {
            group.append((id, chunks))
            groupChunks += chunks.count
            // Building takes about 20 times the text's size for a moment: not for all of a large batch at once.
            if groupChunks >= 2048 {
                next.memory.append(try Self.build(group))
                group = []
                groupChunks = 0
            }
        }
        if !group.isEmpty { next.memory.append(try Self.build(group)) }
        let policy = MergePolicy(
            fanout: options.mergeFanout, segmentsMax: .max, segmentChunksMax: options.segmentChunksMax)
        while let picked = policy.pick(next.memory.map(Self.candidate)) {
            let bytes = try SegmentMerger.merge(picked.map { next.memory[$0] }, into: ByteSink())
            for index in picked.sorted(by: >) { next.memory.remove(at: index) }
            next.memory.append(SegmentView(try Segment(SegmentBytes(copying: bytes))))
        }
    }

    private static func build(_ documents: [(id: UUIDv7, chunks: [IndexedChunk])]) throws -> SegmentView {
        SegmentView(try Segment(SegmentBytes(copying: try SegmentBuilder().build(documents))))
    }

    private static func candidate(_ view: SegmentView) -> MergePolicy.Candidate {
        MergePolicy.Candidate(chunks: view.segment.chunkCount, liveChunks: view.liveChunkCount)
    }

    /// Turns `current` into its durable form and installs it.
    private func flush(_ current: IndexSnapshot, _ writer: inout Writer) throws -> IndexSnapshot {
        var next = current
        next.files = current.files.filter { $0.liveDocumentCount > 0 }
        if !current.memory.isEmpty {
            let written = try directory.writeSegment(take(&writer), merging: current.memory)
            next.files.append(written)
            next.memory = []
        }
        next = try commit(next, replacing: current, &writer)
        var mergeFailure: String?
        do {
            while let merged = try mergeFiles(next, &writer) { next = merged }
        } catch {
            // The state is durable; merging is tried again after the next flush.
            mergeFailure = (error as? Failure)?.message ?? (error as? IndexDamage)?.failure.message ?? "unknown"
            next = snapshot.withLock { $0 }
        }
        next.mergeFailure = mergeFailure
        snapshot.withLock { $0 = next }
        return next
    }

    /// Merges what the policy picks; nil when nothing is to be done.
    private func mergeFiles(_ current: IndexSnapshot, _ writer: inout Writer) throws -> IndexSnapshot? {
        let policy = MergePolicy(
            fanout: options.mergeFanout, segmentsMax: options.segmentsMax, segmentChunksMax: options.segmentChunksMax)
        guard let picked = policy.pick(current.files.map(Self.candidate)) else { return nil }
        var next = current
        let merged = try directory.writeSegment(take(&writer), merging: picked.map { current.files[$0] })
        for index in picked.sorted(by: >) { next.files.remove(at: index) }
        next.files.append(merged)
        return try commit(next, replacing: current, &writer)
    }

    /// Writes the manifest of `next`, installs it, and lets go of files that only `current` needed.
    private func commit(
        _ next: IndexSnapshot, replacing current: IndexSnapshot, _ writer: inout Writer
    ) throws -> IndexSnapshot {
        var next = next
        do {
            try directory.writeManifest(
                files: next.files, sequence: next.sequence, nextFileNumber: writer.nextFileNumber)
        } catch {
            let known = Set(current.files.map(\.fileNumber))
            for view in next.files where !known.contains(view.fileNumber) { view.segment.owner.markObsolete() }
            throw error
        }
        snapshot.withLock { $0 = next }
        try directory.sync()
        next.durableSequence = next.sequence
        snapshot.withLock { $0 = next }
        let kept = Set(next.files.map(\.fileNumber))
        for view in current.files where !kept.contains(view.fileNumber) { view.segment.owner.markObsolete() }
        return next
    }

    private func take(_ writer: inout Writer) -> UInt64 {
        defer { writer.nextFileNumber += 1 }
        return writer.nextFileNumber
    }

    // MARK: Reading

    /// The best chunks for a query at the position the index has now.
    ///
    /// - Throws: `Failure` INVALID_ARGUMENT for a query that is too long or asks for too much; DATA_LOSS for a damaged index.
    public func search(_ query: LexicalQuery) throws -> LexicalResult {
        try query.validate()
        let snapshot = snapshot.withLock { $0 }
        return try Self.translatingDamage { try Searcher(snapshot, query).run() }
    }

    public var statistics: IndexStatistics {
        let now = snapshot.withLock { $0 }
        let views = now.views
        return IndexStatistics(
            documents: views.reduce(0) { $0 + $1.liveDocumentCount },
            chunks: views.reduce(0) { $0 + $1.liveChunkCount },
            deadChunks: views.reduce(0) { $0 + $1.segment.chunkCount - $1.liveChunkCount },
            segments: now.files.count, memorySegments: now.memory.count,
            bytes: now.files.reduce(0) { $0 + $1.segment.byteCount }, memoryBytes: now.memoryBytes,
            sequence: now.sequence, durableSequence: now.durableSequence,
            mergeFailure: now.mergeFailure)
    }

    /// Damage met while reading, as callers see it.
    private static func translatingDamage<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch let damage as IndexDamage { throw damage.failure }
    }
}
