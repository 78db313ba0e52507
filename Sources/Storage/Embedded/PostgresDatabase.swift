import CPQ
import Core

/// The database of the embedded cluster: role and database `acp`, made when they are missing.
///
/// The services use a role that owns its database and is no superuser, so that a flaw in them cannot run programs through PostgreSQL.
enum PostgresDatabase {
    static let superuser = "postgres"
    static let owner = "acp"
    static let roles = [owner, superuser]

    /// Whether the server answers on the socket in `directory`, without logging in.
    static func answers(in directory: String) -> Bool {
        PQping(url(superuser, "postgres", directory)) == PQPING_OK
    }

    /// Proves that the services can log in, after making what is missing. Blocks for at most 30 s.
    static func prepare(in directory: String) throws {
        if connection(owner, owner, directory, { PQstatus($0) == CONNECTION_OK }) { return }
        let complaint = connection(superuser, "postgres", directory) { connection -> String? in
            guard PQstatus(connection) == CONNECTION_OK else { return message(connection) }
            // The role may exist from an earlier start that ended between the two.
            return run(
                """
                DO $$ BEGIN CREATE ROLE acp LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$
                """, unless: nil, connection)
                ?? run(
                    "CREATE DATABASE acp OWNER acp", unless: "SELECT 1 FROM pg_database WHERE datname = 'acp'",
                    connection)
        }
        let refusal =
            complaint
            ?? connection(owner, owner, directory) { PQstatus($0) == CONNECTION_OK ? nil : message($0) }
        if let refusal {
            throw Failure(
                .unavailable, reason: "POSTGRES_FAILED",
                "The embedded PostgreSQL runs, but its database acp could not be opened: \(refusal)")
        }
    }

    /// Runs `statement` unless the query `unless` returns a row. Returns the error, or nil.
    private static func run(_ statement: StaticString, unless: StaticString?, _ connection: OpaquePointer?) -> String? {
        if let unless {
            let answer = PQexec(connection, unless.description)
            defer { PQclear(answer) }
            guard PQresultStatus(answer) == PGRES_TUPLES_OK else { return message(connection) }
            if PQntuples(answer) > 0 { return nil }
        }
        let answer = PQexec(connection, statement.description)
        defer { PQclear(answer) }
        return PQresultStatus(answer) == PGRES_COMMAND_OK ? nil : message(connection)
    }

    private static func connection<Result>(
        _ role: String, _ database: String, _ directory: String, _ body: (OpaquePointer?) -> Result
    ) -> Result {
        let connection = PQconnectdb(url(role, database, directory))
        defer { PQfinish(connection) }
        return body(connection)
    }

    private static func url(_ role: String, _ database: String, _ directory: String) -> String {
        EmbeddedLayout.databaseURL(role: role, database: database, directory: directory)
            + "&connect_timeout=5&options=-c%20statement_timeout%3D20000&application_name=acp-up"
    }

    private static func message(_ connection: OpaquePointer?) -> String {
        let text = PQerrorMessage(connection).map { String(cString: $0) } ?? "out of memory"
        return String(text.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(400))
    }
}
