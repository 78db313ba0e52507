import CPQ
import Core
import Glibc
import Synchronization
import Testing

@testable import Storage

/// A data directory of its own for one test, removed with everything below it.
final class Scratch: Sendable {
    let base: String
    let data: String

    init(below: String = "") throws {
        var template = Array("/tmp/acp-test-XXXXXX".utf8CString)
        let made = mkdtemp(&template) != nil
        try #require(made)
        base = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // The server's user passes through it when the tests run as root.
        chmod(base, 0o711)
        data = below.isEmpty ? "\(base)/data" : "\(base)/\(below)/data"
    }

    deinit { ServerFiles.removeTree(base) }

    var layout: EmbeddedLayout { EmbeddedLayout(root: data, run: "\(data)/run") }

    /// Processes whose directory is in this scratch directory: every server of the test.
    var processes: [pid_t] {
        ProcessFacts.allIDs().filter { pid in
            guard let directory = ProcessFacts.directory(of: pid), directory.hasPrefix(base + "/") else { return false }
            return ProcessFacts.inspect(pid)?.isZombie == false
        }
    }
}

/// Collects what is logged and lets a test wait for a line: the signal that a background act has happened.
final class LogProbe: Sendable {
    private struct State {
        var lines: [String] = []
        var waiters: [(matches: @Sendable (String) -> Bool, CheckedContinuation<String, Never>)] = []
    }
    private let state = Mutex(State())

    var lines: [String] { state.withLock { $0.lines } }

    func log(_ line: String) {
        let ready = state.withLock { state in
            state.lines.append(line)
            let ready = state.waiters.filter { $0.matches(line) }
            state.waiters.removeAll { $0.matches(line) }
            return ready.map(\.1)
        }
        for continuation in ready { continuation.resume(returning: line) }
    }

    /// The first line from number `start` on that matches. Bounded by the test's time limit.
    func line(from start: Int, where matches: @escaping @Sendable (String) -> Bool) async -> String {
        await withCheckedContinuation { continuation in
            let found = state.withLock { state -> String? in
                if let line = state.lines.dropFirst(start).first(where: matches) { return line }
                state.waiters.append((matches, continuation))
                return nil
            }
            if let found { continuation.resume(returning: found) }
        }
    }
}

func servers(_ scratch: Scratch, _ probe: LogProbe, options: EmbeddedOptions = EmbeddedOptions()) -> EmbeddedServers {
    EmbeddedServers(dataDirectory: scratch.data, options: options) { probe.log($0) }
}

/// A libpq connection for the tests.
final class Connection {
    private let connection: OpaquePointer?

    init(_ url: String) throws {
        connection = PQconnectdb(url)
        let message = String(cString: PQerrorMessage(connection))
        try #require(PQstatus(connection) == CONNECTION_OK, "\(message)")
    }

    deinit { PQfinish(connection) }

    /// The first column of the first row; nil without rows.
    @discardableResult
    func run(_ sql: String) throws -> String? {
        let result = PQexec(connection, sql)
        defer { PQclear(result) }
        let status = PQresultStatus(result)
        let message = String(cString: PQresultErrorMessage(result))
        try #require(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "\(message)")
        return PQntuples(result) > 0 ? String(cString: PQgetvalue(result, 0, 0)) : nil
    }

    /// Sends without waiting for the answer.
    func begin(_ sql: String) throws { try #require(PQsendQuery(connection, sql) == 1) }
    var serverProcess: pid_t { PQbackendPID(connection) }
}

extension EmbeddedServerState {
    var pid: pid_t? {
        if case .running(let pid, _) = self { return pid }
        return nil
    }
    var isAdopted: Bool {
        if case .running(_, adopted: true) = self { return true }
        return false
    }
}

/// The failure that `body` throws.
func failure(of body: () async throws -> Void) async -> Failure? {
    do {
        try await body()
        return nil
    } catch {
        return error as? Failure
    }
}

/// A pidfd-held process that the tests may kill.
func process(_ pid: pid_t?) throws -> ServerProcess {
    let known = try #require(pid)
    let found = ServerProcess.find(known) { _ in true }
    return try #require(found)
}

/// The identity the servers have in these tests.
func testIdentity() throws -> ServerIdentity { try ServerIdentity.choose(cluster: "/nonexistent") }

/// A process of the servers' user that has nothing to do with them.
func bystander() throws -> ServerProcess {
    let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
    defer { close(null) }
    return try ServerProcess.start(
        "/bin/sleep", ["300"], with: .init(identity: try testIdentity(), environment: [], output: null))
}
