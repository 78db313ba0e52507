internal import Core
internal import Logging

/// Brings a database to the schema of this version: numbered files, each applied once, in order, and never changed afterwards.
public enum Migrator {
    struct Migration: Sendable {
        var version: Int
        var name: String
        var sql: [UInt8]

        var checksum: [UInt8] { ContentHash.of(sql) }
    }

    /// Every migration of this version, in order (SwiftPM names a file by replacing its first digit). One that was released is never edited: its checksum is recorded.
    static let all: [Migration] = [
        Migration(version: 1, name: "initial", sql: PackageResources._001_initial_sql)
    ]

    /// Applies what is missing and returns how many were applied. Several processes may call it at once: an advisory lock lets one in.
    ///
    /// Throws FAILED_PRECONDITION when the database was migrated by a newer version, or by files that differ from this version's.
    @discardableResult
    public static func migrate(_ database: Database) async throws -> Int {
        try await migrate(database, to: all)
    }

    @discardableResult
    static func migrate(_ database: Database, to migrations: [Migration]) async throws -> Int {
        let applied = try await database.transaction { connection in
            // The lock is released by the commit, together with the changes.
            try connection.execute("SELECT pg_advisory_xact_lock($1)", [.int64(AdvisoryLock.migration)])
            try connection.execute(
                """
                CREATE TABLE IF NOT EXISTS schema_migrations (
                    version    integer PRIMARY KEY,
                    name       text NOT NULL,
                    checksum   bytea NOT NULL CHECK (octet_length(checksum) = 32),
                    applied_at timestamptz NOT NULL DEFAULT now()
                )
                """)
            let missing = try missing(from: migrations, on: connection)
            for migration in missing {
                try connection.executeScript(migration.sql)
                try connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    [.int(migration.version), .text(migration.name), .bytes(migration.checksum)])
            }
            return missing.count
        }
        if applied > 0 {
            Logger(label: "acp.storage").info("database migrated", metadata: ["migrations": "\(applied)"])
        }
        return applied
    }

    private static func missing(
        from migrations: [Migration], on connection: isolated PostgresConnection
    ) throws -> [Migration] {
        let rows = try connection.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
        var recorded: [Int: [UInt8]] = [:]
        for row in rows {
            let version = try row.int(0)
            guard migrations.contains(where: { $0.version == version }) else {
                throw Failure(
                    .failedPrecondition, reason: "DATABASE_NEWER",
                    "The database has migration \(version) (\(try row.text(1))), which this version does not know.",
                    remedy: "Run the newer version, or restore a backup made before the upgrade.")
            }
            recorded[version] = try row.bytes(2)
        }
        for migration in migrations {
            guard let checksum = recorded[migration.version], checksum != migration.checksum else { continue }
            throw Failure(
                .failedPrecondition, reason: "MIGRATION_CHANGED",
                "Migration \(migration.version) (\(migration.name)) was applied to this database with other contents.",
                remedy: "Use the release that the database was created with, or start with an empty database.")
        }
        return migrations.filter { recorded[$0.version] == nil }
    }
}
