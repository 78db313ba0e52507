import Core
import NIOCore
import RPC
import Synchronization
import Testing

/// Concurrency limits of methods, over a real server.
@Suite struct AdmissionTests {
    /// Counts handlers that run at once and holds them until it is opened.
    private final class Held: Sendable {
        let gate = Gate()
        private let state = Mutex((running: 0, most: 0, started: 0))

        var most: Int { state.withLock { $0.most } }
        var started: Int { state.withLock { $0.started } }

        func run() async {
            state.withLock {
                $0.running += 1
                $0.started += 1
                $0.most = max($0.most, $0.running)
            }
            await gate.wait()
            state.withLock { $0.running -= 1 }
        }
    }

    private static let held = TestSystem.method("Held")

    private func with<T>(
        _ limit: ConcurrencyLimit, _ held: Held, _ body: (RPCClient) async throws -> T
    ) async throws -> T {
        let runtime = RPCRuntime(threads: 2)
        var router = ServiceRouter()
        router.unary(Self.held) { (request: RawMessage, _) -> RawMessage in
            await held.run()
            return request
        }
        router.unary(TestSystem.echo) { (request: RawMessage, _) in request }
        var configuration = RPCServer.Configuration()
        configuration.concurrency = [Self.held.path: limit]
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let result: Result<T, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        held.gate.open()
        await client.shutdown()
        await server.shutdown(grace: .seconds(5))
        await runtime.shutdown()
        return try result.get()
    }

    private func call(_ client: RPCClient, timeout: Duration? = .seconds(20)) -> Task<RawMessage, any Error> {
        Task { try await client.unary(Self.held, RawMessage(), options: CallOptions(timeout: timeout)) }
    }

    /// Calls of another method go through while the limited one is full: used to wait until the server has seen everything before.
    private func settle(_ client: RPCClient) async throws {
        let _: RawMessage = try await client.unary(TestSystem.echo, bytes(1))
    }

    @Test func noMoreThanTheLimitRunAtOnceAndAllAreServed() async throws {
        let held = Held()
        try await with(ConcurrencyLimit(runningMax: 3, waitTargetMs: 60_000), held) { client in
            let calls = (0..<20).map { _ in call(client) }
            while held.started < 3 { try await settle(client) }
            try await settle(client)
            #expect(held.most == 3)
            held.gate.open()
            for call in calls { _ = try await call.value }
            #expect(held.most <= 3)
            #expect(held.started == 20)
        }
    }

    @Test func callsBeyondTheQueueAreRefusedWithAWait() async throws {
        let held = Held()
        try await with(ConcurrencyLimit(runningMax: 1, waitingMax: 2, waitTargetMs: 60_000), held) { client in
            let running = call(client)
            while held.started < 1 { try await settle(client) }
            // Of five the queue takes two, in whatever order they come; the others are refused while the first one runs.
            var once = CallOptions(timeout: .seconds(20))
            once.retry = RetryPolicy.none
            let options = once
            await withTaskGroup(of: Failure?.self) { group in
                for _ in 0..<5 {
                    group.addTask {
                        await failure { () -> RawMessage in
                            try await client.unary(Self.held, RawMessage(), options: options)
                        }
                    }
                }
                for _ in 0..<3 {
                    let refusal = await group.next().flatMap { $0 }
                    #expect(refusal?.code == .unavailable)
                    #expect(refusal?.reason == "OVERLOADED")
                    #expect((refusal?.retryAfterMs ?? 0) > 0)
                }
                held.gate.open()
                for await failed in group { #expect(failed == nil) }
            }
            _ = try await running.value
        }
    }

    @Test func aCallThatEndsWhileItWaitsGivesUpItsPlace() async throws {
        let held = Held()
        try await with(ConcurrencyLimit(runningMax: 1, waitingMax: 1, waitTargetMs: 60_000), held) { client in
            let running = call(client)
            while held.started < 1 { try await settle(client) }
            for _ in 0..<5 {
                let failure = await failure { try await call(client, timeout: .milliseconds(20)).value }
                #expect(failure?.code == .deadlineExceeded)
            }
            held.gate.open()
            _ = try await running.value
            _ = try await call(client).value
            #expect(held.started == 2)
        }
    }
}
