import Core
import NIOCore
import NIOPosix
import RPC
import Testing

/// The calls themselves run over TLS in CallTests and LimitTests; here is what only TLS has.
@Suite(.enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
struct TLSTests {
    @Test func callsAreEncryptedAndServersVerifiedByNameAndByAddress() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let tls = try TLSSystem.clientTLS()
            #expect(try await system.call(tls).prefix(2) == ["encrypted", "nobody"])
            #expect(try await system.call(tls, host: "127.0.0.1").first == "encrypted")
            var named = tls
            named.serverName = "acp.test"
            #expect(try await system.call(named, host: "127.0.0.1").first == "encrypted")
        }
    }

    @Test func credentialsOfHelloAndRequestTravelEncrypted() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let tls = try TLSSystem.clientTLS()
            #expect(try await system.call(tls) { $0.credential = "of-hello" }.last == "of-hello")
            let options = CallOptions(timeout: .seconds(10), credential: "of-request")
            #expect(try await system.call(tls, options: options).last == "of-request")
        }
    }

    @Test func thisMachineMayStillSpeakWithoutTLS() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let seen = try await system.call(.tcp(host: "127.0.0.1", port: system.port))
            #expect(seen.first == "plain")
        }
    }

    @Test func operatorsReachTheSamePortOverHTTPS() async throws {
        let files = try TestCertificates.shared.get()
        let surface = OperatorSurface(routes: [
            "/healthz": { OperatorSurface.Response(status: 200, contentType: "text/plain", body: Array("fine".utf8)) }
        ])
        try await TLSSystem.with(TLSSystem.serverTLS()) {
            $0.httpFallback = { try surface.configure($0) }
        } _: { system in
            for version in ["-tls1_3", "-tls1_2"] {
                let answer = try await OpenSSLClient.exchange(
                    port: system.port,
                    [version, "-alpn", "http/1.1", "-CAfile", files.path("ca.pem"), "-verify_return_error"],
                    input: "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                #expect(answer.text.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(version): \(answer.diagnostics)")
                #expect(answer.text.hasSuffix("fine"))
            }
        }
    }

    @Test func oldVersionsOfTLSAreRefused() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let answer = try await OpenSSLClient.exchange(
                port: system.port, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], input: "")
            #expect(answer.status != 0)
            #expect(await system.events.handshakeFailure()?.reason == "TLS_VERSION")
        }
    }

    // MARK: Certificates of clients

    private func mutual(_ mode: (String) -> ServerTLS.ClientCertificates) throws -> ServerTLS {
        var tls = try TLSSystem.serverTLS()
        tls.clientCertificates = mode(try TestCertificates.shared.get().path("ca.pem"))
        return tls
    }

    @Test func theServerKnowsAClientByItsVerifiedCertificate() async throws {
        for mode in [ServerTLS.ClientCertificates.optional, ServerTLS.ClientCertificates.required] {
            try await TLSSystem.with(mutual(mode)) { system in
                let seen = try await system.call(TLSSystem.clientTLS(identity: "client"))
                #expect(
                    seen == ["encrypted", "agents.internal", "agents", "", "agents.internal", "spiffe://acp/agents"])
            }
        }
    }

    @Test func withoutOneAClientIsAnonymousWhereItIsOptional() async throws {
        try await TLSSystem.with(mutual(ServerTLS.ClientCertificates.optional)) { system in
            let seen = try await system.call(TLSSystem.clientTLS())
            #expect(seen.prefix(2) == ["encrypted", "nobody"])
        }
    }

    @Test func aCertificateThatWasNotAskedForSaysNothing() async throws {
        try await TLSSystem.with(TLSSystem.serverTLS()) { system in
            let seen = try await system.call(TLSSystem.clientTLS(identity: "stranger"))
            #expect(seen.prefix(2) == ["encrypted", "nobody"])
        }
    }

    @Test(arguments: ["stranger", "expired-client"])
    func clientsWithACertificateOfNobodyAreRefusedAndTold(_ identity: String) async throws {
        for mode in [ServerTLS.ClientCertificates.optional, ServerTLS.ClientCertificates.required] {
            try await TLSSystem.with(mutual(mode)) { system in
                var tls = try TLSSystem.clientTLS(identity: "stranger")
                if identity == "expired-client" {
                    // The client itself would refuse to show it.
                    tls.identity = nil
                    let files = try TestCertificates.shared.get()
                    let answer = try await OpenSSLClient.exchange(
                        port: system.port,
                        ["-cert", files.path("expired-client.pem"), "-key", files.path("expired-client.key")], input: ""
                    )
                    #expect(answer.diagnostics.contains("expired"), "\(answer.diagnostics)")
                    #expect(await system.events.handshakeFailure()?.reason == "TLS_CERTIFICATE_EXPIRED")
                    return
                }
                let refused = await failure { try await system.call(tls) }
                #expect(refused?.reason == "TLS_CLIENT_CERTIFICATE")
                #expect(refused?.message.contains("unknown ca") == true)
                let seen = await system.events.handshakeFailure()
                #expect(seen?.reason == "TLS_UNKNOWN_CA")
                #expect(seen?.message.contains("Another Authority") == true)
            }
        }
    }

    @Test func clientsWithoutOneAreRefusedWhereItIsRequired() async throws {
        try await TLSSystem.with(mutual(ServerTLS.ClientCertificates.required)) { system in
            let refused = await failure { try await system.call(TLSSystem.clientTLS()) }
            #expect(refused?.code == .unauthenticated)
            #expect(refused?.reason == "TLS_CLIENT_CERTIFICATE")
            #expect(refused?.remedy.contains("rpc.tls-client-certificate") == true)
            #expect(await system.events.handshakeFailure()?.reason == "TLS_CLIENT_CERTIFICATE")
            // This machine is no exception, or anybody on it could go around the certificate.
            let plain = await failure { try await system.call(.tcp(host: "127.0.0.1", port: system.port)) }
            #expect(plain?.message.contains("acps://") == true)
        }
    }
}
