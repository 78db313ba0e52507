import Foundation
import Glibc

/// `acp up`, or the `acp serve` processes of a test, on a data directory and ports of its own.
final class LiveSystem: @unchecked Sendable {
    let directory: String
    let ports: (ingest: Int, agents: Int, gateway: Int, worker: Int)
    private var extra: [String: String]
    private(set) var server: Child?
    /// The processes of `serve`, in the order of their start.
    private(set) var services: [Child] = []
    /// The administrator's key; from the first start.
    private(set) var key = ""

    var data: String { "\(directory)/data" }
    var gateway: String { "http://127.0.0.1:\(ports.gateway)" }

    /// - Parameter settings: environment variables besides the usual ones.
    init(settings: [String: String] = [:]) throws {
        // Short, because socket paths are; and open to the user that runs PostgreSQL when the tests run as root.
        directory = "/tmp/acp-e2e-\(UInt32.random(in: 0...(.max)))"
        guard mkdir(directory, 0o755) == 0, chmod(directory, 0o755) == 0 else {
            throw Problem("no directory \(directory)")
        }
        guard mkdir("\(directory)/out", 0o700) == 0 else { throw Problem("no directory below \(directory)") }
        ports = (try Self.freePort(), try Self.freePort(), try Self.freePort(), try Self.freePort())
        extra = settings
    }

    /// Stops what runs and removes the directory.
    func remove() async {
        for service in services { service.signal(SIGTERM) }
        for service in services { _ = try? await service.wait(seconds: 15) }
        if let server, !server.hasEnded {
            let family = ProcessTable.descendants(of: server.pid)
            server.signal(SIGTERM)
            _ = try? await server.wait(seconds: 15)
            for process in family where ProcessTable.isAlive(process.pid) { kill(process.pid, SIGKILL) }
        }
        killLeftServers()
        SmallDisk.unmount(data)
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Servers that outlived an `acp` that was killed, known by the files of their own directory.
    private func killLeftServers() {
        // First the one that would start them again: a detached `acp up`, which the lock names.
        let lock = FileManager.default.contents(atPath: "\(data)/acp.lock") ?? Data()
        if let owner = String(decoding: lock, as: UTF8.self).split(separator: "\n").first.flatMap({ pid_t($0) }),
            let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(owner)/exe"),
            program == URL(fileURLWithPath: Programs.acp).resolvingSymlinksInPath().path
        {
            kill(owner, SIGKILL)
        }
        if let pid = postmaster { kill(pid, SIGQUIT) }
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(entry),
                let current = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd"),
                current.hasPrefix(directory + "/")
            else { continue }
            kill(pid, SIGKILL)
        }
    }

    /// PostgreSQL's first process; nil when it does not run.
    var postmaster: pid_t? {
        guard let data = FileManager.default.contents(atPath: "\(data)/postgres/postmaster.pid") else { return nil }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").first.flatMap { pid_t($0) }
    }

    var environment: [String: String] {
        var environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin", "HOME": directory,
            "ACP_CONFIG": "\(directory)/config.toml", "ACP_DATA_DIR": data, "ACP_INGEST_PORT": "\(ports.ingest)",
            "ACP_AGENTS_PORT": "\(ports.agents)", "ACP_GATEWAY_PORT": "\(ports.gateway)",
            "ACP_WORKER_PORT": "\(ports.worker)",
        ]
        environment.merge(extra) { $1 }
        return environment
    }

    /// Starts `acp up` and waits until it says that it is ready.
    func start(_ options: String..., environment: [String: String] = [:], seconds: Double = 60) async throws {
        let child = try start(["up"] + options, environment: environment)
        server = child
        try await waitUntilReady(child, "up", seconds: seconds)
    }

    /// Starts `acp serve NAME` for each name and waits until all say that they are ready.
    func serve(_ names: String..., options: [String] = [], seconds: Double = 60) async throws {
        let started = try names.map { try start(["serve", $0] + options) }
        services += started
        for (name, child) in zip(names, started) {
            try await waitUntilReady(child, "serve \(name)", seconds: seconds)
        }
    }

    private func waitUntilReady(_ child: Child, _ what: String, seconds: Double) async throws {
        // `data` is the last line that is always printed, the key's line comes with it in the same write.
        let ready = try await eventually(seconds: seconds) {
            child.hasEnded || "\n\(child.output)".contains("\ndata ")
        }
        guard ready, !child.hasEnded else {
            child.signal(SIGKILL)
            throw Problem("acp \(what) was not ready within \(seconds) s: \(child.output) \(child.errors)")
        }
        if let line = child.output.split(separator: "\n").first(where: { $0.hasPrefix("api key") }) {
            key = String(line.split(separator: " ").last ?? "")
        }
    }

    /// Runs one command to its end.
    @discardableResult
    func acp(
        _ arguments: String..., environment more: [String: String] = [:], input: String? = nil, seconds: Double = 60
    ) async throws -> Ended {
        try await start(arguments, environment: more, input: input).wait(seconds: seconds)
    }

    /// Starts one command.
    func start(_ arguments: [String], environment more: [String: String] = [:], input: String? = nil) throws -> Child {
        try Child(
            Programs.acp, arguments, environment: environment.merging(more) { $1 }, directory: "\(directory)/out",
            input: input)
    }

    /// Writes a file below the test's directory and returns its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = "\(directory)/\(name)"
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Asks a path of the gateway, or of another port; `curl` exits with 0 for every HTTP status.
    func curl(_ path: String, _ arguments: String..., port: Int? = nil) async throws -> (status: Int, body: String) {
        try await curl(path, arguments, port: port)
    }

    func curl(_ path: String, _ arguments: [String], port: Int? = nil) async throws -> (status: Int, body: String) {
        let address = "http://127.0.0.1:\(port ?? ports.gateway)\(path)"
        let child = try Child(
            "/usr/bin/curl", ["-sS", "--max-time", "20", "-w", "\n%{http_code}"] + arguments + [address],
            environment: ["PATH": "/usr/bin:/bin"], directory: "\(directory)/out")
        let ended = try await child.wait(seconds: 30)
        guard ended.status == 0 else { throw Problem("curl failed: \(ended.errors)") }
        let lines = ended.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    /// Waits until nothing is queued or running and the index has everything.
    func settle(seconds: Double = 60) async throws {
        let settled = try await eventually(seconds: seconds) {
            let status = try await acp("status", "-o", "json")
            guard status.status == 0, let store = status.json["store"] as? [String: Any] else { return false }
            func number(_ name: String) -> UInt64 { UInt64(store[name] as? String ?? "") ?? .max }
            return number("jobsQueued") == 0 && number("jobsRunning") == 0
                && number("indexSequence") == number("logSequence")
        }
        guard settled else {
            let status = try await acp("status")
            throw Problem("the system did not settle: \(status.output) \(status.errors)")
        }
    }

    /// For curl: who asks.
    var bearer: String { "Authorization: Bearer \(key)" }

    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        return try bindLoopback(descriptor)
    }

    /// Binds a socket to a free port of the loopback address and returns it.
    static func bindLoopback(_ descriptor: Int32) throws -> Int {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard result == 0 else { throw Problem("no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// Runs `body` with a system that is stopped and removed afterwards, however `body` ends.
func withSystem(settings: [String: String] = [:], _ body: (LiveSystem) async throws -> Void) async throws {
    let system = try LiveSystem(settings: settings)
    do {
        try await body(system)
    } catch {
        await system.remove()
        throw error
    }
    await system.remove()
}
