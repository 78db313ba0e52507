import Core
import NIOCore
import Testing

@testable import RPC

/// What may travel unencrypted, and to whom.
@Suite struct TransportRulesTests {
    private static func address(_ text: String) throws -> SocketAddress { try SocketAddress(ipAddress: text, port: 1) }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.9.8.7", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false),
        ("0.0.0.0", false), ("::", false), ("::ffff:192.0.2.1", false), ("2001:db8::127", false), ("128.0.0.1", false),
    ])
    func onlyLoopbackIsThisMachine(_ text: String, _ expected: Bool) throws {
        let address = try Self.address(text)
        #expect(address.isLoopback == expected)
        #expect(TransportRules.isLocal(address) == expected)
        #expect(TransportRules.mayListen(on: address, hasTLS: false, allowsInsecure: false) == expected)
        #expect(TransportRules.mayListen(on: address, hasTLS: true, allowsInsecure: false))
        #expect(TransportRules.mayListen(on: address, hasTLS: false, allowsInsecure: true))
        #expect(
            TransportRules.mayCarryCredentials(to: address, isEncrypted: false, allowsInsecure: false) == expected)
        #expect(TransportRules.mayCarryCredentials(to: address, isEncrypted: true, allowsInsecure: false))
        #expect(TransportRules.mayCarryCredentials(to: address, isEncrypted: false, allowsInsecure: true))
    }

    @Test func socketPairsAndUnixSocketsAreThisMachine() throws {
        #expect(TransportRules.isLocal(nil))
        #expect(TransportRules.isLocal(try SocketAddress(unixDomainSocketPath: "/tmp/x")))
    }

    @Test func serversWithTLSTakePlaintextFromThisMachineUnlessTheyKnowClientsByCertificate() throws {
        let (near, far) = (try Self.address("127.0.0.1"), try Self.address("192.0.2.1"))
        let unix = try SocketAddress(unixDomainSocketPath: "/tmp/x")
        var tls = ServerTLS(identity: TLSIdentity(certificatePath: "c", keyPath: "k"))
        func takes(_ peer: SocketAddress?, _ tls: ServerTLS?, insecure: Bool = false) -> Bool {
            TransportRules.takesPlaintext(from: peer, tls: tls, allowsInsecure: insecure)
        }
        // Without TLS the listening address has decided.
        #expect(takes(near, nil) && takes(far, nil))
        #expect(takes(near, tls) && takes(unix, tls) && takes(nil, tls))
        #expect(!takes(far, tls))
        #expect(takes(far, tls, insecure: true))
        tls.clientCertificates = .optional(caPath: "ca")
        #expect(takes(near, tls) && !takes(far, tls))
        tls.clientCertificates = .required(caPath: "ca")
        #expect(!takes(near, tls, insecure: true) && !takes(far, tls, insecure: true))
        #expect(takes(unix, tls) && takes(nil, tls))
    }

    @Test(.enabled(if: PortPeer.outsideAddress != nil, "this machine has no address but loopback"))
    func credentialsDoNotLeaveThisMachineUnencrypted() async throws {
        let host = try #require(PortPeer.outsideAddress)
        try await TLSSystem.with(nil, host: "0.0.0.0") {
            $0.allowsInsecure = true
        } _: { system in
            let endpoint = Endpoint.tcp(host: host, port: system.port)
            let withKey = CallOptions(timeout: .seconds(10), credential: "secret-key")
            let ofRequest = await failure { try await system.call(endpoint, options: withKey) }
            let ofHello = await failure { try await system.call(endpoint) { $0.credential = "secret-key" } }
            for refused in [ofRequest, ofHello] {
                #expect(refused?.code == .failedPrecondition)
                #expect(refused?.reason == "INSECURE_CREDENTIAL")
                #expect(refused?.message.contains("the test service at \(host):\(system.port)") == true)
                #expect(refused?.message.contains("secret-key") == false)
                #expect(refused?.remedy.contains("acps://") == true)
            }
            #expect(try await system.call(endpoint).first == "plain")
            let allowed = try await system.call(endpoint, options: withKey) { $0.allowsInsecure = true }
            #expect(allowed.last == "secret-key")
        }
    }

    @Test(
        .enabled(if: PortPeer.outsideAddress != nil, "this machine has no address but loopback"),
        .enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
    func aPortWithTLSTellsOthersToUseIt() async throws {
        let host = try #require(PortPeer.outsideAddress)
        try await TLSSystem.with(TLSSystem.serverTLS(), host: "0.0.0.0") { system in
            let refused = await failure { try await system.call(.tcp(host: host, port: system.port)) }
            #expect(refused?.code == .failedPrecondition)
            #expect(refused?.message.contains("no unencrypted connection from there, use acps://") == true)
            let answer = try await PortPeer.exchange(system, host: host, Array("GET / HTTP/1.1\r\n\r\n".utf8))
            let text = String(decoding: answer, as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 400 "))
            #expect(text.contains("use acps:// or https://"))
            let other = try await PortPeer.exchange(system, host: host, [1])
            #expect(String(decoding: other, as: UTF8.self).contains("use acps:// or https://"))
            // Its certificate does not name that address, but a name can be given.
            var tls = try TLSSystem.clientTLS()
            tls.serverName = "acp.test"
            #expect(try await system.call(tls, host: host).first == "encrypted")
        }
    }
}
