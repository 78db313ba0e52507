internal import Core
internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#endif

/// One address of a service.
struct PeerAddress: Sendable, Hashable {
    enum Target: Sendable, Hashable {
        case socket(SocketAddress)
        case unix(path: String)
        case inProcess
    }

    let target: Target
    /// The name it was found under, as the endpoint has it; what a certificate must be for. Empty unless the target is a socket.
    let host: String
    /// For messages.
    let description: String

    /// The addresses that are known without asking; nil when there is a name to resolve.
    static func known(_ endpoint: Endpoint) -> [PeerAddress]? {
        switch endpoint {
        case .unix(let path): return [PeerAddress(target: .unix(path: path), host: "", description: path)]
        case .inProcess: return [PeerAddress(target: .inProcess, host: "", description: "this process")]
        case .tcp(let hosts), .tls(let hosts):
            let literals = hosts.compactMap(literal)
            return literals.count == hosts.count ? literals : nil
        }
    }

    private static func literal(_ host: Endpoint.Host) -> PeerAddress? {
        (try? SocketAddress(ipAddress: host.name, port: host.port)).map {
            PeerAddress(target: .socket($0), host: host.name, description: host.description)
        }
    }

    /// All addresses of `hosts`, in the order of the name service. Blocks: never on an event loop or the cooperative pool.
    /// - Throws: `Failure` UNAVAILABLE when none of the names has an address.
    static func resolve(_ hosts: [Endpoint.Host], serviceName: String) throws(Failure) -> [PeerAddress] {
        var addresses: [PeerAddress] = []
        var why = ""
        for host in hosts {
            if let literal = literal(host) {
                addresses.append(literal)
                continue
            }
            switch lookUp(host) {
            case .success(let found):
                for address in found {
                    let place = address.ipAddress.map { Endpoint.Host(name: $0, port: host.port).description } ?? ""
                    addresses.append(
                        PeerAddress(
                            target: .socket(address), host: host.name, description: "\(host.description) (\(place))"))
                }
            case .failure(let problem): why = "the name \(host.name) cannot be resolved: \(problem.text)"
            }
        }
        guard addresses.isEmpty else { return addresses }
        let place = hosts.map(\.description).joined(separator: ",")
        throw Failure(
            .unavailable, reason: "UNREACHABLE", "Cannot reach \(serviceName) at \(place): \(why).",
            remedy:
                "Check the name, and the name service of this machine; `acp config show` tells which address is used.")
    }

    private struct LookUpProblem: Error { let text: String }

    private static func lookUp(_ host: Endpoint.Host) -> Result<[SocketAddress], LookUpProblem> {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_flags = AI_NUMERICSERV
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host.name, "\(host.port)", &hints, &list)
        guard status == 0 else { return .failure(LookUpProblem(text: String(cString: gai_strerror(status)))) }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var entry = list
        while let current = entry {
            entry = current.pointee.ai_next
            guard let address = current.pointee.ai_addr else { continue }
            let raw = UnsafeRawPointer(address)
            switch current.pointee.ai_family {
            case AF_INET: found.append(SocketAddress(raw.loadUnaligned(as: sockaddr_in.self)))
            case AF_INET6: found.append(SocketAddress(raw.loadUnaligned(as: sockaddr_in6.self)))
            default: break
            }
        }
        return .success(found)
    }
}
