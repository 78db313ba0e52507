internal import Core

/// Where a service is.
public enum Endpoint: Sendable {
    case tcp(host: String, port: Int)
    case unix(path: String)
    /// A server of this process, reached over a socket pair: no port, the same bytes.
    case inProcess(RPCServer)

    /// Parses `acp://host:port`, `http://host:port` (the same port answers both), `unix:///path` or `host:port`.
    /// - Throws: `Failure` INVALID_ARGUMENT that says what is accepted.
    public init(_ text: String) throws {
        if let path = text.dropPrefix("unix://") {
            guard path.hasPrefix("/") else { throw Self.refused(text) }
            self = .unix(path: String(path))
            return
        }
        var rest = text.dropPrefix("acp://") ?? text.dropPrefix("http://") ?? Substring(text)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]),
            (1...65_535).contains(port)
        else { throw Self.refused(text) }
        var host = rest[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("/") else { throw Self.refused(text) }
        self = .tcp(host: String(host), port: port)
    }

    private static func refused(_ text: String) -> Failure {
        Failure(
            .invalidArgument, reason: "BAD_URL", "\"\(text)\" is not the address of a service.",
            remedy: "Write acp://host:port, http://host:port or unix:///path/of/socket.")
    }

    /// For messages.
    public var description: String {
        switch self {
        case .tcp(let host, let port): "\(host):\(port)"
        case .unix(let path): path
        case .inProcess: "this process"
        }
    }
}

extension String {
    func dropPrefix(_ prefix: String) -> Substring? {
        hasPrefix(prefix) ? dropFirst(prefix.count) : nil
    }
}
