extension ConfigKey where Value == String? {
    public static var rpcTLSCertificate: Self {
        .optional(
            "rpc.tls-certificate", .path, unset: "no TLS",
            "PEM file with the certificate of this process's services, and those between it and its authority; "
                + "with `rpc.tls-key` it turns TLS on. A changed file is read without a restart.")
    }
    public static var rpcTLSKey: Self {
        .optional(
            "rpc.tls-key", .path, unset: "none",
            "PEM file with the private key of `rpc.tls-certificate`, without a passphrase.")
    }
    public static var rpcTLSClientCA: Self {
        .optional(
            "rpc.tls-client-ca", .path, unset: "callers are not asked for certificates",
            "PEM file with the authorities whose certificates callers may show to this process's services.")
    }
    public static var rpcTLSCA: Self {
        .optional(
            "rpc.tls-ca", .path, unset: "the system's authorities",
            "PEM file with the authorities that the certificates of services must come from.")
    }
    public static var rpcTLSServerName: Self {
        .optional(
            "rpc.tls-server-name", unset: "the host in the address",
            "Host name that the certificates of services must be for, when their addresses say another.")
    }
    public static var rpcTLSClientCertificate: Self {
        .optional(
            "rpc.tls-client-certificate", .path, unset: "none",
            "PEM file with the certificate that this process shows to services that ask for one.")
    }
    public static var rpcTLSClientKey: Self {
        .optional(
            "rpc.tls-client-key", .path, unset: "none",
            "PEM file with the private key of `rpc.tls-client-certificate`, without a passphrase.")
    }
}

extension ConfigKey where Value == Bool {
    public static var rpcTLSRequireClientCertificate: Self {
        .boolean(
            "rpc.tls-require-client-certificate", false,
            "Serve nobody over TCP who does not show a certificate of `rpc.tls-client-ca`; on this machine neither.")
    }
}

extension Configuration {
    /// Whether the services of this process at `host` are reached over TLS unless somebody says otherwise.
    public func encryptsByDefault(host: String) -> Bool {
        Self.encryptsByDefault(
            host: host, hasCertificate: self[.rpcTLSCertificate] != nil,
            requiresClientCertificate: self[.rpcTLSRequireClientCertificate])
    }

    /// Services take unencrypted connections from their own machine, except when everybody must show a certificate.
    static func encryptsByDefault(host: String, hasCertificate: Bool, requiresClientCertificate: Bool) -> Bool {
        hasCertificate && (requiresClientCertificate || !isLoopback(host: host))
    }

    /// Whether `host`, as it is written in an address, is this machine.
    public static func isLoopback(host: String) -> Bool {
        host == "localhost" || host == "::1" || host == "[::1]" || host.hasPrefix("127.")
    }
}
