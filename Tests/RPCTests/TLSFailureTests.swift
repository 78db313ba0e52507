import Core
import NIOCore
import NIOPosix
import RPC
import Testing

/// What goes wrong with TLS, and what people are told.
@Suite(.enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
struct TLSFailureTests {
    // MARK: Servers that are not who they should be

    @Test func aServerOfAnotherAuthorityIsNotTrusted() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS("moved-server")) { system in
            let refused = await failure { try await system.call(TLSSystem.clientTLS()) }
            #expect(refused?.reason == "TLS_UNKNOWN_CA")
            #expect(refused?.message.contains("the test service at localhost:\(system.port)") == true)
            #expect(refused?.message.contains("\"Another Authority\"") == true)
            #expect(refused?.message.contains("ca.pem") == true)
            #expect(refused?.remedy.contains("rpc.tls-ca") == true)
            #expect(await system.events.handshakeFailure()?.reason == "TLS_REFUSED")
        }
    }

    @Test func theSystemsAuthoritiesDoNotKnowOurs() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let refused = await failure { try await system.call(ClientTLS()) }
            #expect(refused?.reason == "TLS_UNKNOWN_CA")
            #expect(refused?.message.contains("the system's authorities") == true)
        }
    }

    @Test(arguments: ["localhost", "127.0.0.1"])
    func aServerOfAnotherNameIsNotTrusted(_ host: String) async throws {
        try await TLSSystem.with(TLSSystem.serverTLS("elsewhere")) { system in
            let refused = await failure { try await system.call(TLSSystem.clientTLS(), host: host) }
            #expect(refused?.reason == "TLS_WRONG_HOST")
            #expect(refused?.message.contains("is for elsewhere.example, 203.0.113.7, not for \(host)") == true)
        }
    }

    @Test func anExpiredCertificateIsNamedOnBothSides() async throws {
        // The server does not start with it …
        let refused = await failure { try await TLSSystem.with(TLSSystem.serverTLS("expired")) { _ in } }
        #expect(refused?.reason == "TLS_CERTIFICATE_EXPIRED")
        #expect(refused?.message.contains("expired.pem") == true)
        // … and a client does not take it from one that does.
        let files = try TestCertificates.shared.get()
        let peer = try await OpenSSLServer(files.path("expired.pem"), files.path("expired.key"))
        defer { peer.stop() }
        let runtime = RPCRuntime()
        var configuration = RPCClient.Configuration()
        configuration.tls = try TLSSystem.clientTLS()
        let client = RPCClient(
            runtime: runtime, endpoint: .tls(host: "localhost", port: peer.port), configuration: configuration)
        let untrusted = await failure { () -> RawMessage in try await client.unary(TestSystem.echo, bytes(1)) }
        #expect(untrusted?.reason == "TLS_CERTIFICATE_EXPIRED")
        #expect(untrusted?.message.contains("the service at localhost:\(peer.port)") == true)
        await client.shutdown()
        await runtime.shutdown()
    }

    // MARK: Files

    @Test(
        arguments: [
            ("absent.pem", "server.key", "TLS_FILE", "absent.pem cannot be read: No such file"),
            ("server.pem", "absent.key", "TLS_FILE", "absent.key cannot be read: No such file"),
            ("junk.pem", "server.key", "TLS_FILE", "junk.pem holds no PEM certificate"),
            ("server.pem", "junk.pem", "TLS_FILE", "junk.pem holds no PEM private key"),
            ("server.pem", "locked.key", "TLS_FILE", "locked.key is protected by a passphrase"),
            ("server.pem", "client.key", "TLS_KEY_MISMATCH", "client.key does not belong to the certificate in"),
        ])
    func filesThatCannotBeUsedAreNamed(
        _ certificate: String, _ key: String, _ reason: String, _ text: String
    ) async throws {
        let files = try TestCertificates.shared.get()
        let identity = TLSIdentity(certificatePath: files.path(certificate), keyPath: files.path(key))
        let ofServer = await failure { try await TLSSystem.with(ServerTLS(identity: identity)) { _ in } }
        var tls = try TLSSystem.clientTLS()
        tls.identity = identity
        let ofClient = await failure { try tls.check() }
        for failure in [ofServer, ofClient] {
            #expect(failure?.code == .failedPrecondition)
            #expect(failure?.reason == reason)
            #expect(failure?.message.contains(text) == true, "\(failure?.message ?? "")")
            #expect(failure?.remedy.isEmpty == false)
        }
    }

    @Test func aMissingFileOfAClientFailsTheCallAndNotTheProcess() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            var tls = ClientTLS()
            tls.caPath = "/nonexistent/ca.pem"
            let refused = await failure { try await system.call(tls) }
            #expect(refused?.reason == "TLS_FILE")
            #expect(refused?.message.contains("/nonexistent/ca.pem") == true)
        }
    }

    // MARK: Ports that speak something else

    @Test func aPortWithoutTLSSaysSo() async throws {
        try await TLSSystem.with(nil) { system in
            let refused = await failure { try await system.call(TLSSystem.clientTLS()) }
            #expect(refused?.reason == "TLS_NOT_SPOKEN")
            #expect(refused?.remedy.contains("acp://") == true)
            // And tells the other side, whatever it is.
            let answer = try await PortPeer.exchange(system, [0x16, 3, 1, 0, 5])
            #expect(String(decoding: answer, as: UTF8.self).contains("without TLS, use acp://"))
        }
    }

    @Test func aHandshakeThatNeverEndsIsEndedByTheServer() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) {
            $0.limits.helloSeconds = 2
        } _: { system in
            // The beginning of a ClientHello of 512 bytes.
            let answer = try await PortPeer.exchange(system, [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3])
            #expect(answer.isEmpty)
            let seen = await system.events.handshakeFailure()
            #expect(seen?.message.contains("within 2 s") == true)
        }
    }

    @Test func aHandshakeOfJunkIsRefused() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            _ = try await PortPeer.exchange(system, [0x16, 3, 1, 0, 4, 9, 9, 9, 9])
            #expect(await system.events.handshakeFailure() != nil)
            #expect(try await system.call(TLSSystem.clientTLS()).first == "encrypted")
        }
    }

    @Test func aServerThatSaysNothingIsGivenUpByTheClient() async throws {
        let runtime = RPCRuntime()
        let silent = try await ServerBootstrap(group: runtime.group).bind(host: "127.0.0.1", port: 0).get()
        var configuration = RPCClient.Configuration()
        configuration.limits.helloSeconds = 1
        configuration.tls = try TLSSystem.clientTLS()
        let client = RPCClient(
            runtime: runtime, endpoint: .tls(host: "127.0.0.1", port: silent.localAddress?.port ?? 0),
            configuration: configuration)
        let refused = await failure { () -> RawMessage in try await client.unary(TestSystem.echo, bytes(1)) }
        #expect(refused?.code == .unavailable)
        #expect(refused?.reason == "TLS_HANDSHAKE")
        #expect(refused?.message.contains("within 1 s") == true)
        await client.shutdown()
        try await silent.close()
        await runtime.shutdown()
    }

    @Test func beyondTheLimitOfHandshakesConnectionsAreClosed() async throws {
        var tls = try TLSSystem.serverTLS()
        tls.handshakesMax = 2
        try await TLSSystem.with(tls) { system in
            // Two that hang, and are let go one after the other.
            let first = try await PortPeer.open(system, [0x16, 3, 1, 2, 0])
            let second = try await PortPeer.open(system, [0x16, 3, 1, 2, 0])
            let refused = await failure { try await system.call(TLSSystem.clientTLS()) }
            #expect(refused?.code == .unavailable)
            #expect(refused?.reason == "TLS_HANDSHAKE")
            try await first.close()
            // Its end is noticed in the order of events: what is asked afterwards finds the place free.
            #expect(await system.events.handshakeFailure() != nil)
            #expect(try await system.call(TLSSystem.clientTLS()).first == "encrypted")
            try await second.close()
        }
    }
}
