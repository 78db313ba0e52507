import Core
import Glibc
import Logging
import RPC
import Search
import Storage
import TestSupport
import Testing

@testable import Ingest

@Suite struct FollowerTests {
    /// Publishes texts as documents without parsers.
    private func publish(_ system: TestSystem, _ texts: [(origin: String, text: String)]) async throws {
        var prepared: [PreparedRevision] = []
        for (origin, text) in texts { _ = try await system.upload(origin, text) }
        let claimed = try await system.system.jobs.claim(owner: "test", kinds: [DocumentStore.jobKind], limit: 1000)
        for input in try await system.database.run({ try IngestInput.load(claimed, on: $0) }) {
            guard let text = texts.first(where: { $0.origin == input.origin })?.text else { continue }
            var content = ExtractedContent(mediaType: .plainText)
            content.parserName = "given"
            content.blocks = [Block(kind: .paragraph, text: text)]
            prepared.append(try PreparedRevision(content, input))
        }
        _ = try await RevisionPublisher(database: system.database).publish(prepared)
    }

    private func origins(_ system: TestSystem, _ query: String) async throws -> [String] {
        let found = try await system.search.search(SearchRequest(query: query, limit: 100))
        return found.hits.map(\.origin).sorted()
    }

    @Test func whatIsPublishedBecomesSearchableAndWhatIsDeletedDoesNot() async throws {
        try await withSystem { system in
            try await system.system.startIndex()
            try await publish(system, [("a", "granite and basalt"), ("b", "granite and marble")])
            try await system.catchUp()
            #expect(try await origins(system, "granite") == ["a", "b"])
            let listed = try await system.ingest.listDocuments(ListDocumentsRequest())
            let id = try #require(listed.documents.first { $0.origin == "a" }?.id)
            _ = try await system.ingest.deleteDocument(DeleteDocumentRequest(id: id))
            // At once, whether or not the index has followed.
            #expect(try await origins(system, "granite") == ["b"])
            try await system.catchUp()
            #expect(try await origins(system, "basalt") == [])
        }
    }

    @Test func aRestartContinuesWhereTheIndexWasLeft() async throws {
        let postgres = try await TestPostgres.shared()
        let url = try await postgres.freshURL()
        let first = try await TestSystem(database: Database(Database.Configuration(url: url)))
        try await first.system.startIndex()
        try await publish(first, [("a", "granite")])
        try await first.catchUp()
        let sequence = first.system.indexSequence
        try await first.stop(keepingDirectory: true)

        let second = try await TestSystem(
            database: Database(Database.Configuration(url: url)), directory: first.directory)
        try await publish(second, [("b", "granite")])
        try await second.system.startIndex()
        #expect(second.system.indexSequence >= sequence)
        try await second.catchUp()
        #expect(try await origins(second, "granite") == ["a", "b"])
        try await second.stop()
    }

    @Test func aDamagedIndexIsMadeAnew() async throws {
        let postgres = try await TestPostgres.shared()
        let url = try await postgres.freshURL()
        let first = try await TestSystem(database: Database(Database.Configuration(url: url)))
        try await first.system.startIndex()
        try await publish(first, [("a", "granite")])
        try await first.catchUp()
        try await first.stop(keepingDirectory: true)
        let descriptor = open(first.directory + "/index/manifest", O_WRONLY)
        #expect(pwrite(descriptor, [0xFF, 0xFF, 0xFF, 0xFF], 4, 8) == 4)
        close(descriptor)

        let second = try await TestSystem(
            database: Database(Database.Configuration(url: url)), directory: first.directory)
        try await second.system.startIndex()
        try await second.catchUp()
        #expect(try await origins(second, "granite") == ["a"])
        try await second.stop()
    }

    @Test func anIndexOfAnotherDatabaseIsMadeAnew() async throws {
        let postgres = try await TestPostgres.shared()
        let first = try await TestSystem(database: try await postgres.freshDatabase())
        try await first.system.startIndex()
        try await publish(first, [("a", "granite"), ("b", "basalt")])
        try await first.catchUp()
        try await first.stop(keepingDirectory: true)

        // Its log is as long, so the sequence alone would not tell.
        let second = try await TestSystem(database: try await postgres.freshDatabase(), directory: first.directory)
        try await publish(second, [("c", "granite"), ("d", "marble")])
        try await second.system.startIndex()
        try await second.waitUntil { try await self.origins(second, "granite") == ["c"] }
        #expect(try await origins(second, "basalt") == [])
        try await second.stop()
    }

    @Test func anIndexAheadOfTheLogIsMadeAnew() async throws {
        let postgres = try await TestPostgres.shared()
        let url = try await postgres.freshURL()
        let first = try await TestSystem(database: Database(Database.Configuration(url: url)))
        try await first.system.startIndex()
        try await publish(first, [("a", "granite"), ("b", "granite")])
        try await first.catchUp()
        try await first.stop(keepingDirectory: true)

        // The database is restored to an earlier state.
        let second = try await TestSystem(
            database: Database(Database.Configuration(url: url)), directory: first.directory)
        _ = try await second.database.run { connection in
            try connection.execute("DELETE FROM index_log WHERE sequence = (SELECT max(sequence) FROM index_log)")
        }
        try await second.system.startIndex()
        try await second.waitUntil { try await self.origins(second, "granite").count == 1 }
        try await second.stop()
    }

    @Test func damageReportedByASearchMakesTheIndexAnew() async throws {
        try await withSystem { system in
            let database = system.database
            let follower = IndexFollower(
                directory: system.directory + "/other-index", database: database, redis: nil, stream: "",
                logger: Logger(label: "test"))
            try await follower.start()
            try await publish(system, [("a", "granite")])
            follower.nudge()
            try await system.waitUntil { follower.sequence > 0 }
            weak let before = try follower.index
            follower.reportDamage()
            try await system.waitUntil { before == nil && follower.sequence > 0 }
            #expect(follower.statistics?.documents == 1)
            await follower.stop()
        }
    }

    @Test func manyDocumentsAreFollowedInOrder() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        try await withSystem { system in
            try await system.system.startIndex()
            var expected: [String: String] = [:]
            for round in 0..<8 {
                let texts = (0..<10).map { number in
                    (origin: "d\(number)", text: "term\(Int.random(in: 0..<5, using: &generator)) round\(round)")
                }
                let chosen = texts.filter { _ in Bool.random(using: &generator) }
                try await publish(system, chosen)
                for (origin, text) in chosen { expected[origin] = text }
            }
            try await system.catchUp()
            for term in 0..<5 {
                let wanted = expected.filter { $0.value.hasPrefix("term\(term) ") }.keys.sorted()
                let found = try await origins(system, "term\(term)")
                #expect(found == wanted, "seed \(seed)")
            }
        }
    }
}

extension TestSystem {
    /// Returns when `condition` holds.
    func waitUntil(_ condition: () async throws -> Bool) async throws {
        let deadline = MonotonicTime.now().advanced(by: .seconds(30))
        while MonotonicTime.now() < deadline {
            if (try? await condition()) == true { return }
            try await Task.sleep(for: .milliseconds(2))
        }
        throw Failure(.deadlineExceeded, "a condition of the test does not come true")
    }
}
