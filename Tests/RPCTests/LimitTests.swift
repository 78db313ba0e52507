import Core
import NIOCore
import RPC
import Synchronization
import Testing

@Suite struct LimitTests {
    @Test(arguments: TestSystem.Transport.allCases)
    func theDeadlineEndsTheCallOnBothSides(_ transport: TestSystem.Transport) async throws {
        let observed = TestSystem.Observed()
        try await TestSystem.with(transport, observed: observed) { system in
            // The deadline must not pass while connecting.
            let _: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1))
            let failure = await failure { () -> RawMessage in
                try await system.client.unary(
                    TestSystem.hang, RawMessage(), options: CallOptions(timeout: .milliseconds(50)))
            }
            #expect(failure?.code == .deadlineExceeded)
            // The connection goes on, and the server has cancelled the handler by the time it has answered something later.
            while observed.cancelled.withLock({ $0 }) == 0 {
                let _: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1))
            }
        }
    }

    @Test func cancellingTheCallerCancelsTheHandler() async throws {
        let observed = TestSystem.Observed()
        try await TestSystem.with(observed: observed) { system in
            let call = Task { () -> RawMessage in try await system.client.unary(TestSystem.hang, RawMessage()) }
            await observed.gate.wait()
            call.cancel()
            let failure = await failure { try await call.value }
            #expect(failure?.code == .cancelled)
            while observed.cancelled.withLock({ $0 }) == 0 {
                let _: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1))
            }
        }
    }

    @Test func callsWithoutTimeLeftAreNotMade() async throws {
        try await TestSystem.with { system in
            let failure = await failure { () -> RawMessage in
                try await system.client.unary(TestSystem.echo, bytes(1), options: CallOptions(timeout: .zero))
            }
            #expect(failure?.code == .deadlineExceeded)
        }
    }

    @Test func messagesAreLimitedToTheByte() async throws {
        var limits = RPCLimits()
        limits.messageBytesMax = 100_000
        try await TestSystem.with(limits: limits) { system in
            // The first exchange brings the server's limits.
            let _: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1))
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(100_000))
            #expect(reply.bytes.readableBytes == 100_000)
            let failure = await failure { () -> RawMessage in
                try await system.client.unary(
                    TestSystem.echo, bytes(100_001), options: CallOptions(timeout: .seconds(5)))
            }
            #expect(failure?.reason == Failure.tooLarge)
        }
    }

    @Test func aReaderThatStopsHoldsTheWriterAtTheWindow() async throws {
        var limits = RPCLimits()
        limits.streamWindowBytes = 100_000
        try await TestSystem.with(limits: limits) { system in
            // Before the server's HELLO the larger default window holds: one call on the bulk connection first.
            let _: SearchResponse = try await system.client.clientStreaming(TestSystem.sum) { writer in
                try await writer.write(SearchRequest(query: "warm"))
            }
            let written = Counter()
            let writer = Task {
                let _: RawMessage = try await system.client.clientStreaming(
                    TestSystem.slowReader, options: CallOptions(timeout: .seconds(60))
                ) { writer in
                    while true {
                        try await writer.write(bytes(10_000))
                        written.add()
                    }
                }
            }
            // Ten fill the window.
            while written.value < 10 { await Task.yield() }
            // Another stream was not held up, and the connection's window is whole again.
            for _ in 0..<10 {
                let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1 << 20))
                #expect(reply.bytes.readableBytes == 1 << 20)
            }
            // One was read; credit for it comes with the next ones.
            #expect((10...12).contains(written.value))
            writer.cancel()
            #expect(await failure { try await writer.value }?.code == .cancelled)
        }
    }

    @Test func rolesAreCheckedAndDeniedByDefault() async throws {
        func code(_ method: MethodDescriptor, _ credential: String) async throws -> StatusCode? {
            try await TestSystem.with(credential: credential) { system in
                await failure { () -> RawMessage in try await system.client.unary(method, bytes(1)) }?.code
            }
        }
        #expect(try await code(TestSystem.viewerOnly, "viewer") == nil)
        #expect(try await code(TestSystem.viewerOnly, "admin") == nil)
        #expect(try await code(TestSystem.adminOnly, "analyst") == .permissionDenied)
        #expect(try await code(TestSystem.adminOnly, "") == .unauthenticated)
        #expect(try await code(TestSystem.adminOnly, "stranger") == .unauthenticated)
        #expect(try await code(TestSystem.noPolicy, "admin") == .permissionDenied)
    }

    @Test func droppingAResponseStreamCancelsItAndFreesItsWindow() async throws {
        try await TestSystem.with { system in
            for _ in 0..<40 {
                let replies: ResponseReader<SearchResponse> = try await system.client.serverStreaming(
                    TestSystem.count, SearchRequest(query: String(repeating: "x", count: 4000), limit: 100_000))
                _ = try await replies.next()
            }
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(2 << 20))
            #expect(reply.bytes.readableBytes == 2 << 20)
        }
    }

    @Test func shutdownLetsCallsFinishAndRefusesNewOnes() async throws {
        try await TestSystem.with(.tcp) { system in
            let _: RawMessage = try await system.client.unary(TestSystem.echo, bytes(1))
            await system.server.shutdown(grace: .seconds(2))
            let failure = await failure { () -> RawMessage in
                try await system.client.unary(TestSystem.echo, bytes(1), options: CallOptions(timeout: .seconds(20)))
            }
            #expect(failure?.code == .unavailable)
        }
    }

    @Test func afterItsGraceAStopEndsWhatStillRuns() async throws {
        let observed = TestSystem.Observed()
        try await TestSystem.with(.tcp, observed: observed) { system in
            let hanging = Task { () -> RawMessage in
                try await system.client.unary(TestSystem.hang, bytes(1), options: CallOptions(timeout: .seconds(60)))
            }
            await observed.gate.wait()
            await system.server.shutdown(grace: .milliseconds(20))
            let failure = await failure { try await hanging.value }
            #expect(failure?.code == .unavailable)
            #expect(failure?.reason == "SHUTDOWN")
            while observed.cancelled.withLock({ $0 }) == 0 { await Task.yield() }
        }
    }

    @Test func anUnencryptedPublicAddressIsRefused() async throws {
        let runtime = RPCRuntime()
        let server = RPCServer(runtime: runtime, router: ServiceRouter())
        let failure = await failure { try await server.start(host: "0.0.0.0", port: 0) }
        #expect(failure?.reason == "INSECURE_ADDRESS")
        await runtime.shutdown()
    }

    @Test func anUnreachableServiceSaysWhereAndWhatToDo() async throws {
        let runtime = RPCRuntime()
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: 1))
        let failure = await failure { () -> RawMessage in try await client.unary(TestSystem.echo, bytes(1)) }
        #expect(failure?.code == .unavailable)
        #expect(failure?.message.contains("127.0.0.1:1") == true)
        await client.shutdown()
        await runtime.shutdown()
    }
}
