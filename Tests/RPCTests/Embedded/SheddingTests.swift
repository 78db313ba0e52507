import Core
import NIOCore
import NIOEmbedded
import Testing

@testable import RPC

/// A method that gets several times the calls it can serve: those that are taken do not wait long, the others learn at once that they
/// should come back. The server is a real one; time is simulated, so that what a call costs is known.
@Suite struct SheddingTests {
    private static let work = EmbeddedService.hold
    private static let costMs = 5

    private static func router(on embedded: EmbeddedLoop) -> ServiceRouter {
        let loop = NIOLoopBound(embedded.loop, eventLoop: embedded.loop)
        var router = ServiceRouter()
        router.unary(work) { (request: RawMessage, _) -> RawMessage in
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                loop.value.scheduleTask(in: .milliseconds(Int64(costMs))) { continuation.resume() }
            }
            return request
        }
        return router
    }

    /// Statuses by the millisecond in which they came, of `perMs` calls in each of `totalMs` milliseconds.
    private func drive(
        _ limit: ConcurrencyLimit, perMs: Int, totalMs: Int
    ) throws -> [(ms: Int, status: StatusMeta)] {
        let embedded = EmbeddedLoop()
        var configuration = RPCServer.Configuration()
        configuration.concurrency = [Self.work.path: limit]
        configuration.limits.streamsMax = 100_000
        let end = try EmbeddedEnd.server(configuration, router: Self.router(on: embedded), on: embedded)
        var statuses: [(ms: Int, status: StatusMeta)] = []
        var stream: UInt32 = 1
        for ms in 0..<totalMs {
            for _ in 0..<perMs {
                end.receive(.request(stream, Self.work.path))
                stream += 2
            }
            embedded.pass(milliseconds: 1)
            statuses += try end.sent().compactMap { try $0.statusMeta.map { (ms, $0) } }
        }
        embedded.pass(milliseconds: 20_000)
        statuses += try end.sent().compactMap { try $0.statusMeta.map { (totalMs, $0) } }
        #expect(statuses.count == perMs * totalMs, "each call has its status")
        #expect(end.connection.openStreamCount == 0)
        return statuses
    }

    @Test(arguments: [(1, 1), (4, 4), (1, 4)]) func atManyTimesTheCapacityAcceptedCallsWaitLittle(
        _ runningMax: Int, _ perMs: Int
    ) throws {
        let limit = ConcurrencyLimit(runningMax: runningMax, waitTargetMs: 20, intervalMs: 200)
        // What is let in while the queue might still be a short one, and until that is served.
        let burst = min(limit.waitingMax, perMs * (limit.waitTargetMs + limit.intervalMs))
        let settlesMs = limit.waitTargetMs + limit.intervalMs + burst * Self.costMs / runningMax
        let totalMs = settlesMs + 2000
        let statuses = try drive(limit, perMs: perMs, totalMs: totalMs)
        let accepted = statuses.filter { $0.status.failure == nil }
        let refused = statuses.filter { $0.status.failure != nil }
        let capacity = totalMs * runningMax / Self.costMs
        #expect(accepted.count * 100 >= capacity * 95, "what it can do it does: \(accepted.count) of \(capacity)")
        for (_, status) in refused {
            #expect(status.failure?.code == .unavailable && status.failure?.reason == "OVERLOADED")
            #expect(status.failure?.retryAfterMs == 220 && status.isRefused)
        }
        let overload = perMs * Self.costMs / runningMax
        let settled = accepted.filter { $0.ms >= settlesMs }
        let longest = settled.map { Int($0.status.queueMicroseconds) / 1000 }.max() ?? .max
        #expect(!settled.isEmpty)
        // Calls come in until the first has waited the target; as many times the capacity wait for the last of them.
        #expect(longest <= limit.waitTargetMs * (overload + 1), "\(longest) ms")
    }

    @Test func aBurstThatTheQueueHoldsIsServedWhole() throws {
        let statuses = try drive(ConcurrencyLimit(runningMax: 4), perMs: 30, totalMs: 1)
        #expect(statuses.allSatisfy { $0.status.failure == nil })
    }

    @Test func atItsCapacityNothingIsRefused() throws {
        // One call each millisecond, of which five can run for five milliseconds.
        let statuses = try drive(ConcurrencyLimit(runningMax: 6), perMs: 1, totalMs: 3000)
        #expect(statuses.allSatisfy { $0.status.failure == nil && $0.status.queueMicroseconds == 0 })
    }

    /// Over sockets and with real handlers: the queue is never longer than it may be, and nobody is left without an answer.
    @Test(.timeLimit(.minutes(1))) func callersThatNeverPauseAreServedOrToldOverRealConnections() async throws {
        let method = TestSystem.method("Work")
        let limit = ConcurrencyLimit(runningMax: 2, waitingMax: 16, waitTargetMs: 10, intervalMs: 50)
        let runtime = RPCRuntime(threads: 2)
        var router = ServiceRouter()
        router.unary(method) { (request: RawMessage, _) -> RawMessage in
            try await Task.sleep(for: .milliseconds(Self.costMs))
            return request
        }
        var configuration = RPCServer.Configuration()
        configuration.concurrency = [method.path: limit]
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let entry = try #require(method.pathBytes.withUnsafeBytes { server.shared.router.entry(path: $0) })
        let gate = try #require(server.shared.gate(of: entry))
        var options = CallOptions(timeout: .seconds(50))
        options.retry = RetryPolicy.none
        let once = options
        var outcomes: [Failure?] = []
        await withTaskGroup(of: [Failure?].self) { group in
            for _ in 0..<64 {
                group.addTask {
                    var own: [Failure?] = []
                    for _ in 0..<40 {
                        own.append(
                            await failure { () -> RawMessage in
                                try await client.unary(method, RawMessage(), options: once)
                            })
                        let load = gate.load
                        #expect(load.waiting <= limit.waitingMax && load.running <= limit.runningMax)
                    }
                    return own
                }
            }
            for await own in group { outcomes += own }
        }
        let refused = outcomes.compactMap { $0 }
        #expect(outcomes.count == 64 * 40)
        #expect(!refused.isEmpty && refused.count < outcomes.count)
        #expect(refused.allSatisfy { $0.code == .unavailable && $0.reason == "OVERLOADED" && $0.retryAfterMs == 60 })
        #expect(gate.load == (0, 0))
        await client.shutdown()
        await server.shutdown(grace: .seconds(5))
        await runtime.shutdown()
    }
}
