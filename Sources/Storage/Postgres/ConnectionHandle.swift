internal import CPQ
internal import Core
internal import Glibc

/// Owns a PGconn. `@unchecked Sendable`: only the connection's own thread uses it after `connect`.
final class ConnectionHandle: @unchecked Sendable {
    let raw: OpaquePointer

    private init(_ raw: OpaquePointer) { self.raw = raw }
    deinit { PQfinish(raw) }

    /// The oldest server with everything the schema uses (UNIQUE NULLS NOT DISTINCT).
    private static let serverVersionMin: Int32 = 150_000

    /// Connects, blocking. `conninfo` is a libpq connection string or URI; what it does not say is filled in here.
    static func connect(_ configuration: Database.Configuration) throws -> ConnectionHandle {
        // Later entries win over earlier ones, and `dbname` is expanded in its place.
        let entries: [(String, String)] = [
            ("connect_timeout", String(configuration.connectTimeoutSeconds)),
            ("application_name", configuration.applicationName),
            ("keepalives_idle", "30"),
            ("keepalives_interval", "5"),
            ("keepalives_count", "3"),
            ("tcp_user_timeout", "30000"),
            ("dbname", configuration.url),
            ("client_encoding", "UTF8"),
        ]
        let raw = withCStrings(entries.map(\.0)) { keys in
            withCStrings(entries.map(\.1)) { values in PQconnectdbParams(keys, values, 1) }
        }
        guard let raw else { throw Failure.databaseUnavailable("out of memory.") }
        let handle = ConnectionHandle(raw)
        guard PQstatus(raw) == CONNECTION_OK else {
            throw configuration.outage?() ?? .databaseUnavailable(handle.errorMessage)
        }
        // libpq would print notices to standard error, which is not ours to write to.
        PQsetNoticeProcessor(raw, { _, _ in }, nil)
        try handle.checkServer()
        try handle.configure(configuration)
        guard PQsetnonblocking(raw, 1) == 0, PQenterPipelineMode(raw) == 1 else {
            throw Failure.databaseUnavailable(handle.errorMessage)
        }
        return handle
    }

    private func checkServer() throws {
        guard PQserverVersion(raw) >= Self.serverVersionMin else {
            throw Failure(
                .failedPrecondition, reason: "DATABASE_VERSION", "PostgreSQL is older than version 15.",
                remedy: "Use PostgreSQL 15 or newer.")
        }
        guard let encoding = PQparameterStatus(raw, "server_encoding"), String(cString: encoding) == "UTF8" else {
            throw Failure(
                .failedPrecondition, reason: "DATABASE_ENCODING", "The database does not store text as UTF-8.",
                remedy: "Create the database with ENCODING 'UTF8'.")
        }
    }

    /// Session settings. A transaction left idle is ended by the server, so that a stopped process cannot hold locks for ever.
    private func configure(_ configuration: Database.Configuration) throws {
        let sql: StaticString = """
            SELECT set_config('statement_timeout', $1, false), set_config('idle_in_transaction_session_timeout', $2, false),
                set_config('TimeZone', 'UTC', false)
            """
        let result = withCStrings([
            String(configuration.statementTimeoutMs), String(configuration.idleTransactionTimeoutMs),
        ]) { PQexecParams(raw, sql.cString, 2, nil, $0, nil, nil, 0) }
        guard let result else { throw Failure.databaseUnavailable(errorMessage) }
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_TUPLES_OK else { throw ServerError(result).failure }
    }

    /// The first line of libpq's last message; it names hosts and users, never passwords or data.
    var errorMessage: String {
        let message = PQerrorMessage(raw).map { String(cString: $0) } ?? ""
        guard let line = message.split(separator: "\n").first else { return "the server stopped answering." }
        return line.hasSuffix(".") ? String(line) : line + "."
    }

    /// True when the socket has something to say though nothing was asked.
    var isReadable: Bool {
        var poll = pollfd(fd: PQsocket(raw), events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) > 0
    }

    /// Blocks until the socket can be read (or written, when asked). False when `deadline` passed or the socket is gone.
    func wait(forWriting: Bool, until deadline: MonotonicTime) -> Bool {
        while true {
            let remaining = MonotonicTime.now().duration(to: deadline).wholeNanoseconds
            guard remaining > 0 else { return false }
            var poll = pollfd(fd: PQsocket(raw), events: Int16(forWriting ? POLLIN | POLLOUT : POLLIN), revents: 0)
            guard poll.fd >= 0 else { return false }
            let ready = Glibc.poll(&poll, 1, Int32(clamping: remaining / 1_000_000 + 1))
            if ready > 0 { return true }
            if ready < 0, errno != EINTR { return false }
        }
    }
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<Result>(_ strings: [String], _ body: ([UnsafePointer<CChar>?]) -> Result) -> Result {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies.map { UnsafePointer($0) } + [nil])
}
