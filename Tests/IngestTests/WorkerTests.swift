import Core
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

@Suite(
    .enabled(
        if: TestSystem.extractorPath != nil, "acp-extract is not built, or ACP_BIN_DIR does not name its directory"))
struct WorkerTests {
    private func states(_ system: TestSystem) async throws -> [String: Int] {
        let rows = try await system.database.run { try $0.execute("SELECT state, count(*) FROM jobs GROUP BY state") }
        return Dictionary(try rows.map { (try $0.text(0), try $0.int(1)) }, uniquingKeysWith: +)
    }

    @Test func stoppingGivesLeasesBackAndAnotherWorkerGoesOn() async throws {
        let postgres = try await TestPostgres.shared()
        let url = try await postgres.freshURL()
        let first = try await TestSystem(database: Database(Database.Configuration(url: url)))
        for number in 0..<40 {
            _ = try await first.upload(
                "\(number).txt", Array(repeating: "Line \(number) of many. ", count: 5000).joined())
        }
        try await first.system.startWorker()
        try await first.waitUntil { try await self.states(first)["running"] != nil }
        await first.system.stop(grace: .zero)
        let states = try await states(first)
        #expect(states["running"] == nil && states["failed"] == nil && states["dead"] == nil, "\(states)")
        let attempts = try await first.database.run { connection in
            try connection.execute("SELECT coalesce(max(attempt), 0) FROM jobs WHERE state = 'queued'").one().int(0)
        }
        #expect(attempts == 0)
        try await first.stop(keepingDirectory: true)

        let second = try await TestSystem(
            database: Database(Database.Configuration(url: url)), directory: first.directory)
        try await second.system.startWorker()
        try await second.waitUntil { try await self.states(second) == ["succeeded": 40] }
        // Every document exactly once, whichever worker published it.
        let counts = try await second.rowCounts()
        #expect(counts[0] == 40 && counts[6] == 40)
        try await second.stop()
    }

    @Test func withRedisAndWithoutItDocumentsArePublished() async throws {
        let server = try await TestRedis.start()
        let redis = try RedisClient(RedisClient.Configuration(address: server.address))
        let system = try await TestSystem(database: try await TestPostgres.shared().freshDatabase(), redis: redis)
        try await system.system.startIndex()
        try await system.system.startWorker()
        let before = try await system.end(of: try await system.upload("a.txt", "granite").job)
        #expect(before.state == .succeeded)
        let healthy = await system.system.health()
        #expect(healthy.filter { !$0.healthy } == [])
        try await server.stop()
        let after = try await system.end(of: try await system.upload("b.txt", "granite").job)
        #expect(after.state == .succeeded)
        try await system.catchUp()
        let found = try await system.search.search(SearchRequest(query: "granite"))
        #expect(found.hits.count == 2)
        let health = await system.system.health()
        #expect(health.filter { !$0.healthy }.map(\.name) == ["redis"])
        try await system.stop()
        redis.close()
    }

    @Test func revisionsOfJobsThatDiedAreToldByTheSweeper() async throws {
        try await withSystem { system in
            let job = try await system.upload("a.txt", "granite").job
            _ = try await system.database.run { connection in
                try connection.execute(
                    """
                    UPDATE jobs SET state = 'running', attempt = attempts_max, lease_owner = 'gone',
                        lease_until = now() - interval '1 second'
                    """)
            }
            try await system.system.startWorker()
            let ended = try await system.end(of: job)
            #expect(ended.state == .dead && ended.reason == "LEASE_EXPIRED")
            try await system.waitUntil {
                let rows = try await system.database.run { try $0.execute("SELECT state FROM revisions") }
                return try rows.one().text(0) == "failed"
            }
            // So the same bytes are taken again.
            let again = try await system.upload("a.txt", "granite")
            #expect(!again.unchanged)
            let published = try await system.end(of: again.job)
            #expect(published.state == .succeeded)
        }
    }

    @Test func aWorkerWithoutParsersSaysSo() async throws {
        try await withSystem(adjust: { $0.extractorPath = "/nonexistent/acp-extract" }) { system in
            let refused = await failure { try await system.system.startWorker() }
            #expect(refused?.reason == "EXTRACTOR_UNAVAILABLE")
            let health = await system.system.health()
            #expect(health.filter { !$0.healthy }.map(\.name) == ["extractor"])
            // Documents are still taken: another worker may read them.
            let uploaded = try await system.upload("a.txt", "granite")
            #expect(uploaded.job?.state == .queued)
        }
    }

    @Test func manyDocumentsAtOnceArePublishedExactlyOnce() async throws {
        try await withSystem { system in
            try await system.system.startIndex()
            try await system.system.startWorker()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    if number >= 16 { _ = try await group.next() }
                    group.addTask {
                        let response = try await system.upload(
                            "d\(number).txt", "Document number\(number) speaks of granite.")
                        #expect(response.job != nil)
                    }
                }
                try await group.waitForAll()
            }
            try await system.waitUntil { try await self.states(system) == ["succeeded": 200] }
            try await system.catchUp()
            try await system.expectRows([200, 200, 200, 200, 200, 200, 200])
            let found = try await system.search.search(SearchRequest(query: "granite", limit: 100))
            #expect(found.candidates == 200)
        }
    }
}
