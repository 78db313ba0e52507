import Core
import Platform
import RPC
import Testing

@testable import CLI

@Suite struct EncryptionSettingsTests {
    private func configuration(_ flags: [String: String]) throws -> Configuration {
        try Configuration(
            flags: flags, environment: ["HOME": "/home/ada"], file: ConfigFile(path: "/nonexistent/config.toml"))
    }

    @Test func withoutSettingsServersSpeakPlainAndClientsTrustTheSystem() throws {
        let configuration = try configuration([:])
        #expect(try configuration.serverTLS() == nil)
        #expect(try configuration.clientTLS() == ClientTLS())
    }

    @Test func everySettingReachesItsEnd() throws {
        let configuration = try configuration([
            "rpc.tls-certificate": "/c", "rpc.tls-key": "/k", "rpc.tls-client-ca": "/ca", "rpc.tls-ca": "/roots",
            "rpc.tls-server-name": "documents", "rpc.tls-client-certificate": "/cc", "rpc.tls-client-key": "/ck",
        ])
        let server = try configuration.serverTLS()
        #expect(server?.identity == TLSIdentity(certificatePath: "/c", keyPath: "/k"))
        #expect(server?.clientCertificates == .optional(caPath: "/ca"))
        var client = ClientTLS()
        client.caPath = "/roots"
        client.serverName = "documents"
        client.identity = TLSIdentity(certificatePath: "/cc", keyPath: "/ck")
        #expect(try configuration.clientTLS() == client)
    }

    @Test func certificatesOfCallersCanBeRequired() throws {
        let configuration = try configuration([
            "rpc.tls-certificate": "/c", "rpc.tls-key": "/k", "rpc.tls-client-ca": "/ca",
            "rpc.tls-require-client-certificate": "true",
        ])
        #expect(try configuration.serverTLS()?.clientCertificates == .required(caPath: "/ca"))
    }

    @Test(
        arguments: [
            (["rpc.tls-certificate"], "rpc.tls-certificate is set, but rpc.tls-key"),
            (["rpc.tls-key"], "rpc.tls-key is set, but rpc.tls-certificate"),
            (["rpc.tls-client-certificate"], "rpc.tls-client-certificate is set, but rpc.tls-client-key"),
            (["rpc.tls-client-ca"], "rpc.tls-client-ca is set, but rpc.tls-certificate"),
            (["rpc.tls-require-client-certificate"], "is set, but rpc.tls-certificate"),
            (
                ["rpc.tls-certificate", "rpc.tls-key", "rpc.tls-require-client-certificate"],
                "is set, but rpc.tls-client-ca"
            ),
        ])
    func halfOfAPairIsRefused(_ keys: [String], _ text: String) throws {
        let flags = Dictionary(uniqueKeysWithValues: keys.map { ($0, $0.contains("require") ? "true" : "/file") })
        let configuration = try configuration(flags)
        let failure = #expect(throws: Failure.self) {
            _ = try configuration.clientTLS()
            _ = try configuration.serverTLS()
        }
        #expect(failure?.message.contains(text) == true)
        #expect(failure?.code == .failedPrecondition)
    }

    @Test(arguments: [
        ("acp://h:1", false), ("http://h:1/", false), ("h:1", false), ("acps://h:1", true),
        ("https://[::1]:8080/", true),
        ("unix:///run/acp.sock", false),
    ])
    func schemesSayWhetherAnAddressIsEncrypted(_ text: String, _ expected: Bool) throws {
        #expect(try Endpoint(text).isEncrypted == expected)
    }

    @Test func limitsOfConnectionsReachBothEnds() throws {
        let configuration = try configuration([
            "rpc.frame-bytes-max": "128KiB", "rpc.message-bytes-max": "8MiB", "rpc.streams-max": "7",
            "rpc.stream-window-bytes": "512KiB", "rpc.connection-window-bytes": "16MiB",
            "rpc.unsent-bytes-max": "2MiB", "rpc.keepalive": "45s",
        ])
        var limits = RPCLimits()
        limits.frameBytesMax = 131_072
        limits.messageBytesMax = 8 << 20
        limits.streamsMax = 7
        limits.streamWindowBytes = 512 << 10
        limits.connectionWindowBytes = 16 << 20
        limits.unsentBytesMax = 2 << 20
        limits.keepaliveSeconds = 45
        #expect(configuration.connectionLimits() == limits)
        #expect(try configuration.clientSettings(of: "the service").limits == limits)
        #expect(try self.configuration([:]).connectionLimits() == RPCLimits(), "the defaults are the protocol's")
    }
}
