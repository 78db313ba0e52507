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
