import Core
import NIOCore
import NIOEmbedded
import NIOSSL
import Synchronization
import Testing

@testable import RPC

/// A server's patience with a peer that begins slowly is one, from accept on, whatever the peer has begun meanwhile. In simulated time.
@Suite struct GreetingTimeTests {
    private struct Accepted {
        let embedded = EmbeddedLoop()
        let channel: EmbeddedChannel
        let shared: RPCServer.Shared

        init(isBeyondLimit: Bool = false) throws {
            shared = RPCServer.Shared(router: EmbeddedService().router, configuration: RPCServer.Configuration())
            channel = EmbeddedChannel(loop: embedded.loop)
            try channel.pipeline.syncOperations.addHandler(
                ProtocolSniffer(shared: shared, loopContext: embedded.context, isBeyondLimit: isBeyondLimit))
            channel.connect(to: try SocketAddress(unixDomainSocketPath: "/embedded"), promise: nil)
            embedded.run()
        }

        func receive(_ bytes: [UInt8]) throws {
            try channel.writeInbound(ByteBuffer(bytes: bytes))
            embedded.run()
        }

        /// Frames that the server has sent since the last time.
        func sent() throws -> [WireFrame] {
            var all = ByteBuffer()
            while let bytes = try channel.readOutbound(as: ByteBuffer.self) { all.writeImmutableBuffer(bytes) }
            return try WireFrame.read(&all)
        }

        /// Lets what closes close: a closing connection lingers half a second for what the peer may still send.
        func end() {
            embedded.pass(milliseconds: 40_000)
            if channel.isActive { channel.close(promise: nil) }
            embedded.run()
        }
    }

    @Test func silenceIsClosedAfterFiveSeconds() throws {
        let peer = try Accepted()
        peer.embedded.pass(milliseconds: 4999)
        #expect(peer.channel.isActive)
        peer.embedded.pass(milliseconds: 1)
        #expect(!peer.channel.isActive)
    }

    @Test(arguments: [1, 7, 8]) func aLatePrefaceDoesNotBuyMoreTime(_ count: Int) throws {
        let peer = try Accepted()
        peer.embedded.pass(milliseconds: 3000)
        try peer.receive(Array(RawPeer.preface.prefix(count)))
        #expect(try peer.sent().map(\.type) == [.hello])
        peer.embedded.pass(milliseconds: 1999)
        #expect(try peer.sent().isEmpty)
        peer.embedded.pass(milliseconds: 1)
        let goAway = try #require(try peer.sent().compactMap { try $0.goAway }.first)
        #expect(goAway.message.contains("no HELLO came within 5 s"))
        peer.end()
    }

    @Test func aHelloInTheLastMillisecondIsInTime() throws {
        let peer = try Accepted()
        peer.embedded.pass(milliseconds: 2000)
        try peer.receive(RawPeer.preface)
        peer.embedded.pass(milliseconds: 2999)
        try peer.receive(RawPeer.emptyHello)
        _ = try peer.sent()
        peer.embedded.pass(milliseconds: 20_000)
        #expect(try peer.sent().isEmpty)
        try peer.receive(Array(WireFrame.request(1, EmbeddedService.echo.path).bytes.readableBytesView))
        #expect(try peer.sent().map(\.type) == [.status])
        peer.end()
    }

    @Test func whoFindsNoPlaceHasOneSecond() throws {
        let peer = try Accepted(isBeyondLimit: true)
        peer.embedded.pass(milliseconds: 999)
        #expect(peer.channel.isActive)
        peer.embedded.pass(milliseconds: 1)
        #expect(!peer.channel.isActive)
        let told = try Accepted(isBeyondLimit: true)
        try told.receive([0xAC])
        #expect(try told.sent().compactMap { try $0.goAway }.first?.code == UInt32(StatusCode.unavailable.rawValue))
        #expect(!told.channel.isActive)
    }

    @Test(.enabled(if: TestCertificates.isAvailable, Comment(rawValue: TestCertificates.skipped)))
    func aSlowHandshakeLeavesLessTimeForHello() async throws {
        var configuration = RPCServer.Configuration()
        configuration.tls = try TLSSystem.serverTLS()
        let shared = RPCServer.Shared(router: EmbeddedService().router, configuration: configuration)
        let client = try TLSSystem.clientTLS().source
        // What was read a moment ago is at hand at once: everything below happens on one thread.
        try await shared.tls?.reload()
        try await client.reload()
        for handshakeMs in [0, 4000] { try greetSlowly(shared, client, handshakeMs: Int64(handshakeMs)) }
    }

    /// The handshake ends after `handshakeMs`, the preface comes a moment later, and HELLO never.
    private func greetSlowly(_ shared: RPCServer.Shared, _ source: TLSContextSource, handshakeMs: Int64) throws {
        let known = Mutex<NIOSSLContext?>(nil)
        source.use { result in known.withLock { $0 = try? result.get() } }
        let context = try #require(known.withLock { $0 })
        let embedded = EmbeddedLoop()
        let server = EmbeddedChannel(loop: embedded.loop)
        try server.pipeline.syncOperations.addHandler(ProtocolSniffer(shared: shared, loopContext: embedded.context))
        server.connect(to: try SocketAddress(unixDomainSocketPath: "/embedded"), promise: nil)
        let client = EmbeddedChannel(loop: embedded.loop)
        try client.pipeline.syncOperations.addHandler(
            NIOSSLClientHandler(context: context, serverHostname: "localhost"))
        client.connect(to: try SocketAddress(unixDomainSocketPath: "/embedded"), promise: nil)
        func exchange() throws {
            var isQuiet = false
            while !isQuiet {
                isQuiet = true
                embedded.run()
                for (from, to) in [(client, server), (server, client)] {
                    while let bytes = try from.readOutbound(as: ByteBuffer.self) {
                        isQuiet = false
                        // The end of a connection may be an error to the other one; what was said is looked at.
                        if to.isActive { _ = try? to.writeInbound(bytes) }
                    }
                }
            }
        }
        // The client's first message arrives at once, what follows late.
        let hello = try #require(try client.readOutbound(as: ByteBuffer.self))
        try server.writeInbound(hello)
        embedded.pass(milliseconds: handshakeMs)
        try exchange()
        try client.writeOutbound(ByteBuffer(bytes: RawPeer.preface))
        try exchange()
        embedded.pass(milliseconds: 5000 - handshakeMs - 1)
        try exchange()
        var said = ByteBuffer()
        func types() throws -> [UInt8] {
            while let bytes = try client.readInbound(as: ByteBuffer.self) { said.writeImmutableBuffer(bytes) }
            return RawPeer.types(Array(said.readableBytesView))
        }
        #expect(try types() == [0], "the server greets and waits, after \(handshakeMs) ms")
        embedded.pass(milliseconds: 1)
        try exchange()
        #expect(try types() == [0, 9])
        embedded.pass(milliseconds: 40_000)
        for channel in [client, server] where channel.isActive { channel.close(promise: nil) }
        embedded.run()
    }
}
