import Core
import NIOCore
import RPC
import Testing

@Suite struct DebugTests {
    @Test func aStuckCallIsVisibleWithItsWindows() async throws {
        let observed = TestSystem.Observed()
        let debug = DebugServer()
        try await TestSystem.with(observed: observed, credential: "admin", debug: debug) { system in
            let hanging = Task { () -> RawMessage in
                try await system.client.unary(
                    TestSystem.hang, RawMessage(), options: CallOptions(timeout: .seconds(30)))
            }
            await observed.gate.wait()
            let answer = try await DebugClient(system.client).listConnections(ListConnectionsRequest())
            let connection = try #require(answer.connections.first)
            #expect(connection.role == "client")
            #expect(connection.streamsOpened >= 2)
            #expect(connection.receiveWindowBytes == Int64(RPCLimits().connectionWindowBytes))
            let stuck = try #require(connection.streams.first { $0.method == TestSystem.hang.path })
            #expect(stuck.state == .running)
            #expect((1...30_000).contains(stuck.leftMs))
            #expect(!stuck.requestID.isEmpty)
            #expect(connection.streams.contains { $0.method == DebugMethods.listConnections.path })
            hanging.cancel()
            _ = await hanging.result
        }
    }

    /// What a call that is not read and one that cannot be written hold is told to the byte.
    @Test(.timeLimit(.minutes(1))) func bytesThatWaitInEachDirectionAreVisible() async throws {
        let debug = DebugServer()
        let gate = Gate()
        let unread = TestSystem.method("Unread", client: true)
        let unwritten = TestSystem.method("Unwritten", server: true)
        let runtime = RPCRuntime(threads: 1)
        var router = ServiceRouter()
        router.clientStreaming(unread) { (requests: RequestReader<RawMessage>, _) -> RawMessage in
            await gate.wait()
            while try await requests.next() != nil {}
            return RawMessage()
        }
        router.serverStreaming(unwritten) { (_: RawMessage, replies: ResponseWriter<RawMessage>, _) in
            for _ in 0..<10 { try await replies.write(bytes(32_768)) }
        }
        debug.register(in: &router)
        var configuration = RPCServer.Configuration()
        configuration.authenticator = TestSystem.KeyTable()
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        debug.add(server)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        let asking = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        func reports() async throws -> [String: StreamReport] {
            let answer = try await DebugClient(asking).listConnections(
                ListConnectionsRequest(), options: CallOptions(credential: "admin"))
            return Dictionary(answer.connections.flatMap(\.streams).map { ($0.method, $0) }) { first, _ in first }
        }
        let sending = Task { () -> RawMessage in
            try await client.clientStreaming(unread) { (writer: RequestWriter<RawMessage>) in
                try await writer.write(bytes(30_000))
                try await writer.write(bytes(5))
                await gate.wait()
            }
        }
        let replies: ResponseReader<RawMessage> = try await client.serverStreaming(unwritten, RawMessage())
        var seen = try await reports()
        while seen[unread.path]?.inboundBytes != 30_005 || seen[unwritten.path]?.outboundBytes != 32_768 {
            seen = try await reports()
        }
        // The window of 262,144 has let out eight replies; the ninth waits and the tenth is not made.
        #expect(seen[unwritten.path]?.sendWindowBytes == 0)
        #expect(seen[unread.path]?.receiveWindowBytes == Int64(RPCLimits().streamWindowBytes - 30_005))
        gate.open()
        _ = try await sending.value
        var total = 0
        while let reply = try await replies.next() { total += reply.bytes.readableBytes }
        #expect(total == 327_680)
        await client.shutdown()
        await asking.shutdown()
        await server.shutdown(grace: .seconds(1))
        await runtime.shutdown()
    }

    @Test func onlyAdministratorsMayLook() async throws {
        try await TestSystem.with(credential: "analyst", debug: DebugServer()) { system in
            let failure = await failure {
                try await DebugClient(system.client).listConnections(ListConnectionsRequest())
            }
            #expect(failure?.code == .permissionDenied)
        }
    }

    @Test func connectionsComeInPages() async throws {
        let debug = DebugServer()
        try await TestSystem.with(.tcp, credential: "admin", debug: debug) { system in
            var others: [RPCClient] = []
            for _ in 0..<4 {
                let client = RPCClient(
                    runtime: system.runtime, endpoint: .tcp(host: "127.0.0.1", port: system.port))
                let _: RawMessage = try await client.unary(TestSystem.echo, bytes(1))
                others.append(client)
            }
            var seen: [UInt64] = []
            var token = ""
            repeat {
                let page = try await DebugClient(system.client).listConnections(
                    ListConnectionsRequest(pageSize: 2, pageToken: token))
                #expect(page.connections.count <= 2)
                seen += page.connections.map(\.id)
                token = page.nextPageToken
            } while !token.isEmpty
            #expect(seen.count == 5)
            #expect(seen == Set(seen).sorted())
            for client in others { await client.shutdown() }
        }
    }
}
