internal import Core

/// Where a service is.
public enum Endpoint: Sendable {
    /// Instances of one service; each address of each name is one. Calls go to the one with least to do.
    case tcp([Host])
    /// The same, encrypted as the client's configuration says.
    case tls([Host])
    case unix(path: String)
    /// A server of this process, reached over a socket pair: no port, the same bytes.
    case inProcess(RPCServer)

    /// A name or an IP address, and a port.
    public struct Host: Sendable, Hashable {
        /// An IPv6 address stands without brackets.
        public var name: String
        public var port: Int

        public init(name: String, port: Int) {
            self.name = name
            self.port = port
        }

        public var description: String {
            name.utf8.contains(UInt8(ascii: ":")) ? "[\(name)]:\(port)" : "\(name):\(port)"
        }
    }

    /// Names that one endpoint may list; each may have several addresses.
    public static let hostsMax = 64

    public static func tcp(host: String, port: Int) -> Endpoint { .tcp([Host(name: host, port: port)]) }
    public static func tls(host: String, port: Int) -> Endpoint { .tls([Host(name: host, port: port)]) }

    /// Parses `acp://host:port`, `http://host:port` (the same port answers both), the same encrypted as `acps://` or `https://`,
    /// `unix:///path` or `host:port`. Several hosts are separated by commas; an IPv6 address stands in brackets:
    /// `acp://10.0.0.5:8000,[fd00::5]:8000`.
    /// - Throws: `Failure` INVALID_ARGUMENT that says what is accepted.
    public init(_ text: String) throws {
        if let path = text.dropPrefix("unix://") {
            guard path.hasPrefix("/") else { throw Self.refused(text) }
            self = .unix(path: String(path))
            return
        }
        let encrypted = text.dropPrefix("acps://") ?? text.dropPrefix("https://")
        var rest = encrypted ?? text.dropPrefix("acp://") ?? text.dropPrefix("http://") ?? Substring(text)
        if rest.hasSuffix("/") { rest = rest.dropLast() }
        let parts = rest.split(separator: ",", maxSplits: Self.hostsMax, omittingEmptySubsequences: false)
        guard parts.count <= Self.hostsMax else { throw Self.refused(text) }
        let hosts = try parts.map { part in
            guard let host = Self.host(part) else { throw Self.refused(text) }
            return host
        }
        self = encrypted == nil ? .tcp(hosts) : .tls(hosts)
    }

    private static func host(_ text: Substring) -> Host? {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65_535).contains(port)
        else { return nil }
        var name = text[..<colon]
        if name.hasPrefix("["), name.hasSuffix("]") {
            name = name.dropFirst().dropLast()
        } else if name.contains(":") {
            // Where such an address ends and the port begins is anybody's guess.
            return nil
        }
        guard !name.isEmpty, !name.contains("/"), !name.contains(" ") else { return nil }
        return Host(name: String(name), port: port)
    }

    private static func refused(_ text: String) -> Failure {
        Failure(
            .invalidArgument, reason: "BAD_URL", "\"\(text)\" is not the address of a service.",
            remedy:
                "Write acp://host:port, acps://host:port (encrypted) or unix:///path/of/socket; several hosts with commas between, IPv6 in brackets."
        )
    }

    /// Where bytes go over a network; empty for this machine's own kinds.
    public var hosts: [Host] {
        switch self {
        case .tcp(let hosts), .tls(let hosts): hosts
        case .unix, .inProcess: []
        }
    }

    /// Whether connections use TLS.
    public var isEncrypted: Bool {
        if case .tls = self { true } else { false }
    }

    /// For messages.
    public var description: String {
        switch self {
        case .tcp(let hosts), .tls(let hosts): hosts.map(\.description).joined(separator: ",")
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
