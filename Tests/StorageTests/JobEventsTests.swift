import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct JobEventsTests {
    @Test func aWakeUpInAnotherProcessEndsTheWait() async throws {
        let redis = try RedisClient(RedisClient.Configuration(address: try await TestRedis.shared().address))
        try await withDatabase { database in
            let namespace = "test-\(UUIDv7())"
            // Two queues that share nothing but Redis, as in two processes.
            let worker = JobQueue(database: database, redis: redis, namespace: namespace)
            let service = JobQueue(database: database, redis: redis, namespace: namespace)
            await worker.waitForWork(timeout: .seconds(60))  // The first connection to Redis counts as one.
            while !worker.isListening { await Task.yield() }
            await worker.waitForWork(timeout: .zero)
            let start = MonotonicTime.now()
            await service.wake()
            await worker.waitForWork(timeout: .seconds(60))
            #expect(start.duration(to: .now()) < .seconds(30))
            worker.close()
            service.close()
        }
    }

    @Test func withoutRedisWorkersPoll() async throws {
        let gone = try RedisClient(
            RedisClient.Configuration(address: .unix(path: "/nonexistent/redis.sock", database: 0)))
        try await withDatabase { database in
            let queue = JobQueue(database: database, redis: gone)
            let job = NewJob(kind: "k")
            _ = try await database.transaction { try JobQueue.enqueue(job, on: $0).id }
            await queue.wake()
            await queue.waitForWork(timeout: .seconds(600))
            await queue.waitForWork(timeout: .seconds(600))
            await queue.waitForWork(timeout: .seconds(600))
            let claimed = try await queue.claim(owner: "w", kinds: ["k"], limit: 1)
            #expect(claimed.map(\.job.id) == [job.id])
            queue.close()
        }
    }

    @Test(arguments: [true, false]) func updatesShowEveryStateUpToTheEnd(withRedis: Bool) async throws {
        let redis =
            withRedis ? try RedisClient(RedisClient.Configuration(address: try await TestRedis.shared().address)) : nil
        try await withDatabase { database in
            let namespace = "test-\(UUIDv7())"
            let watcher = JobQueue(database: database, redis: redis, namespace: namespace)
            let worker = JobQueue(database: database, redis: redis, namespace: namespace)
            let job = NewJob(kind: "k")
            _ = try await database.transaction { try JobQueue.enqueue(job, on: $0).id }
            var updates = watcher.updates(job.id).makeAsyncIterator()

            var states = [try await updates.next()?.state]
            let lease = try await worker.claim(owner: "w", kinds: ["k"], limit: 1)[0].lease
            states.append(try await updates.next()?.state)
            _ = try await worker.heartbeat([JobHeartbeat(lease, progress: JobProgress(stage: "parsing"))])
            let parsing = try await updates.next()
            #expect(parsing?.stage == "parsing")
            let done = try await database.transaction { try JobQueue.complete(.succeeded(lease), on: $0) }
            await worker.announce([done])
            states.append(try await updates.next()?.state)
            states.append(try await updates.next()?.state)
            #expect(states == [.queued, .running, .succeeded, nil])
            watcher.close()
            worker.close()
        }
    }

    @Test func watchingAJobThatDoesNotExistThrowsNotFound() async throws {
        try await withDatabase { database in
            let queue = JobQueue(database: database, redis: nil)
            let failed = await failure { for try await _ in queue.updates(UUIDv7()) {} }
            #expect(failed?.code == .notFound)
        }
    }

    @Test func aSignalSetBeforeTheWaitIsNotLost() async {
        let signal = Signal()
        signal.set()
        await signal.wait(.seconds(600))
        let waiter = Task { await signal.wait(.seconds(600)) }
        waiter.cancel()
        await waiter.value
        await signal.wait(.zero)
    }

    @Test(arguments: [0.0, 0.5, 0.999]) func retryDelaysGrowFromOneSecondToFiveMinutes(jitter: Double) {
        for attempt in 1...40 {
            let delay = RetryDelay.milliseconds(attempt: attempt, jitter: jitter)
            let limit = min(300_000, 1000 << min(20, attempt - 1))
            #expect(delay >= limit / 2 && delay <= limit)
        }
    }
}
