import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct JobQueueTests {
    @Test func aJobGoesFromQueuedToRunningToSucceeded() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "ingest", payload: #"{"a": "b"}"#), in: database)
            let claimed = try await queue.claim(owner: "w1", kinds: ["ingest"], limit: 10)
            #expect(claimed.map(\.job.id) == [id])
            #expect(claimed[0].job.state == .running)
            #expect(claimed[0].job.payload == #"{"a": "b"}"#)
            #expect(claimed[0].lease.attempt == 1)
            let lease = claimed[0].lease
            let transition = try await database.transaction { connection in
                try JobQueue.complete(.succeeded(lease, result: #"{"chunks": 3}"#), on: connection)
            }
            #expect(transition == JobTransition(id: id, kind: "ingest", state: .succeeded))
            let job = try await queue.get(id)
            #expect(job.state == .succeeded)
            #expect(job.result == #"{"chunks": 3}"#)
            #expect(job.finishedAt != nil)
            #expect(job.leaseUntil == nil)
        }
    }

    @Test func aJobOfARolledBackTransactionDoesNotExist() async throws {
        try await withQueue { queue, database in
            _ = await failure {
                try await database.transaction { connection in
                    _ = try JobQueue.enqueue(NewJob(kind: "k"), on: connection)
                    throw Failure(.aborted, "on purpose")
                }
            }
            let jobs = try await queue.list(limit: 10)
            #expect(jobs.isEmpty)
        }
    }

    @Test func claimsTakeTheBestDueJobsOfTheirKinds() async throws {
        try await withQueue { queue, database in
            var low = NewJob(kind: "k")
            low.priority = -1
            var high = NewJob(kind: "k")
            high.priority = 5
            var later = NewJob(kind: "k")
            later.runAt = WallTime(microseconds: WallTime.now().microseconds + 3_600_000_000)
            let normal = NewJob(kind: "k")
            let jobs = [low, normal, high, later, NewJob(kind: "other")]
            _ = try await database.transaction { try JobQueue.enqueue(jobs, on: $0) }
            let first = try await queue.claim(owner: "w", kinds: ["k"], limit: 2)
            #expect(first.map(\.job.id) == [high.id, normal.id])
            let rest = try await queue.claim(owner: "w", kinds: ["k"], limit: 10)
            #expect(rest.map(\.job.id) == [low.id])
        }
    }

    @Test func aWorkerWhoseLeaseWasTakenCanCommitNothing() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            let stale = try await queue.claim(owner: "w1", kinds: ["k"], limit: 1)[0].lease
            try await expireLeases(in: database)
            let swept = try await queue.sweep()
            #expect(swept.requeued.map(\.id) == [id])
            let fresh = try await queue.claim(owner: "w2", kinds: ["k"], limit: 1)[0].lease
            #expect(fresh.fencing == stale.fencing + 1)

            let failed = await failure {
                try await database.transaction { connection in
                    try connection.execute("INSERT INTO settings (key, value) VALUES ('published', 'true')")
                    _ = try JobQueue.complete(.succeeded(stale), on: connection)
                }
            }
            #expect(failed?.code == .aborted)
            #expect(failed?.reason == JobQueue.leaseLost)
            let published = try await database.run { try $0.execute("SELECT 1 FROM settings") }
            #expect(published.isEmpty)
            let refused = await failure {
                _ = try await queue.fail(stale, Failure(.internalError, "x"), retryable: true)
            }
            #expect(refused?.reason == JobQueue.leaseLost)
            let lost = try await queue.heartbeat([JobHeartbeat(stale), JobHeartbeat(fresh)])
            #expect(lost == [id])
            _ = try await database.transaction { try JobQueue.complete(.succeeded(fresh), on: $0) }
        }
    }

    @Test func anExpiredLeaseCannotCommitEvenBeforeAnotherClaim() async throws {
        try await withQueue { queue, database in
            _ = try await enqueue(NewJob(kind: "k"), in: database)
            let lease = try await queue.claim(owner: "w1", kinds: ["k"], limit: 1)[0].lease
            try await expireLeases(in: database)
            _ = try await queue.sweep()
            let held = try await database.transaction { try JobQueue.completeMany([.succeeded(lease)], on: $0) }
            #expect(held.isEmpty)
        }
    }

    @Test func theLeasesOfADeadWorkerAreEndedAndNobodyElses() async throws {
        try await withQueue { queue, database in
            let dead = try await enqueue(NewJob(kind: "k"), in: database)
            let stale = try await queue.claim(owner: "w1", kinds: ["k"], limit: 1)[0].lease
            let alive = try await enqueue(NewJob(kind: "k"), in: database)
            _ = try await queue.claim(owner: "w2", kinds: ["k"], limit: 1)
            try await queue.endLeases(of: "w1")
            let swept = try await queue.sweep()
            #expect(swept.requeued.map(\.id) == [dead])
            #expect(try await queue.get(alive).state == .running)
            _ = try await queue.claim(owner: "w1", kinds: ["k"], limit: 1)
            let held = try await database.transaction { try JobQueue.completeMany([.succeeded(stale)], on: $0) }
            #expect(held.isEmpty, "the one thought dead can store nothing")
        }
    }

    @Test func heartbeatsProlongTheLeaseAndStoreProgress() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            let lease = try await queue.claim(owner: "w1", kinds: ["k"], limit: 1)[0].lease
            try await expireLeases(in: database)
            let progress = JobProgress(stage: "parsing", done: 3, total: 9)
            let lost = try await queue.heartbeat([JobHeartbeat(lease, progress: progress)])
            #expect(lost.isEmpty)
            let swept = try await queue.sweep()
            #expect(swept.requeued.isEmpty)
            _ = try await queue.heartbeat([JobHeartbeat(lease)])
            let job = try await queue.get(id)
            #expect([job.stage, "\(job.progressDone)/\(job.progressTotal)"] == ["parsing", "3/9"])
        }
    }

    @Test func aFailedAttemptWaitsAndTheLastOneIsDead() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            for attempt in 1...5 {
                let claimed = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)
                #expect(claimed.first?.lease.attempt == attempt)
                let lease = try #require(claimed.first).lease
                let before = WallTime.now()
                let transition = try await queue.fail(
                    lease, Failure(.unavailable, reason: "PARSER_DOWN", "It was down."), retryable: true)
                let job = try await queue.get(id)
                #expect(job.reason == "PARSER_DOWN")
                if attempt == 5 {
                    #expect(transition.state == .dead)
                    #expect(job.state == .dead)
                } else {
                    #expect(transition.state == .queued)
                    #expect(job.runAt.microseconds >= before.microseconds + Int64(500_000 << (attempt - 1)))
                    let early = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)
                    #expect(early.isEmpty)
                    try await makeDue(in: database)
                }
            }
            let explained = try await queue.explain(id)
            #expect(explained.summary.contains("Failed 5 times"))
            #expect(explained.nextAttempt == nil)
        }
    }

    @Test func aJobThatEndsKeepsHowFarItCameAndOneThatIsRepeatedBeginsAnew() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            func progress() async throws -> String {
                let job = try await queue.get(id)
                return "\(job.state) \(job.stage) \(job.progressDone)/\(job.progressTotal)"
            }
            let first = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            let half = JobProgress(stage: "parsing", done: 4, total: 9)
            _ = try await queue.heartbeat([JobHeartbeat(first, progress: half)])
            _ = try await queue.fail(first, Failure(.unavailable, reason: "DOWN", "It was down."), retryable: true)
            #expect(try await progress() == "queued  0/0")
            try await makeDue(in: database)
            let second = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            _ = try await queue.heartbeat([JobHeartbeat(second, progress: half)])
            _ = try await database.run { connection in
                try JobQueue.fail(
                    second, Failure(.invalidArgument, reason: "BAD", "It is bad."), retryable: false,
                    progress: JobProgress(stage: "parsing", done: 6, total: 9), on: connection)
            }
            #expect(try await progress() == "failed parsing 6/9")
            _ = try await queue.retry(id)
            #expect(try await progress() == "queued  0/0")
            let third = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            _ = try await queue.heartbeat([JobHeartbeat(third, progress: half)])
            _ = try await database.transaction { try JobQueue.complete(.succeeded(third, count: 12), on: $0) }
            #expect(try await progress() == "succeeded  12/12")
        }
    }

    @Test func aFailureThatRepeatingCannotCureEndsTheJob() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            let lease = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            let transition = try await queue.fail(
                lease, Failure(.invalidArgument, reason: "PDF_ENCRYPTED", "Encrypted."), retryable: false)
            #expect(transition.state == .failed)
            let retried = try await queue.retry(id)
            #expect(retried.state == .queued)
            let again = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)
            #expect(again.first?.lease.attempt == 1)
            #expect(again.first?.lease.fencing == 2)
        }
    }

    @Test func aWorkerThatKeepsDyingMakesTheJobDead() async throws {
        try await withQueue { queue, database in
            var job = NewJob(kind: "k")
            job.attemptsMax = 2
            let id = try await enqueue(job, in: database)
            for attempt in 1...2 {
                let claimed = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)
                #expect(claimed.count == 1)
                try await expireLeases(in: database)
                let swept = try await queue.sweep()
                #expect(swept.dead.map(\.id) == (attempt == 2 ? [id] : []))
            }
            let dead = try await queue.get(id)
            #expect(dead.state == .dead)
            #expect(dead.reason == "LEASE_EXPIRED")
        }
    }

    @Test func aRepeatedIdempotencyKeyReturnsTheFirstJob() async throws {
        try await withQueue { queue, database in
            var job = NewJob(kind: "k")
            job.idempotencyKey = "upload-1"
            var repeated = NewJob(kind: "k")
            repeated.idempotencyKey = "upload-1"
            let jobs = [job, repeated]
            let results = try await database.transaction {
                try JobQueue.enqueue(jobs, on: $0).map { ($0.id, $0.alreadyExisted) }
            }
            #expect(results.map(\.0) == [job.id, job.id])
            #expect(results.map(\.1) == [false, true])
            let all = try await queue.list(limit: 10)
            #expect(all.count == 1)
        }
    }

    @Test func concurrentRequestsWithOneKeyMakeOneJob() async throws {
        try await withQueue { queue, database in
            let ids = try await withThrowingTaskGroup(of: UUIDv7.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        var job = NewJob(kind: "k")
                        job.idempotencyKey = "same"
                        let new = job
                        return try await database.transaction { try JobQueue.enqueue(new, on: $0).id }
                    }
                }
                return try await group.reduce(into: Set<UUIDv7>()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            let all = try await queue.list(limit: 10)
            #expect(all.count == 1)
        }
    }

    @Test func cancellingTakesTheJobFromItsWorker() async throws {
        try await withQueue { queue, database in
            let id = try await enqueue(NewJob(kind: "k"), in: database)
            let lease = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            let transition = try await queue.cancel(id)
            #expect(transition.state == .cancelled)
            let lost = try await queue.heartbeat([JobHeartbeat(lease)])
            #expect(lost == [id])
            let again = await failure { _ = try await queue.cancel(id) }
            #expect(again?.reason == "JOB_ENDED")
            let missing = await failure { _ = try await queue.cancel(UUIDv7()) }
            #expect(missing?.code == .notFound)
        }
    }

    @Test func listingPagesByKeyNewestFirstAndByState() async throws {
        try await withQueue { queue, database in
            var jobs: [NewJob] = []
            for index in 0..<7 {
                jobs.append(NewJob(kind: "k", id: UUIDv7(now: WallTime(microseconds: Int64(index) * 1_000_000))))
            }
            let new = jobs
            _ = try await database.transaction { try JobQueue.enqueue(new, on: $0) }
            let page = try await queue.list(limit: 3)
            #expect(page.map(\.id) == jobs.reversed().prefix(3).map(\.id))
            let next = try await queue.list(after: page.last?.id, limit: 10)
            #expect(next.map(\.id) == jobs.reversed().dropFirst(3).map(\.id))
            _ = try await queue.cancel(jobs[0].id)
            let cancelled = try await queue.list(limit: 10, states: [.cancelled])
            #expect(cancelled.map(\.id) == [jobs[0].id])
        }
    }

    @Test func explainTellsThePositionInTheQueue() async throws {
        try await withQueue { queue, database in
            let jobs = (0..<4).map { NewJob(kind: "k", id: UUIDv7(now: WallTime(microseconds: Int64($0) * 1_000_000))) }
            _ = try await database.transaction { try JobQueue.enqueue(jobs, on: $0) }
            let explained = try await queue.explain(jobs[3].id)
            #expect(explained.ahead == 3)
            #expect(explained.summary == "3 jobs are ahead in the queue.")
        }
    }

    /// Several workers that claim, die, fail, complete and sweep at random: every job ends once, and is never held twice.
    @Test(arguments: [1, 2, 3] as [UInt64]) func manyWorkersCompleteEachJobExactlyOnce(seed: UInt64) async throws {
        try await withQueue { queue, database in
            let jobs = (0..<60).map { _ in NewJob(kind: "k") }
            _ = try await database.transaction { try JobQueue.enqueue(jobs, on: $0) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        try await Self.work(UInt64(worker) &+ seed &* 1000, "w\(worker)", queue, database)
                    }
                }
                try await group.waitForAll()
            }
            // Each completion appended one row in the same transaction.
            let rows = try await database.run { connection in
                try connection.execute("SELECT key FROM settings")
            }
            let completed = try rows.map { try $0.text(0) }
            #expect(Set(completed) == Set(jobs.map { "done-\($0.id)" }), "seed \(seed)")
            let states = try await queue.get(jobs.map(\.id)).map(\.state)
            #expect(states.allSatisfy { $0 == .succeeded }, "seed \(seed)")
        }
    }

    private static func work(_ seed: UInt64, _ owner: String, _ queue: JobQueue, _ database: Database) async throws {
        var generator = SeededGenerator(seed: seed)
        while true {
            let claimed = try await queue.claim(
                owner: owner, kinds: ["k"], limit: Int.random(in: 1...8, using: &generator))
            for job in claimed {
                let dies = Int.random(in: 0..<8, using: &generator) == 0 && job.lease.attempt < 4
                // A silent lease that no sweep has taken away yet may still complete; one that was taken may not.
                var taken = false
                if dies {
                    try await expireLeases(in: database, only: job.lease.jobID)
                    taken = try await queue.sweep().requeued.contains { $0.id == job.lease.jobID }
                }
                let outcome = await failure {
                    try await database.transaction { connection in
                        _ = try JobQueue.complete(.succeeded(job.lease), on: connection)
                        try connection.execute(
                            "INSERT INTO settings (key, value) VALUES ($1, 'true')", [.text("done-\(job.lease.jobID)")])
                    }
                }
                // Losing the lease is expected after dying; a unique violation would be a second completion.
                if let outcome, outcome.reason != JobQueue.leaseLost { throw outcome }
                if taken { #expect(outcome?.reason == JobQueue.leaseLost) }
            }
            if claimed.isEmpty {
                let open = try await queue.list(limit: 100, states: [.queued, .running])
                if open.isEmpty { return }
                await Task.yield()
            }
        }
    }

    private func enqueue(_ job: NewJob, in database: Database) async throws -> UUIDv7 {
        try await database.transaction { try JobQueue.enqueue(job, on: $0).id }
    }

    /// Time passes for the leases, without waiting for it.
    private func expireLeases(in database: Database) async throws {
        try await Self.expireLeases(in: database, only: nil)
    }

    private static func expireLeases(in database: Database, only id: UUIDv7?) async throws {
        _ = try await database.run { connection in
            try connection.execute(
                """
                UPDATE jobs SET lease_until = now() - interval '1 second'
                WHERE state = 'running' AND ($1::uuid IS NULL OR id = $1)
                """, [.uuid(id)])
        }
    }

    private func makeDue(in database: Database) async throws {
        _ = try await database.run { try $0.execute("UPDATE jobs SET run_at = now() WHERE state = 'queued'") }
    }

    private func withQueue(_ body: (JobQueue, Database) async throws -> Void) async throws {
        try await withDatabase { database in
            let queue = JobQueue(database: database, redis: nil)
            defer { queue.close() }
            try await body(queue, database)
        }
    }
}
