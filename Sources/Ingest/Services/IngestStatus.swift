internal import Core
internal import RPC
internal import Search
internal import Storage

/// What the system knows of itself: counts, positions, dependencies.
struct IngestStatus: Sendable {
    /// The index may be this far behind the log, in entries, before that is worth worrying about.
    private static let lagMax: Int64 = 10_000
    /// How long a dependency may take to answer.
    private static let answerMs = 2000

    let database: Database
    let redis: RedisClient?
    let follower: IndexFollower
    /// nil where documents are not processed.
    let extractor: @Sendable () -> ExtractorHealth?
    let version: String

    /// Whether documents can be read here.
    struct ExtractorHealth: Sendable {
        var failure: Failure?
        var detail: String
    }

    func get() async throws -> GetStatusResponse {
        async let health = dependencies()
        let row = try await database.run { connection in
            try connection.execute(
                """
                SELECT (SELECT count(*) FROM documents WHERE deleted_at IS NULL),
                    (SELECT count(*) FROM jobs WHERE state = 'queued'), (SELECT count(*) FROM jobs WHERE state = 'running'),
                    (SELECT count(*) FROM jobs WHERE state = 'dead'), (SELECT coalesce(max(sequence), 0) FROM index_log),
                    (SELECT count(*) FROM embeddings)
                """
            ).one()
        }
        let dependencies = await health
        return GetStatusResponse(
            documents: UInt64(try row.int64(0)), chunks: UInt64(follower.statistics?.chunks ?? 0),
            jobsQueued: UInt64(try row.int64(1)), jobsRunning: UInt64(try row.int64(2)),
            jobsDead: UInt64(try row.int64(3)), logSequence: UInt64(try row.int64(4)),
            indexSequence: UInt64(follower.sequence), chunksEmbedded: UInt64(try row.int64(5)), version: version,
            dependencies: dependencies.map {
                DependencyStatus(name: $0.name, healthy: $0.healthy, detail: $0.detail)
            })
    }

    /// PostgreSQL, Redis when it is used, the parsers where documents are processed, the index.
    func dependencies() async -> [DependencyHealth] {
        async let postgres = postgres()
        async let cache = cache()
        let position = await postgres
        var found = [position.health]
        if let cache = await cache { found.append(cache) }
        if let extractor = extractor() {
            found.append(
                DependencyHealth(
                    name: "extractor", healthy: extractor.failure == nil,
                    detail: extractor.failure.map(Self.told) ?? extractor.detail))
        }
        if let index = index(logSequence: position.sequence) { found.append(index) }
        return found
    }

    private func postgres() async -> (health: DependencyHealth, sequence: Int64?) {
        do {
            let sequence = try await Self.bounded { [database] in
                try await database.run { try IndexLog.last(on: $0) }
            }
            return (DependencyHealth(name: "postgresql", healthy: true), sequence)
        } catch {
            return (DependencyHealth(name: "postgresql", healthy: false, detail: Self.told(error)), nil)
        }
    }

    /// Redis may vanish: everything works on without it, a little slower.
    private func cache() async -> DependencyHealth? {
        guard let redis else { return nil }
        do {
            _ = try await Self.bounded { try await redis.command(["PING"]) }
            return DependencyHealth(name: "redis", healthy: true)
        } catch {
            return DependencyHealth(name: "redis", healthy: false, detail: Self.told(error))
        }
    }

    private func index(logSequence: Int64?) -> DependencyHealth? {
        guard follower.isUsed else { return nil }
        guard let statistics = follower.statistics else {
            return DependencyHealth(
                name: "index", healthy: false, detail: "The search index is not open, or is being made anew.")
        }
        let lag = max(0, (logSequence ?? statistics.sequence) - statistics.sequence)
        if lag > Self.lagMax {
            return DependencyHealth(
                name: "index", healthy: false,
                detail: "The search index is \(lag) changes behind; it catches up by itself.")
        }
        return DependencyHealth(
            name: "index", healthy: true, detail: statistics.mergeFailure.map { "Merging segments fails: \($0)" } ?? "")
    }

    private static func told(_ error: any Error) -> String {
        let failure = Failure(wrapping: error)
        return failure.remedy.isEmpty ? failure.message : "\(failure.message) \(failure.remedy)"
    }

    /// The answer of a dependency that has to give it soon.
    private static func bounded<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        try await withThrowingTaskGroup(of: T.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: .milliseconds(answerMs))
                throw Failure(.deadlineExceeded, "It did not answer within \(answerMs) ms.")
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }
}
