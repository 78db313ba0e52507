internal import Core
internal import NIOCore
internal import NIOSSL

extension TLSConfiguration {
    /// What both ends insist on. TLS 1.3 is always preferred and chooses its own ciphers.
    fileprivate mutating func harden() {
        minimumTLSVersion = .tlsv12
        // For TLS 1.2: forward secrecy and authenticated encryption only.
        cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
        renegotiationSupport = .none
        // A peer that does not answer the end of TLS holds its connection no longer than this.
        shutdownTimeout = .seconds(1)
    }
}

extension ServerTLS {
    /// ACP/1, and HTTP for operators and the gateway.
    static let protocols = ["acp/1", "http/1.1"]

    private var caPath: String? {
        switch clientCertificates {
        case .off: nil
        case .optional(let caPath), .required(let caPath): caPath
        }
    }

    func source(report: @escaping @Sendable (TLSEvent) -> Void) -> TLSContextSource {
        let paths = [identity.certificatePath, identity.keyPath] + (caPath.map { [$0] } ?? [])
        return TLSContextSource(paths: paths, checkSeconds: checkSeconds, report: report) {
            () throws(Failure) -> TLSContextSource.Loaded in try load()
        }
    }

    /// Blocking.
    func load() throws(Failure) -> TLSContextSource.Loaded {
        let (chain, key) = try TLSFiles.identity(identity)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.harden()
        configuration.applicationProtocols = Self.protocols
        if let caPath {
            configuration.trustRoots = .certificates(try TLSFiles.certificates(caPath, "client authority"))
        }
        switch clientCertificates {
        case .off: configuration.certificateVerification = .none
        case .optional: configuration.certificateVerification = .optionalVerification
        // Clients have no host name that could be verified.
        case .required: configuration.certificateVerification = .noHostnameVerification
        }
        var loaded = TLSContextSource.Loaded(context: try TLSFiles.context(configuration, identity))
        loaded.certificate = chain.first.map { (CertificateText.serverNames($0), CertificateText.expiry($0)) }
        if TLSFiles.isReadableByAll(identity.keyPath) { loaded.exposedKeyPath = identity.keyPath }
        return loaded
    }

    /// Reads the files and forgets them: for checks of a configuration. Blocking.
    /// - Throws: `Failure` FAILED_PRECONDITION that names the file.
    public func check() throws { _ = try load() }
}

extension ClientTLS {
    static let protocols = ["acp/1"]

    var source: TLSContextSource {
        let paths = [caPath, identity?.certificatePath, identity?.keyPath].compactMap(\.self)
        return TLSContextSource(paths: paths, checkSeconds: checkSeconds) {
            () throws(Failure) -> TLSContextSource.Loaded in try load()
        }
    }

    /// Blocking.
    func load() throws(Failure) -> TLSContextSource.Loaded {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.harden()
        configuration.applicationProtocols = Self.protocols
        configuration.certificateVerification = .fullVerification
        if let caPath { configuration.trustRoots = .certificates(try TLSFiles.certificates(caPath, "authority")) }
        if let identity {
            let (chain, key) = try TLSFiles.identity(identity)
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(key)
        }
        return TLSContextSource.Loaded(context: try TLSFiles.context(configuration, identity))
    }

    /// Reads the files and forgets them: for checks of a configuration. Blocking.
    /// - Throws: `Failure` FAILED_PRECONDITION that names the file.
    public func check() throws { _ = try load() }
}
