import Core
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
}
