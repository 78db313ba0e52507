public import NIOCore

/// What may cross a connection that is not encrypted. One place for both ends.
enum TransportRules {
    /// Whether bytes between this machine and itself are all that a connection without TLS carries.
    /// nil is a socket pair inside the process.
    static func isLocal(_ peer: SocketAddress?) -> Bool { peer?.isLoopback ?? true }

    /// Whether a server listens without TLS.
    static func mayListen(on address: SocketAddress, hasTLS: Bool, allowsInsecure: Bool) -> Bool {
        hasTLS || allowsInsecure || address.isLoopback
    }

    /// Whether a server talks without TLS to `peer`.
    static func takesPlaintext(from peer: SocketAddress?, tls: ServerTLS?, allowsInsecure: Bool) -> Bool {
        // Who can open a Unix socket was decided by the file system.
        guard let tls, peer.map(\.isInternet) ?? false else { return true }
        if tls.requiresClientCertificate { return false }
        return allowsInsecure || isLocal(peer)
    }

    /// Whether a client sends credentials to `peer`.
    static func mayCarryCredentials(to peer: SocketAddress?, isEncrypted: Bool, allowsInsecure: Bool) -> Bool {
        isEncrypted || allowsInsecure || isLocal(peer)
    }
}

extension SocketAddress {
    /// Whether only this machine can reach it.
    public var isLoopback: Bool {
        switch self {
        case .v4: ipAddress?.hasPrefix("127.") == true
        // The second is how a socket that takes both versions sees the first.
        case .v6: ipAddress == "::1" || ipAddress?.hasPrefix("::ffff:127.") == true
        case .unixDomainSocket: true
        }
    }

    fileprivate var isInternet: Bool {
        if case .unixDomainSocket = self { false } else { true }
    }
}
