import Core
import NIOCore
import Synchronization
import Testing

@testable import RPC

@Suite struct HealthTests {
    /// What the process under test says of itself, by service.
    private final class Known: Sendable {
        let states = Mutex<[String: HealthCheckResponse]>([:])

        func set(
            _ service: String, _ status: HealthCheckResponse.ServingStatus, _ dependencies: [DependencyHealth] = []
        ) {
            states.withLock { $0[service] = HealthCheckResponse(status: status, dependencies: dependencies) }
        }
    }

    private static func with(_ body: (Known, RPCServer, HealthClient) async throws -> Void) async throws {
        let runtime = RPCRuntime(threads: 1)
        let known = Known()
        known.set("", .serving)
        var router = ServiceRouter()
        HealthServer(pollInterval: .milliseconds(5)) { service in known.states.withLock { $0[service] } }
            .register(in: &router)
        let server = RPCServer(runtime: runtime, router: router)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        try await body(known, server, HealthClient(client))
        await client.shutdown()
        await server.shutdown(grace: .zero)
        await runtime.shutdown()
    }

    @Test func checkSaysWhatIsKnownAndNotFoundOtherwise() async throws {
        try await Self.with { known, _, client in
            known.set("acp.v1.Ingest", .notServing, [DependencyHealth(name: "postgresql", detail: "it is away")])
            #expect(try await client.check(HealthCheckRequest()).status == .serving)
            let ingest = try await client.check(HealthCheckRequest(service: "acp.v1.Ingest"))
            #expect(ingest.status == .notServing)
            #expect(ingest.dependencies.first?.name == "postgresql")
            let unknown = await failure { try await client.check(HealthCheckRequest(service: "acp.v1.Nothing")) }
            #expect(unknown?.code == .notFound)
            #expect(unknown?.reason == "UNKNOWN_SERVICE")
        }
    }

    @Test func watchTellsOfEveryChange() async throws {
        try await Self.with { known, _, client in
            let answers = try await client.watch(HealthCheckRequest(service: "later"))
            #expect(try await answers.next()?.status == .serviceUnknown)
            known.set("later", .serving)
            #expect(try await answers.next()?.status == .serving)
            known.set("later", .notServing, [DependencyHealth(name: "redis")])
            let last = try await answers.next()
            #expect(last?.status == .notServing)
            #expect(last?.dependencies.map(\.name) == ["redis"])
        }
    }

    @Test func watchDoesNotHoldUpTheEndOfItsServer() async throws {
        try await Self.with { _, server, client in
            let answers = try await client.watch(HealthCheckRequest())
            #expect(try await answers.next()?.status == .serving)
            // Far longer than the test may take: the watch must end by itself.
            await server.shutdown(grace: .seconds(600))
            #expect(try await answers.next() == nil)
        }
    }

    /// NOT_SERVING is on the wire before GOAWAY, long before the next look.
    @Test(.timeLimit(.minutes(1))) func whoWatchesADrainingPortHearsOfItBeforeGoAway() async throws {
        let runtime = RPCRuntime(threads: 2)
        let known = Known()
        known.set("", .serving)
        var router = ServiceRouter()
        let health = HealthServer(pollInterval: .seconds(600)) { service in known.states.withLock { $0[service] } }
        health.register(in: &router)
        router.unary(TestSystem.echo) { (request: RawMessage, _) in request }
        let server = RPCServer(runtime: runtime, router: router)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let watch = try await HealthClient(client).watch(HealthCheckRequest())
        #expect(try await watch.next()?.status == .serving)
        // Beside it a peer whose frames can be seen.
        let system = TestSystem(runtime: runtime, server: server, client: client, port: port)
        let path = Array("/acp.v1.Health/Watch".utf8)
        let call = RawPeer.frame(1, flags: 3, stream: 1, meta: [0x0A, UInt8(path.count)] + path)
        async let frames = RawPeer.exchange(system, [RawPeer.preface + RawPeer.emptyHello + call])
        while server.shared.connections.all().count < 2 { await Task.yield() }
        let raw = try #require(server.shared.connections.all().first { $0.peer.role != "client" })
        while try await raw.onLoop({ $0.resume(returning: raw.openStreams.first?.hasSentData ?? false) }) == false {
            await Task.yield()
        }
        known.set("", .notServing)
        await health.announceDraining(limit: .seconds(50))
        async let stopped: Void = server.shutdown(grace: .milliseconds(300))
        #expect(try await watch.next()?.status == .notServing)
        let types = RawPeer.types(try await frames)
        let answers = types.indices.filter { types[$0] == 3 }
        #expect(answers.count == 2, "SERVING and NOT_SERVING: \(types)")
        let goAway = try #require(types.firstIndex(of: 9))
        #expect(answers.allSatisfy { $0 < goAway })
        await stopped
        await client.shutdown()
        await runtime.shutdown()
    }

    @Test(.timeLimit(.minutes(1))) func oneThatDoesNotReadHoldsUpNoDrain() async throws {
        let runtime = RPCRuntime(threads: 1)
        let known = Known()
        let (began, blocked) = (Gate(), Gate())
        let health = HealthServer(pollInterval: .seconds(600)) { _ in
            // A probe that takes for ever is no better than a reader that does.
            began.open()
            await blocked.wait()
            return known.states.withLock { $0[""] }
        }
        var router = ServiceRouter()
        health.register(in: &router)
        let server = RPCServer(runtime: runtime, router: router)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        let watch = try await HealthClient(client).watch(HealthCheckRequest())
        await began.wait()
        await health.announceDraining(limit: .milliseconds(10))
        blocked.open()
        #expect(try await watch.next()?.status == .serviceUnknown)
        await client.shutdown()
        await server.shutdown(grace: .zero)
        await runtime.shutdown()
    }
}
