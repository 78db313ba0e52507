import CHiredis
import Core
import Glibc

/// Starts, adopts and ends the embedded Redis.
struct RedisDriver: ServerDriver {
    var context: ServerContext

    let name = "Redis"
    var logPath: String { layout.redisLog }
    var isReachable: Bool { access(layout.redisSocket, F_OK) == 0 }

    static let answerMsMax = 2000
    static let stopMsMax = 1500
    static let killMsMax = 1000
    static let pollMs = 5

    private var layout: EmbeddedLayout { context.layout }
    private var settingsPath: String { "\(layout.configuration)/redis.conf" }

    /// A cache that may vanish: nothing is written to disk.
    ///
    /// `volatile-lru`: when memory is full, keys that expire go first by age of use. Those are cached answers and embeddings; windows of rate limits
    /// expire too but are touched by every request, and the stream that wakes workers does not expire and so is never evicted.
    private var settings: String {
        """
        # Written by acp at every start; changes are lost.
        port 0
        unixsocket \(Self.quoted(layout.redisSocket))
        unixsocketperm 700
        dir \(Self.quoted(layout.redis))
        daemonize no
        supervised no
        save ""
        appendonly no
        maxmemory 64mb
        maxmemory-policy volatile-lru
        maxclients 256
        databases 1
        logfile ""
        loglevel notice
        always-show-logo no
        enable-debug-command no
        oom-score-adj no

        """
    }

    func bringUp(stop: StopSignal) throws -> ServerProcess {
        try stop.check()
        try ServerFiles.write(settingsPath, settings, mode: context.identity.isAnotherUser ? 0o644 : 0o600)
        // Found by the directory they run in, which needs no id file that could be stale.
        for process in PostgresCluster.processes(in: layout.redis, named: context.programs.redisNames) {
            if try answers(process, stop: stop) { return process }
            context.log("Ending the Redis found running (process \(process.pid)): it does not answer.")
            shutDown(process)
        }
        unlink(layout.redisSocket)
        try stop.check()
        return try start(stop: stop)
    }

    private func answers(_ process: ServerProcess, stop: StopSignal) throws -> Bool {
        let deadline = MonotonicTime.now().advanced(by: .milliseconds(Self.answerMsMax))
        while MonotonicTime.now() < deadline {
            if ping(process) { return true }
            let event = stop.wait(milliseconds: Self.pollMs, process: process)
            if event.ended {
                process.reap()
                return false
            }
            if event.stopped { throw StopSignal.cancelled }
        }
        return false
    }

    private func start(stop: StopSignal) throws -> ServerProcess {
        let log = try ServerLog.open(layout.redisLog)
        defer { close(log.descriptor) }
        // A cache is the first to go when memory runs out.
        let process = try ServerProcess.start(
            context.programs.redis, [settingsPath],
            with: .init(
                identity: context.identity, environment: ServerPrograms.environment(home: layout.redis),
                output: log.descriptor, oomScoreAdjust: 300))
        let deadline = MonotonicTime.now().advanced(by: .seconds(context.startSeconds))
        while !ping(process) {
            let event = stop.wait(milliseconds: Self.pollMs, process: process)
            if event.ended {
                throw ServerContext.failure(
                    name, "REDIS_FAILED", doing: "did not start", end: process.reap(), log: layout.redisLog,
                    from: log.start)
            }
            if event.stopped || MonotonicTime.now() >= deadline {
                shutDown(process)
                if event.stopped { throw StopSignal.cancelled }
                throw Failure(
                    .deadlineExceeded, reason: "REDIS_FAILED",
                    "Redis did not answer within \(context.startSeconds) s.", remedy: "See \(layout.redisLog).")
            }
        }
        return process
    }

    /// Whether this very process answers PING on our socket; waits at most a second.
    private func ping(_ process: ServerProcess) -> Bool {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(layout.redisSocket.utf8)
        guard path.count <= EmbeddedLayout.socketPathBytesMax else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0, peer(of: socket) == process.pid else { return false }
        guard send(socket, "PING\r\n", 6, Int32(MSG_NOSIGNAL)) == 6 else { return false }
        var answer = [UInt8](repeating: 0, count: 7)
        return recv(socket, &answer, 7, Int32(MSG_WAITALL)) == 7 && answer == Array("+PONG\r\n".utf8)
    }

    private func peer(of socket: Int32) -> pid_t? {
        // struct ucred, which needs _GNU_SOURCE: process, user and group id.
        var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
        var size = socklen_t(12)
        guard getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else { return nil }
        return credentials.0
    }

    func shutDown(_ process: ServerProcess) {
        process.signal(SIGTERM)
        if !process.wait(milliseconds: Self.stopMsMax) {
            context.log("Redis (process \(process.pid)) did not end within \(Self.stopMsMax) ms and is killed.")
            process.signal(SIGKILL)
            process.wait(milliseconds: Self.killMsMax)
        }
        process.reap()
    }

    /// A string of redis.conf.
    private static func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
