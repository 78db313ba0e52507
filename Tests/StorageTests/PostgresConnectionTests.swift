import Core
import Storage
import TestSupport
import Testing

@Suite struct PostgresConnectionTests {
    @Test func everyValueTypeComesBackAsItWasSent() async throws {
        let id = UUIDv7()
        let time = WallTime(microseconds: 1_764_000_000_123_456)
        let early = WallTime(microseconds: -62_135_596_800_000_000)
        let bytes = (0...255).map { UInt8($0) }
        try await withDatabase { database in
            try await database.run { connection in
                let row = try connection.execute(
                    "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17",
                    [
                        .bool(true), .int16(-7), .int32(.min), .int64(.max), .double(-0.1), .text("naïve 日本 🎈"),
                        .bytes(bytes), .uuid(id), .time(time), .json(#"{"a": [1, "b"]}"#),
                        .textArray(["", "x", "ü\"{},\\"]),
                        .int64Array([-1, .max]), .uuidArray([id]), .time(early), .text(""), .bytes([]), .textArray([]),
                    ]
                ).one()
                #expect(try row.bool(0) == true)
                #expect(try row.int64(1) == -7)
                #expect(try row.int(2) == Int(Int32.min))
                #expect(try row.int64(3) == .max)
                #expect(try row.double(4) == -0.1)
                #expect(try row.text(5) == "naïve 日本 🎈")
                #expect(try row.bytes(6) == bytes)
                #expect(try row.withBytes(6) { Array($0) } == bytes)
                #expect(try row.uuid(7) == id)
                #expect(try row.time(8) == time)
                #expect(try row.json(9) == #"{"a": [1, "b"]}"#)
                #expect(try row.textArray(10) == ["", "x", "ü\"{},\\"])
                #expect(try row.int64Array(11) == [-1, .max])
                #expect(try row.uuidArray(12) == [id])
                #expect(try row.time(13) == early)
                #expect(try row.text(14) == "")
                #expect(try row.bytes(15) == [])
                #expect(try row.textArray(16) == [])
            }
        }
    }

    @Test func typedNullsAreNull() async throws {
        try await withDatabase { database in
            try await database.run { connection in
                let row = try connection.execute(
                    "SELECT $1, $2, $3, $4, $5, $6, $7, $8",
                    [
                        .bool(nil), .int64(nil), .double(nil), .text(nil), .bytes(nil), .uuid(nil), .time(nil),
                        .json(nil),
                    ]
                ).one()
                #expect((0..<8).allSatisfy(row.isNull))
                #expect(try row.optionalBool(0) == nil)
                #expect(try row.optionalInt64(1) == nil)
                #expect(try row.optionalDouble(2) == nil)
                #expect(try row.optionalText(3) == nil)
                #expect(try row.optionalBytes(4) == nil)
                #expect(try row.optionalUUID(5) == nil)
                #expect(try row.optionalTime(6) == nil)
                #expect(try row.optionalJSON(7) == nil)
            }
        }
    }

    @Test func arraysWithNullElementsArriveInSQL() async throws {
        try await withDatabase { database in
            try await database.run { connection in
                let rows = try connection.execute(
                    "SELECT a, b, c, d FROM unnest($1::text[], $2::jsonb[], $3::bytea[], $4::timestamptz[]) AS t (a, b, c, d)",
                    [
                        .textArray(["x", nil]), .jsonArray([nil, "[1]"]), .bytesArray([[1, 2], nil]),
                        .timeArray([WallTime(microseconds: 5), nil]),
                    ])
                #expect(try rows[0].optionalText(0) == "x")
                #expect(try rows[1].optionalText(0) == nil)
                #expect(try rows[0].optionalJSON(1) == nil)
                #expect(try rows[1].optionalJSON(1) == "[1]")
                #expect(try rows[0].optionalBytes(2) == [1, 2])
                #expect(try rows[0].optionalTime(3) == WallTime(microseconds: 5))
                #expect(try rows[1].optionalTime(3) == nil)
            }
        }
    }

    @Test func readingAColumnAsAnotherTypeIsAnInternalFailure() async throws {
        try await withDatabase { database in
            try await database.run { connection in
                let row = try connection.execute("SELECT 'x'::text, NULL::text").one()
                #expect { try row.int64(0) } throws: { ($0 as? Failure)?.reason == "ROW_TYPE" }
                #expect { try row.text(1) } throws: { ($0 as? Failure)?.reason == "ROW_TYPE" }
                #expect { try row.text(2) } throws: { ($0 as? Failure)?.reason == "ROW_TYPE" }
            }
        }
    }

    @Test func aStatementIsPreparedOncePerConnectionAndAgainForOtherTypes() async throws {
        let statements: StaticString = "SELECT $1"
        let counts = try await withDatabase { database in
            try await database.run { connection in
                let count = { (connection: isolated PostgresConnection) in
                    try connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1'")
                        .one().int(0)
                }
                for number in 0..<5 { try connection.execute(statements, [.int(number)]) }
                let same = try count(connection)
                #expect(try connection.execute(statements, [.text("x")]).one().text(0) == "x")
                return [same, try count(connection)]
            }
        }
        #expect(counts == [1, 2])
    }

    @Test func aPipelineIsOneTransactionAndStopsAtItsFirstError() async throws {
        try await withDatabase { database in
            let failed = await failure {
                try await database.run { connection in
                    _ = try connection.pipeline([
                        ("INSERT INTO settings (key, value) VALUES ('a', '1')", []),
                        ("INSERT INTO settings (key, value) VALUES ('a', '2')", []),
                        ("INSERT INTO settings (key, value) VALUES ('b', '3')", []),
                    ])
                }
            }
            #expect(failed?.code == .alreadyExists)
            #expect(failed?.reason == DatabaseReason.uniqueViolation)
            // The same connection goes on, and nothing of the batch is there.
            let rows = try await database.run { connection in
                try connection.pipeline([
                    ("SELECT count(*) FROM settings", []), ("SELECT $1", [.text("after")]),
                    ("SELECT 1 WHERE false", []),
                ])
            }
            #expect(try rows[0].one().int(0) == 0)
            #expect(try rows[1].one().text(0) == "after")
            #expect(rows[2].isEmpty)
            #expect(database.connectionCounts.open == 1)
        }
    }

    @Test func aLargePipelineDoesNotDeadlockOnFullBuffers() async throws {
        let block = [UInt8](repeating: 7, count: 300_000)
        let total = try await withDatabase { database in
            try await database.run { connection in
                try connection.pipeline((0..<40).map { _ in ("SELECT $1", [.bytes(block)]) })
                    .reduce(0) { try $0 + $1.one().bytes(0).count }
            }
        }
        #expect(total == 40 * 300_000)
    }

    @Test func copyStoresRowsInBinary() async throws {
        let ids = (0..<5000).map { _ in UUIDv7() }
        try await withDatabase { database in
            let stored = try await database.transaction { connection in
                try connection.copyIn(
                    "COPY collections (id, name, created_at) FROM STDIN (FORMAT binary)",
                    rows: ids.lazy.enumerated().map { index, id in
                        [.uuid(id), .text("c\(index)"), .time(WallTime(microseconds: Int64(index)))]
                    })
            }
            #expect(stored == 5000)
            let row = try await database.run { connection in
                try connection.execute("SELECT id, created_at FROM collections WHERE name = 'c4999'").one()
            }
            #expect(try row.uuid(0) == ids[4999])
            #expect(try row.time(1).microseconds == 4999)
        }
    }

    @Test func aFailedCopyStoresNothingAndLeavesTheConnectionUsable() async throws {
        let id = UUIDv7()
        try await withDatabase { database in
            let failed = await failure {
                try await database.run { connection in
                    _ = try connection.copyIn(
                        "COPY collections (id, name) FROM STDIN (FORMAT binary)",
                        rows: [[.uuid(id), .text("one")], [.uuid(id), .text("two")]])
                }
            }
            #expect(failed?.code == .alreadyExists)
            let count = try await database.run { connection in
                try connection.execute("SELECT count(*) FROM collections WHERE name IN ('one', 'two')").one().int(0)
            }
            #expect(count == 0)
            #expect(database.connectionCounts.open == 1)
        }
    }

    @Test(
        arguments: [
            ("SELECT 1 / 0", StatusCode.invalidArgument, "SQL_22012"),
            ("SELECT * FROM missing", .internalError, "SQL_42P01"),
            (
                "INSERT INTO jobs (id, kind, state) VALUES (gen_random_uuid(), 'k', 'nonsense')", .failedPrecondition,
                DatabaseReason.checkViolation
            ),
            (
                "INSERT INTO api_keys (id, principal_id, public_id, secret_hmac) VALUES (gen_random_uuid(), gen_random_uuid(), 'public-id', sha256(''))",
                .failedPrecondition, DatabaseReason.foreignKeyViolation
            ),
            (
                "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$", .resourceExhausted,
                DatabaseReason.diskFull
            ),
            ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$", .aborted, DatabaseReason.serialization),
            ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$", .aborted, DatabaseReason.deadlock),
            ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01'; END $$", .unavailable, DatabaseReason.unavailable),
            ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53300'; END $$", .unavailable, "DATABASE_CONNECTIONS"),
            ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'XX001'; END $$", .dataLoss, "SQL_XX001"),
        ] as [(StaticString, StatusCode, String)])
    func serverErrorsBecomeTypedFailures(sql: StaticString, code: StatusCode, reason: String) async throws {
        try await withDatabase { database in
            let failed = await failure { _ = try await database.run { try $0.execute(sql) } }
            #expect(failed?.code == code)
            #expect(failed?.reason == reason)
            try await database.ping()
        }
    }

    @Test func aStatementThatTakesTooLongIsStopped() async throws {
        try await withDatabase { database in
            let failed = await failure {
                try await database.transaction { connection in
                    try connection.execute("SELECT set_config('statement_timeout', '100', true)")
                    try connection.execute("SELECT pg_sleep(600)")
                }
            }
            #expect(failed?.code == .deadlineExceeded)
            #expect(failed?.reason == DatabaseReason.statementTimeout)
            try await database.ping()
        }
    }

    @Test func textThatPostgresCannotHoldIsRefusedAsInvalid() async throws {
        try await withDatabase { database in
            let failed = await failure { _ = try await database.run { try $0.execute("SELECT $1", [.text("a\0b")]) } }
            #expect(failed?.code == .invalidArgument)
        }
    }
}
