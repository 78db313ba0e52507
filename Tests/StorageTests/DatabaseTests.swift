import Core
import TestSupport
import Testing

@testable import Storage

@Suite struct DatabaseTests {
    @Test func aTransactionThatThrowsLeavesNothing() async throws {
        try await withDatabase { database in
            let failed = await failure {
                try await database.transaction { connection in
                    try connection.execute("INSERT INTO settings (key, value) VALUES ('a', '1')")
                    throw Failure(.cancelled, "on purpose")
                }
            }
            #expect(failed?.message == "on purpose")
            let stored = try await settingsCount(database)
            #expect(stored == 0)
        }
    }

    @Test func aTransactionThatSwallowedAnErrorDoesNotPretendToCommit() async throws {
        try await withDatabase { database in
            let failed = await failure {
                try await database.transaction { connection in
                    try connection.execute("INSERT INTO settings (key, value) VALUES ('a', '1')")
                    _ = try? connection.execute("SELECT 1 / 0")
                }
            }
            #expect(failed?.reason == DatabaseReason.transactionAborted)
            let stored = try await settingsCount(database)
            #expect(stored == 0)
        }
    }

    @Test func aTransactionWithoutStatementsSendsNothing() async throws {
        try await withDatabase { database in
            let value = try await database.transaction { _ in 7 }
            #expect(value == 7)
            try await database.ping()
        }
    }

    @Test func serializationFailuresAreRetried() async throws {
        try await withDatabase { database in
            try await database.run { _ = try $0.execute("INSERT INTO settings (key, value) VALUES ('n', '0')") }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await database.transaction(.serializable) { connection in
                            let value = try connection.execute("SELECT value::text FROM settings WHERE key = 'n'").one()
                                .text(0)
                            try connection.execute(
                                "UPDATE settings SET value = to_jsonb($1) WHERE key = 'n'",
                                [.int((Int(value) ?? 0) + 1)])
                        }
                    }
                }
                try await group.waitForAll()
            }
            let value = try await database.run { try $0.execute("SELECT value::text FROM settings").one().text(0) }
            #expect(value == "4")
        }
    }

    @Test func anIdleConnectionThatTheServerEndedIsReplacedUnnoticed() async throws {
        try await withDatabase({
            $0.poolMin = 2; $0.poolMax = 2
        }) { database in
            let pid = try await database.run { try $0.execute("SELECT pg_backend_pid()").one().int64(0) }
            let other = try await TestPostgres.shared().administration()
            defer { other.close() }
            try await other.run { connection in
                _ = try connection.execute("SELECT pg_terminate_backend($1::int, 5000)", [.int64(pid)])
            }
            let next = try await database.run { try $0.execute("SELECT pg_backend_pid()").one().int64(0) }
            #expect(next != pid)
            #expect(database.connectionCounts.open == 1)
        }
    }

    @Test func aConnectionLostInUseIsUnavailableAndThePoolRecovers() async throws {
        try await withDatabase { database in
            let failed = await failure {
                try await database.transaction { connection in
                    try connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
                    try connection.execute("SELECT 1")
                }
            }
            #expect(failed?.code == .unavailable)
            #expect(failed?.reason == DatabaseReason.unavailable)
            #expect(failed?.remedy.isEmpty == false)
            try await database.ping()
        }
    }

    @Test func aCommitWithoutAnswerIsReportedAsUnknown() async throws {
        try await withDatabase { database in
            // A deferred constraint trigger runs during COMMIT and ends the backend there.
            try await database.run { connection in
                try connection.execute("CREATE TABLE doomed (id integer)")
                try connection.execute(
                    """
                    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$
                    """)
                try connection.execute(
                    """
                    CREATE CONSTRAINT TRIGGER die AFTER INSERT ON doomed DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW EXECUTE FUNCTION die()
                    """)
            }
            let failed = await failure {
                try await database.transaction { _ = try $0.execute("INSERT INTO doomed VALUES (1)") }
            }
            #expect(failed?.reason == DatabaseReason.commitUnknown)
            try await database.ping()
        }
    }

    @Test func aServerThatIsNotThereIsNamedWithARemedy() async throws {
        let database = Database(Database.Configuration(url: "host=/nonexistent dbname=acp user=acp"))
        let failed = await failure { try await database.ping() }
        #expect(failed?.code == .unavailable)
        #expect(failed?.message.contains("/nonexistent") == true)
        #expect(database.connectionCounts.open == 0)
    }

    @Test func callersHearWhyTheServerIsAwayFromWhoeverKnows() async throws {
        var configuration = Database.Configuration(url: "host=/nonexistent dbname=acp user=acp")
        let why = Failure(.unavailable, reason: Failure.diskFull, "Its disk is full.", remedy: "Free space.")
        configuration.outage = { why }
        let database = Database(configuration)
        #expect(await failure { try await database.ping() } == why)
        configuration.outage = { nil }
        let other = Database(configuration)
        #expect(await failure { try await other.ping() }?.reason == DatabaseReason.unavailable)
    }

    @Test func thePoolNeverOpensMoreThanItsLimit() async throws {
        try await withDatabase({ $0.poolMax = 3 }) { database in
            let pids = try await withThrowingTaskGroup(of: Int64.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await database.run { try $0.execute("SELECT pg_backend_pid()").one().int64(0) }
                    }
                }
                return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
            }
            #expect(pids.count <= 3)
            #expect(database.connectionCounts.open <= 3)
            #expect(database.connectionCounts.waiting == 0)
        }
    }

    @Test func waitingForAConnectionEndsWithATypedFailure() async throws {
        try await withDatabase({
            $0.poolMax = 1; $0.acquireTimeoutMs = 50
        }) { database in
            try await whileTheOnlyConnectionIsBusy(database) {
                let failed = await failure { try await database.ping() }
                #expect(failed?.code == .unavailable)
                #expect(failed?.reason == DatabaseReason.poolExhausted)
            }
            try await database.ping()
            #expect(database.connectionCounts.open == 1)
        }
    }

    @Test func aCancelledWaiterLeavesThePoolCleanly() async throws {
        try await withDatabase({
            $0.poolMax = 1; $0.acquireTimeoutMs = 60_000
        }) { database in
            try await whileTheOnlyConnectionIsBusy(database) {
                let waiter = Task { try await database.ping() }
                while database.connectionCounts.waiting == 0 { await Task.yield() }
                waiter.cancel()
                await #expect(throws: CancellationError.self) { try await waiter.value }
                #expect(database.connectionCounts.waiting == 0)
            }
            try await database.ping()
        }
    }

    @Test func aClosedPoolRefuses() async throws {
        try await withDatabase { database in
            try await database.ping()
            database.close()
            let failed = await failure { try await database.ping() }
            #expect(failed?.code == .unavailable)
            #expect(database.connectionCounts.open == 0)
        }
    }

    /// Holds the pool's one connection, on a lock that `body` outlives, while `body` runs.
    private func whileTheOnlyConnectionIsBusy(_ database: Database, _ body: () async throws -> Void) async throws {
        let gate = Monitor(false)
        let isInside = Monitor(false)
        let holder = Task {
            try await database.run { connection in
                try connection.execute("SELECT 1")
                isInside.update { $0 = true }
                _ = gate.wait { $0 ? true : nil }
            }
        }
        while !isInside.withLock({ $0 }) { await Task.yield() }
        defer { gate.update { $0 = true } }
        try await body()
        gate.update { $0 = true }
        try await holder.value
    }

    private func settingsCount(_ database: Database) async throws -> Int {
        try await database.run { try $0.execute("SELECT count(*) FROM settings").one().int(0) }
    }
}
