import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct MigratorTests {
    private let first = Migrator.Migration(
        version: 1, name: "first", sql: Array("CREATE TABLE a (id integer); -- one\n".utf8))
    private let second = Migrator.Migration(version: 2, name: "second", sql: Array("CREATE TABLE b (id integer);".utf8))

    @Test func eachMigrationIsAppliedOnceInOrder() async throws {
        try await withEmptyDatabase { database in
            let applied = [
                try await Migrator.migrate(database, to: [first]),
                try await Migrator.migrate(database, to: [first, second]),
                try await Migrator.migrate(database, to: [first, second]),
            ]
            #expect(applied == [1, 1, 0])
            let rows = try await database.run {
                try $0.execute("SELECT version, name FROM schema_migrations ORDER BY version")
            }
            #expect(try rows.map { try $0.text(1) } == ["first", "second"])
        }
    }

    @Test func processesThatMigrateTogetherApplyOnce() async throws {
        try await withEmptyDatabase { database in
            let applied = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 { group.addTask { try await Migrator.migrate(database) } }
                return try await group.reduce(0, +)
            }
            #expect(applied == Migrator.all.count)
        }
    }

    @Test func aChangedMigrationIsRefused() async throws {
        try await withEmptyDatabase { database in
            try await Migrator.migrate(database, to: [first])
            var changed = first
            changed.sql += Array(" ".utf8)
            let migrations = [changed, second]
            let failed = await failure { _ = try await Migrator.migrate(database, to: migrations) }
            #expect(failed?.code == .failedPrecondition)
            #expect(failed?.reason == "MIGRATION_CHANGED")
            let tables = try await database.run { try $0.execute("SELECT 1 FROM pg_tables WHERE tablename = 'b'") }
            #expect(tables.isEmpty)
        }
    }

    @Test func aDatabaseOfANewerVersionIsRefused() async throws {
        try await withEmptyDatabase { database in
            try await Migrator.migrate(database, to: [first, second])
            let failed = await failure { _ = try await Migrator.migrate(database, to: [first]) }
            #expect(failed?.reason == "DATABASE_NEWER")
        }
    }

    @Test func aFailingMigrationLeavesNothing() async throws {
        try await withEmptyDatabase { database in
            let broken = Migrator.Migration(
                version: 2, name: "broken", sql: Array("CREATE TABLE b (id integer); nonsense;".utf8))
            let failed = await failure { _ = try await Migrator.migrate(database, to: [first, broken]) }
            #expect(failed?.code == .internalError)
            let tables = try await database.run {
                try $0.execute("SELECT 1 FROM pg_tables WHERE tablename IN ('a', 'b')")
            }
            #expect(tables.isEmpty)
        }
    }

    @Test(arguments: [
        #"["list"]"#, #"{"key": 1}"#, #"{"key": ["text"]}"#, #"{"key": null}"#,
    ])
    func metadataThatIsNotAnObjectOfStringsIsRefused(metadata: String) async throws {
        try await withDatabase { database in
            let failed = await failure { try await insertDocument(metadata, in: database) }
            #expect(failed?.reason == DatabaseReason.checkViolation)
            try await insertDocument(#"{"key": "text", "other": ""}"#, in: database)
        }
    }

    private func insertDocument(_ metadata: String, in database: Database) async throws {
        _ = try await database.run { connection in
            try connection.execute(
                "INSERT INTO documents (id, collection_id, origin, title, metadata) SELECT $1, id, 'o', 't', $2 FROM collections",
                [.uuid(UUIDv7()), .json(metadata)])
        }
    }

    private func withEmptyDatabase(_ body: (Database) async throws -> Void) async throws {
        let database = Database(Database.Configuration(url: try await TestPostgres.shared().emptyURL()))
        defer { database.close() }
        try await body(database)
    }
}
