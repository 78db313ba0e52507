import Core
import Glibc
public import Storage
import Synchronization

/// A private PostgreSQL on a Unix socket, with a migrated template, stopped when the test process ends for whatever reason.
///
/// `TestPostgres.shared()` starts one per process; a test that stops or restarts a server starts its own.
public final class TestPostgres: Sendable {
    private static let sharedStart = Task { try await TestPostgres.start() }

    private let server: ChildServer
    private let binaries: String
    private let databases = Atomic<Int>(0)

    /// The server of this process, started at first use.
    public static func shared() async throws -> TestPostgres { try await sharedStart.value }

    /// Starts a server. Durability is off: nothing in a test survives it.
    public static func start() async throws -> TestPostgres {
        let postgres = try await onThread { try TestPostgres() }
        try await postgres.createDatabase("acp_template", from: "template0")
        let database = Database(postgres.configuration(database: "acp_template"))
        try await Migrator.migrate(database)
        database.close()
        return postgres
    }

    private init() throws {
        binaries = try Self.findBinaries()
        let user = try ChildServer.unprivilegedUser("postgres")
        let directory = try ChildServer.makeDirectory(for: user)
        server = try ChildServer(
            directory: directory, runAs: user,
            prepare:
                "\(binaries)/initdb -D data -U acp --encoding=UTF8 --locale=C --auth=trust --no-sync --no-instructions",
            command: """
                \(binaries)/postgres -D data -k "$0" -c listen_addresses= -c max_connections=200 -c fsync=off \
                -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB -c autovacuum=off
                """, stopSignal: "QUIT")
        let (server, binaries) = (server, binaries)
        try server.waitUntilReady { Self.answers(server, binaries) }
    }

    /// The URL of a new, migrated, empty database.
    public func freshURL() async throws -> String {
        let name = "test_\(databases.add(1, ordering: .relaxed).newValue)"
        try await createDatabase(name, from: "acp_template")
        return url(database: name)
    }

    /// A pool on a new, migrated, empty database.
    public func freshDatabase(_ adjust: (inout Database.Configuration) -> Void = { _ in }) async throws -> Database {
        var configuration = Database.Configuration(url: try await freshURL())
        adjust(&configuration)
        return Database(configuration)
    }

    /// The URL of a new database without any schema.
    public func emptyURL() async throws -> String {
        let name = "empty_\(databases.add(1, ordering: .relaxed).newValue)"
        try await createDatabase(name, from: "template0")
        return url(database: name)
    }

    /// The URL of a new database that does not know what its text is encoded in.
    public func unencodedURL() async throws -> String {
        let name = "unencoded_\(databases.add(1, ordering: .relaxed).newValue)"
        try await createDatabase(name, from: "template0", ["-E", "SQL_ASCII"])
        return url(database: name)
    }

    /// A pool on the server's own database, for tests that look at or end other connections.
    public func administration() async throws -> Database { Database(configuration(database: "postgres")) }

    /// Stops the server; only for one made with `start`.
    public func stop() async throws {
        let server = server
        try await onThread { server.stop() }
    }

    /// Shuts the server down as an administrator does, until `resume`; only for one made with `start`.
    public func suspend() async throws {
        let server = server
        try await onThread { try server.suspend("INT") }
    }

    /// Starts a suspended server again and returns when it answers.
    public func resume() async throws {
        let (server, binaries) = (server, binaries)
        try await onThread {
            try server.resume()
            try server.waitUntilReady { Self.answers(server, binaries) }
        }
    }

    private static func answers(_ server: ChildServer, _ binaries: String) -> Bool {
        (try? ChildServer.run(["\(binaries)/pg_isready", "-q", "-h", server.directory])) != nil
    }

    /// A connection URI: what `acp` takes as `--database-url`.
    private func url(database: String) -> String { "postgresql://acp@/\(database)?host=\(server.directory)" }

    private func configuration(database: String) -> Database.Configuration {
        Database.Configuration(url: url(database: database))
    }

    private func createDatabase(_ name: String, from template: String, _ options: [String] = []) async throws {
        let place = ["-h", server.directory, "-U", "acp", "-T", template]
        let command = ["\(binaries)/createdb"] + place + options + [name]
        try await onThread { try ChildServer.run(command) }
    }

    /// The newest PostgreSQL installed the way Debian does it.
    private static func findBinaries() throws -> String {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob("/usr/lib/postgresql/*/bin", 0, nil, &found) == 0 else {
            throw Failure(.failedPrecondition, "PostgreSQL is not installed", remedy: "Run dev/setup.")
        }
        let paths = (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
        let version = { (path: String) in path.split(separator: "/").compactMap { Int($0) }.first ?? 0 }
        guard let newest = paths.max(by: { version($0) < version($1) }) else {
            throw Failure(.failedPrecondition, "PostgreSQL is not installed", remedy: "Run dev/setup.")
        }
        return newest
    }
}
