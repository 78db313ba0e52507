public import Core

/// A certificate and its key, as PEM files. Both are read again when they change.
public struct TLSIdentity: Sendable, Hashable {
    /// The certificate, then those between it and the authority.
    public var certificatePath: String
    /// Without a passphrase: a service that starts by itself could not give one.
    public var keyPath: String

    public init(certificatePath: String, keyPath: String) {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
    }
}

/// TLS of a server's ports: version 1.3, and 1.2 with forward secrecy and authenticated encryption for those who know no better.
public struct ServerTLS: Sendable, Hashable {
    /// What callers must show of themselves. The authorities are certificates in a PEM file.
    public enum ClientCertificates: Sendable, Hashable {
        /// None is asked for.
        case off
        /// One is asked for; what comes must be of one of the authorities.
        case optional(caPath: String)
        /// Nobody is served without one, from this machine neither, so TCP without TLS is not taken at all.
        case required(caPath: String)
    }

    public var identity: TLSIdentity
    public var clientCertificates = ClientCertificates.off
    /// How often, at most, the files are looked at while connections come.
    public var checkSeconds = 2
    /// Handshakes at once; what comes beyond is closed. One costs about 60 KiB until it is done.
    public var handshakesMax = 1000

    public init(identity: TLSIdentity) { self.identity = identity }

    var requiresClientCertificate: Bool {
        if case .required = clientCertificates { true } else { false }
    }
}

/// TLS of a client, for endpoints that ask for it. The server's name is always verified.
public struct ClientTLS: Sendable, Hashable {
    /// PEM file with the authorities that servers' certificates must come from; nil for those of the system.
    public var caPath: String?
    /// The name that the server's certificate must have; nil for the host of the endpoint.
    public var serverName: String?
    /// What the client shows to servers that ask.
    public var identity: TLSIdentity?
    /// How often, at most, the files are looked at while connections are made.
    public var checkSeconds = 2

    public init() {}
}

/// Who a peer is by its certificate, which has been verified.
public struct PeerCertificate: Sendable, Hashable {
    /// Names kept of one certificate, and characters of one name.
    static let namesMax = 16
    static let nameCharactersMax = 255

    /// The subject's common name; empty when it has none.
    public let commonName: String
    /// The alternative names that are host names, URIs (such as SPIFFE ids) and mail addresses, in that order.
    public let alternativeNames: [String]

    /// How to call the peer: its first alternative name, otherwise its common name.
    public var name: String { alternativeNames.first ?? commonName }
}

/// What happened to the encryption of a server's port, for its log.
public enum TLSEvent: Sendable {
    /// A certificate was read and serves new connections from now on.
    case loaded(certificate: String, expires: String)
    /// Files have changed and cannot be used: what was read before goes on serving.
    case kept(Failure)
    /// The key can be read by every user of this machine.
    case exposedKey(path: String)
    /// A connection ended before it was encrypted.
    case handshakeFailed(peer: String, Failure)
}
