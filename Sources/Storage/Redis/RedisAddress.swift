internal import Core

/// Where Redis listens.
public enum RedisAddress: Sendable, Hashable {
    case tcp(host: String, port: Int, database: Int)
    case unix(path: String, database: Int)

    /// Longest path that fits a Unix socket address, in bytes.
    public static let unixPathBytesMax = 107

    /// Parses `redis://host[:port][/database]` or `unix:///path[?db=N]`. Throws INVALID_ARGUMENT that names what is accepted.
    public init(url: String) throws {
        if url.hasPrefix("redis://") {
            self = try Self.tcp(url.dropFirst("redis://".count))
        } else if url.hasPrefix("unix://") {
            self = try Self.unix(url.dropFirst("unix://".count))
        } else {
            throw Self.refused("it starts with neither redis:// nor unix://")
        }
    }

    private static func tcp(_ rest: Substring) throws -> RedisAddress {
        guard !rest.contains("@") else { throw refused("credentials are not supported") }
        let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let database = try parts.count == 2 && !parts[1].isEmpty ? databaseNumber(parts[1]) : 0
        var host = parts.first ?? ""
        var port = 6379
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            let after = host[host.index(after: end)...]
            host = host[host.index(after: host.startIndex)..<end]
            if !after.isEmpty { port = try portNumber(after) }
        } else if let colon = host.lastIndex(of: ":") {
            port = try portNumber(host[colon...])
            host = host[..<colon]
        }
        guard !host.isEmpty else { throw refused("it names no host") }
        return .tcp(host: String(host), port: port, database: database)
    }

    private static func unix(_ rest: Substring) throws -> RedisAddress {
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = parts.first ?? ""
        guard path.hasPrefix("/") else { throw refused("the socket's path is not absolute") }
        guard path.utf8.count <= unixPathBytesMax else {
            throw refused("the socket's path is longer than \(unixPathBytesMax) bytes")
        }
        guard parts.count == 2 else { return .unix(path: String(path), database: 0) }
        guard parts[1].hasPrefix("db=") else { throw refused("only db=N may follow the question mark") }
        return .unix(path: String(path), database: try databaseNumber(parts[1].dropFirst(3)))
    }

    private static func portNumber(_ text: Substring) throws -> Int {
        guard text.hasPrefix(":"), let port = Int(text.dropFirst()), (1...65_535).contains(port) else {
            throw refused("the port is not a number from 1 to 65535")
        }
        return port
    }

    private static func databaseNumber(_ text: Substring) throws -> Int {
        guard let number = Int(text), (0...16_383).contains(number) else {
            throw refused("the database is not a number")
        }
        return number
    }

    private static func refused(_ why: String) -> Failure {
        Failure(
            .invalidArgument, reason: "REDIS_URL", "The Redis URL cannot be used: \(why).",
            remedy: "Use redis://host:port/database or unix:///path/to/redis.sock.")
    }

    var database: Int {
        switch self {
        case .tcp(_, _, let database), .unix(_, let database): database
        }
    }
}
