import CProcess
import Core
import Glibc

/// The installed programs of both servers.
struct ServerPrograms: Sendable, Hashable {
    var postgres: String
    var initdb: String
    /// PostgreSQL's major version, e.g. 15: clusters of other versions cannot be opened.
    var major: Int
    var redis: String

    /// What the kernel may call a running Redis: on Debian the program is a link to `redis-check-rdb`.
    var redisNames: Set<String> {
        var names: Set<String> = ["redis-server"]
        if let target = ServerFiles.realPath(redis)?.split(separator: "/").last { names.insert(String(target)) }
        return names
    }

    /// - Parameter clusterMajor: version of the existing cluster, nil when there is none.
    static func find(
        options: EmbeddedOptions, clusterMajor: Int?, cluster: String, identity: ServerIdentity
    ) throws -> ServerPrograms {
        let path = options.searchPath ?? getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        let search = path.split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
        let redis = options.redisServer ?? search.map { "\($0)/redis-server" }.first(where: isProgram) ?? ""
        guard !options.startsRedis || isProgram(redis) else {
            throw Failure(
                .failedPrecondition, reason: "REDIS_NOT_FOUND",
                "redis-server was not found\(options.redisServer.map { " at \($0)" } ?? " on the PATH").",
                remedy: "Install it (apt-get install redis-server) or configure --redis-url.")
        }
        guard options.startsPostgres else { return ServerPrograms(postgres: "", initdb: "", major: 0, redis: redis) }
        let (directory, major) = try postgresDirectory(options, search, clusterMajor, cluster, identity)
        return ServerPrograms(
            postgres: "\(directory)/postgres", initdb: "\(directory)/initdb", major: major, redis: redis)
    }

    private static func postgresDirectory(
        _ options: EmbeddedOptions, _ search: [String], _ clusterMajor: Int?, _ cluster: String,
        _ identity: ServerIdentity
    ) throws -> (String, Int) {
        var directories = [String]()
        if let chosen = options.postgresDirectory {
            directories = [ServerFiles.absolute(chosen)]
        } else {
            let root = options.postgresVersionsDirectory
            directories = search + ServerFiles.names(in: root).map { "\(root)/\($0)/bin" }
        }
        var found: [(String, Int)] = []
        for directory in directories where isProgram("\(directory)/postgres") && isProgram("\(directory)/initdb") {
            guard let major = try majorVersion("\(directory)/postgres", identity) else { continue }
            // The version of the cluster is the one that works; without a cluster the newest is the best start.
            if major == clusterMajor { return (directory, major) }
            found.append((directory, major))
        }
        guard let newest = found.max(by: { $0.1 < $1.1 }) else {
            throw Failure(
                .failedPrecondition, reason: "POSTGRES_NOT_FOUND",
                "PostgreSQL's programs postgres and initdb were not found in "
                    + "\(options.postgresDirectory ?? "\(options.postgresVersionsDirectory)/*/bin or on the PATH").",
                remedy: "Install them (apt-get install postgresql) or configure --database-url.")
        }
        guard let clusterMajor else { return newest }
        let installed = Set(found.map(\.1)).sorted().map(String.init).joined(separator: ", ")
        throw Failure(
            .failedPrecondition, reason: "POSTGRES_VERSION_MISMATCH",
            "The cluster \(cluster) was made by PostgreSQL \(clusterMajor); installed is \(installed).",
            remedy: "Install version \(clusterMajor) (apt-get install postgresql-\(clusterMajor)), "
                + "or convert the cluster with pg_upgrade.")
    }

    private static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    /// From `postgres (PostgreSQL) 15.4 (Debian …)`; nil when the program says something else.
    private static func majorVersion(_ program: String, _ identity: ServerIdentity) throws -> Int? {
        let said = try output(of: program, ["--version"], identity: identity)
        guard let number = said.split(separator: " ").dropFirst(2).first else { return nil }
        return Int(number.prefix { $0.isNumber })
    }

    /// What a program prints, at most 4096 bytes; it is ended after 5 s.
    static func output(of program: String, _ arguments: [String], identity: ServerIdentity) throws -> String {
        var channel: [Int32] = [-1, -1]
        let opened = acp_pipe_open(&channel)
        guard opened == 0 else { throw ServerFiles.failure(-opened, "opening a pipe for", program) }
        defer { close(channel[0]) }
        let process: ServerProcess
        do {
            defer { close(channel[1]) }
            process = try ServerProcess.start(
                program, arguments,
                with: .init(identity: identity, environment: environment(home: "/"), output: channel[1]))
        }
        if !process.wait(milliseconds: 5000) {
            process.signal(SIGKILL)
            process.wait(milliseconds: 1000)
        }
        process.reap()
        // All of it is in the pipe now, which holds 64 KiB.
        var bytes = [UInt8](repeating: 0, count: 4096)
        let got = bytes.withUnsafeMutableBytes { read(channel[0], $0.baseAddress, $0.count) }
        return String(decoding: bytes[..<max(0, got)], as: UTF8.self)
    }

    /// Nothing of our own environment reaches a server: no PG… settings, no secrets.
    static func environment(home: String) -> [(String, String)] {
        [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC"), ("HOME", home)]
    }
}
