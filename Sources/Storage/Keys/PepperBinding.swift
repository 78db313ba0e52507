internal import Core
internal import Crypto

/// Ties a database to the pepper that its keys were made with. Several processes may share a database from data directories of their
/// own; one with another pepper would refuse every key and issue keys that only it accepts, without ever saying why.
extension KeyStore {
    private static let setting = "keys.pepper-check"

    /// The keys of a migrated database, with the pepper in the file at `path`, which is made when neither it nor any key exists yet.
    ///
    /// - Parameter mayReplace: let this pepper take the place of one that was lost; every key issued with that one stops working.
    /// - Throws: `Failure` FAILED_PRECONDITION with reason PEPPER when the file is missing, cannot be used, or is another database's.
    public static func open(
        database: Database, pepperPath path: String, mayReplace: Bool = false, environment: String = "live"
    ) async throws -> KeyStore {
        var found = try Pepper.load(path: path)
        if found == nil, !mayReplace, try await isInUse(database) {
            // Unless another process of this directory, started at the same time, made the file and the keys just now.
            found = try Pepper.load(path: path)
            if found == nil { throw missing(path) }
        }
        let pepper = try found ?? Pepper.loadOrCreate(path: path)
        let own = hexString(Array(HMAC<SHA256>.authenticationCode(for: Array(setting.utf8), using: pepper.key)))
        let known = try await database.transaction { connection in
            let results = try connection.pipeline([
                (
                    "INSERT INTO settings (key, value) VALUES ($1, to_jsonb($2::text)) ON CONFLICT (key) DO NOTHING",
                    [.text(setting), .text(own)]
                ),
                ("SELECT value #>> '{}' FROM settings WHERE key = $1", [.text(setting)]),
            ])
            let known = try results[1].one().text(0)
            if known != own, mayReplace {
                try connection.execute(
                    "UPDATE settings SET value = to_jsonb($2::text), updated_at = now() WHERE key = $1",
                    [.text(setting), .text(own)])
            }
            return known
        }
        guard known == own || mayReplace else { throw different(path) }
        return KeyStore(database: database, pepper: pepper, environment: environment)
    }

    /// Whether keys of this database were made with a pepper already.
    private static func isInUse(_ database: Database) async throws -> Bool {
        try await database.run { connection in
            try connection.execute(
                """
                SELECT EXISTS (SELECT 1 FROM settings WHERE key = $1) OR EXISTS (SELECT 1 FROM api_keys)
                """, [.text(setting)]
            ).one().bool(0)
        }
    }

    private static let remedy =
        "Copy the file `pepper` from the data directory of the process that issued them, mode 0600. If it is lost, "
        + "`acp up --new-admin-key` starts with new keys."

    private static func missing(_ path: String) -> Failure {
        Failure(
            .failedPrecondition, reason: "PEPPER",
            "The key file \(path) is missing, and the database holds API keys that cannot be checked without it.",
            remedy: remedy)
    }

    private static func different(_ path: String) -> Failure {
        Failure(
            .failedPrecondition, reason: "PEPPER",
            "The key file \(path) is not the one that the API keys of this database were made with.", remedy: remedy)
    }
}
