import Core
import NIOCore
import NIOPosix
import Testing

@testable import RPC

/// Sockets that say nothing, or not enough: they count, and those who speak are served.
@Suite struct ConnectionPlacesTests {
    private struct Port {
        let runtime: RPCRuntime
        let server: RPCServer
        let port: Int

        var places: ConnectionPlaces { server.shared.places }

        /// A socket that is open and silent; `first` are its first bytes.
        func connect(_ first: [UInt8] = []) async throws -> any Channel {
            let channel = try await ClientBootstrap(group: runtime.group).connect(host: "127.0.0.1", port: port).get()
            if !first.isEmpty { try await channel.writeAndFlush(ByteBuffer(bytes: first)) }
            return channel
        }

        func client() -> RPCClient { RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port)) }

        /// What the server says to these bytes before it closes.
        func exchange(_ first: [UInt8]) async throws -> String {
            let client = client()
            let system = TestSystem(runtime: runtime, server: server, client: client, port: port)
            let answer = try await RawPeer.exchange(system, [first])
            await client.shutdown()
            return String(decoding: answer, as: UTF8.self)
        }

        /// Lets other tasks run until it is so.
        func until(_ condition: () -> Bool) async { while !condition() { await Task.yield() } }
    }

    private func with(connectionsMax: Int, tls: Bool = false, _ body: (Port) async throws -> Void) async throws {
        let runtime = RPCRuntime(threads: 2)
        var configuration = RPCServer.Configuration()
        configuration.connectionsMax = connectionsMax
        // No test waits so long: what is closed is closed for another reason.
        configuration.limits.helloSeconds = 60
        configuration.httpFallback = { try OperatorSurface(routes: [:]).configure($0) }
        if tls { configuration.tls = try TLSSystem.serverTLS() }
        let server = RPCServer(
            runtime: runtime, router: TestSystem.router(TestSystem.Observed()), configuration: configuration)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(Port(runtime: runtime, server: server, port: port)))
        } catch { result = .failure(error) }
        await server.shutdown(grace: .zero)
        await runtime.shutdown()
        try result.get()
    }

    @Test(.timeLimit(.minutes(1))) func aFloodOfSilentSocketsIsBoundedAndOthersAreServed() async throws {
        // Nothing; half a preface; a preface without HELLO; the beginning of a TLS handshake.
        for first in [[], [0xAC, 0x41], RawPeer.preface, [0x16, 3, 1]] as [[UInt8]] {
            try await with(connectionsMax: 8, tls: TestCertificates.isAvailable) { port in
                let client = port.client()
                let _: RawMessage = try await client.unary(TestSystem.echo, bytes(1))
                var flood: [any Channel] = []
                for _ in 0..<150 {
                    // Some are closed before they have said even that.
                    if let channel = try? await port.connect(first) { flood.append(channel) }
                    #expect(port.places.taken <= 8 + ConnectionPlaces.extraMax)
                }
                for count in [1, 100_000] {
                    let reply: RawMessage = try await client.unary(TestSystem.echo, bytes(count))
                    #expect(reply.bytes.readableBytes == count, "who was here is served")
                }
                // The flood goes on; who speaks finds a place in the middle of it.
                let late = port.client()
                let reply: RawMessage = try await late.unary(TestSystem.echo, bytes(5))
                #expect(reply.bytes.readableBytes == 5)
                for _ in 0..<20 { if let channel = try? await port.connect(first) { flood.append(channel) } }
                let again: RawMessage = try await late.unary(TestSystem.echo, bytes(6))
                #expect(again.bytes.readableBytes == 6, "and keeps it")
                for channel in flood { channel.close(promise: nil) }
                await port.until { port.places.taken == 2 }
                await late.shutdown()
                await client.shutdown()
            }
        }
    }

    @Test(.timeLimit(.minutes(1))) func theLimitIsMetToTheSocketWhateverIsSpoken() async throws {
        try await with(connectionsMax: 4, tls: TestCertificates.isAvailable) { port in
            // Two of ACP/1, one of HTTP and a silent one.
            let clients = [port.client(), port.client()]
            for client in clients { let _: RawMessage = try await client.unary(TestSystem.echo, bytes(1)) }
            let web = try await port.connect(Array("GET / HTTP/1.1\r\nHost: h\r\n".utf8))
            await port.until { port.places.taken == 3 && port.places.silentCount == 0 }
            let silent = try await port.connect()
            await port.until { port.places.taken == 4 }
            // The silent one makes room for one who speaks, whoever that is.
            let third = port.client()
            let _: RawMessage = try await third.unary(TestSystem.echo, bytes(1))
            await port.until { !silent.isActive && port.places.taken == 4 }
            // Now nobody does.
            for (bytes, answer) in [
                (RawPeer.preface + RawPeer.emptyHello, "all the 4 connections"),
                (Array("GET / HTTP/1.1\r\n\r\n".utf8), "503 Service Unavailable"),
                ([0], "Refused: this server has all the 4 connections"),
                ([0x16, 3, 1], ""),
            ] {
                // A machine that is busy for a second has closed the connection before its first byte came: asked again.
                var said = ""
                repeat { said = try await port.exchange(bytes) } while said.isEmpty && !answer.isEmpty
                #expect(answer.isEmpty ? said.isEmpty : said.contains(answer), "\(said)")
            }
            let client = port.client()
            let refused = await failure { () -> RawMessage in
                var options = CallOptions(timeout: .seconds(20))
                options.retry = RetryPolicy.none
                return try await client.unary(TestSystem.echo, bytes(1), options: options)
            }
            #expect(refused?.code == .unavailable)
            #expect(refused?.message.contains("all the 4 connections") == true, "\(String(describing: refused))")
            try await web.close()
            await port.until { port.places.taken == 3 }
            let reply: RawMessage = try await client.unary(TestSystem.echo, bytes(2))
            #expect(reply.bytes.readableBytes == 2)
            for client in clients + [third, client] { await client.shutdown() }
        }
    }

    @Test(.timeLimit(.minutes(1))) func connectionsInsideTheProcessTakeNoPlace() async throws {
        try await with(connectionsMax: 1) { port in
            let silent = try await port.connect()
            await port.until { port.places.taken == 1 }
            let client = RPCClient(runtime: port.runtime, endpoint: .inProcess(port.server))
            let reply: RawMessage = try await client.unary(TestSystem.echo, bytes(3))
            #expect(reply.bytes.readableBytes == 3)
            await client.shutdown()
            try await silent.close()
        }
    }
}
