import Core
import Glibc
public import Storage

/// A private Redis on a Unix socket, stopped when the test process ends for whatever reason.
public final class TestRedis: Sendable {
    private static let sharedStart = Task { try await TestRedis.start() }

    private let server: ChildServer

    /// The server of this process, started at first use; tests keep apart by a namespace of their own.
    public static func shared() async throws -> TestRedis { try await sharedStart.value }

    /// Starts a server for a test that stops it.
    public static func start() async throws -> TestRedis { try await onThread { try TestRedis() } }

    private init() throws {
        let user = try ChildServer.unprivilegedUser("redis")
        let directory = try ChildServer.makeDirectory(for: user)
        // SIGTERM is ignored by background children of some shells until the server installs its handler; nothing is worth keeping.
        server = try ChildServer(
            directory: directory, runAs: user,
            command:
                #"redis-server --port 0 --unixsocket "$0/redis.sock" --unixsocketperm 777 --save "" --appendonly no --databases 256"#,
            stopSignal: "KILL")
        try server.waitUntilReady { Self.canConnect("\(directory)/redis.sock") }
    }

    public var address: RedisAddress { .unix(path: "\(server.directory)/redis.sock", database: 0) }

    /// Stops the server; only for one made with `start`.
    public func stop() async throws {
        let server = server
        try await onThread { server.stop() }
    }

    /// Kills the server, until `resume`; only for one made with `start`.
    public func suspend() async throws {
        let server = server
        try await onThread { try server.suspend("KILL") }
    }

    /// Starts a suspended server again, empty, and returns when it answers.
    public func resume() async throws {
        let server = server
        try await onThread {
            try server.resume()
            try server.waitUntilReady { Self.canConnect("\(server.directory)/redis.sock") }
        }
    }

    /// What `acp` takes as `--redis-url`.
    public var url: String { "unix://\(server.directory)/redis.sock" }

    private static func canConnect(_ path: String) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
