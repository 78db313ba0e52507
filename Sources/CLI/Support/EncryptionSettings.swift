internal import Core
public import Platform
public import RPC

/// The settings of connections as the two ends take them: the same for commands and for services that call each other.
extension Configuration {
    /// How services are reached whose address says acps:// or https://.
    /// - Throws: `Failure` FAILED_PRECONDITION for a certificate without its key or the other way round.
    public func clientTLS() throws -> ClientTLS {
        var tls = ClientTLS()
        tls.caPath = self[.rpcTLSCA]
        tls.serverName = self[.rpcTLSServerName]
        tls.identity = try identity(.rpcTLSClientCertificate, .rpcTLSClientKey)
        return tls
    }

    /// How a service that messages call `serviceName` is called.
    /// - Throws: as `clientTLS`.
    public func clientSettings(of serviceName: String) throws -> RPCClient.Configuration {
        var settings = RPCClient.Configuration()
        settings.serviceName = serviceName
        settings.limits = connectionLimits()
        settings.tls = try clientTLS()
        settings.allowsInsecure = self[.rpcInsecureAllow]
        return settings
    }

    /// What this process takes on its connections, whichever end it is.
    public func connectionLimits() -> RPCLimits {
        var limits = RPCLimits()
        limits.frameBytesMax = self[.rpcFrameBytesMax]
        limits.messageBytesMax = self[.rpcMessageBytesMax]
        limits.streamsMax = self[.rpcStreamsMax]
        limits.streamWindowBytes = self[.rpcStreamWindowBytes]
        limits.connectionWindowBytes = self[.rpcConnectionWindowBytes]
        limits.unsentBytesMax = self[.rpcUnsentBytesMax]
        limits.keepaliveSeconds = max(1, Int(self[.rpcKeepalive].components.seconds))
        return limits
    }

    /// How this process's services are encrypted; nil when they are not.
    /// - Throws: `Failure` FAILED_PRECONDITION for settings of which one lacks the other.
    public func serverTLS() throws -> ServerTLS? {
        let identity = try identity(.rpcTLSCertificate, .rpcTLSKey)
        let caPath = self[.rpcTLSClientCA]
        let isRequired = self[.rpcTLSRequireClientCertificate]
        guard let identity else {
            if caPath != nil { throw Self.lacking(ConfigKey.rpcTLSClientCA.entry, ConfigKey.rpcTLSCertificate.entry) }
            if isRequired {
                throw Self.lacking(
                    ConfigKey.rpcTLSRequireClientCertificate.entry, ConfigKey.rpcTLSCertificate.entry)
            }
            return nil
        }
        var tls = ServerTLS(identity: identity)
        if let caPath {
            tls.clientCertificates = isRequired ? .required(caPath: caPath) : .optional(caPath: caPath)
        } else if isRequired {
            throw Self.lacking(ConfigKey.rpcTLSRequireClientCertificate.entry, ConfigKey.rpcTLSClientCA.entry)
        }
        return tls
    }

    private func identity(_ certificate: ConfigKey<String?>, _ key: ConfigKey<String?>) throws -> TLSIdentity? {
        switch (self[certificate], self[key]) {
        case (nil, nil): nil
        case (let certificatePath?, let keyPath?): TLSIdentity(certificatePath: certificatePath, keyPath: keyPath)
        case (_?, nil): throw Self.lacking(certificate.entry, key.entry)
        case (nil, _?): throw Self.lacking(key.entry, certificate.entry)
        }
    }

    private static func lacking(_ entry: ConfigEntry, _ other: ConfigEntry) -> Failure {
        Failure(
            .failedPrecondition, reason: "CONFIGURATION",
            "\(entry.name) is set, but \(other.name), without which it has no effect, is not.",
            remedy: "Set both, or none. `acp config show` tells where a value comes from.")
    }
}
