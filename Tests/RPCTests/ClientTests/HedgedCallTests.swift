import Core
import NIOCore
import Synchronization
import Testing

@testable import RPC

@Suite struct HedgedCallTests {
    private static func hedged(_ delayMs: Int64) -> CallOptions {
        var options = CallOptions(timeout: .seconds(20))
        options.hedging = HedgingPolicy(delayMs: delayMs)
        return options
    }

    /// The first call hangs, wherever it goes, until it is cancelled.
    private static func nodes(_ runtime: RPCRuntime, _ cancelled: Gate) -> [Node] {
        let calls = Counter()
        return ["a", "b"].map { name in
            Node(name, runtime: runtime) { _, context in
                guard context.method == Node.safe || context.method == Node.early, context.metadata["hang"] != nil
                else { return }
                calls.add()
                if calls.value == 1 { try await context.hang { cancelled.open() } }
            }
        }
    }

    @Test func aSlowServerIsOvertakenAndTold() async throws {
        try await Cluster.withRuntime { runtime in
            let cancelled = Gate()
            let nodes = Self.nodes(runtime, cancelled)
            try await Cluster.with(nodes, on: runtime) { cluster in
                try await cluster.warmUp()
                let before = nodes.map(\.calls.value)
                var options = Self.hedged(5)
                try options.metadata.add("hang", "first")
                _ = try await cluster.call(Node.safe, options)
                // The loser's handler has been cancelled; each node got one copy, and the second is numbered.
                await cancelled.wait()
                #expect(zip(nodes, before).allSatisfy { $0.calls.value == $1 + 1 })
                let attempts = nodes.map { node in node.attempts.withLock { $0.last ?? 99 } }
                #expect(attempts.sorted() == [0, 1])
            }
        }
    }

    @Test func aStreamIsHedgedUntilItsFirstMessage() async throws {
        try await Cluster.withRuntime { runtime in
            let cancelled = Gate()
            try await Cluster.with(Self.nodes(runtime, cancelled), on: runtime) { cluster in
                try await cluster.warmUp()
                var options = Self.hedged(5)
                try options.metadata.add("hang", "first")
                let replies: ResponseReader<RawMessage> = try await cluster.client.serverStreaming(
                    Node.early, RawMessage(), options: options)
                var count = 0
                for try await _ in replies { count += 1 }
                #expect(count == 3)
                await cancelled.wait()
            }
        }
    }

    @Test func aQuickAnswerNeedsNoCopy() async throws {
        try await Cluster.single { cluster in
            check(try await cluster.call(Node.safe, Self.hedged(10_000)), "a")
            #expect(cluster.nodes[0].calls.value == 1)
        }
    }

    @Test func aMethodThatIsNotIdempotentIsNotHedged() async throws {
        try await Cluster.single(
            .init(handler: { number, _ in
                #expect(number == 1)
            })
        ) { cluster in
            let options = Self.hedged(0)
            check(try await cluster.call(Node.plain, options), "a")
        }
    }

    @Test func aFailedCopyIsReplacedAtOnce() async throws {
        try await Cluster.single(
            .init(handler: { number, _ in
                if number == 1 { throw Failure(.unavailable, "Broken.") }
            })
        ) { cluster in
            check(try await cluster.call(Node.safe, Self.hedged(10_000)), "a")
            #expect(cluster.nodes[0].calls.value == 2)
        }
    }

    @Test func cancellingCancelsEveryCopy() async throws {
        let hanging = Counter()
        let cancelled = Counter()
        try await Cluster.single(
            .init(handler: { _, context in
                hanging.add()
                try await context.hang { cancelled.add() }
            })
        ) { cluster in
            let task = Task { try await cluster.call(Node.safe, Self.hedged(1)) }
            while hanging.value < 2 { await Task.yield() }
            task.cancel()
            #expect(await failure { try await task.value }?.code == .cancelled)
            while cancelled.value < 2 { await Task.yield() }
        }
    }

    @Test func theDeadlineEndsAHedgedCall() async throws {
        try await Cluster.single(.init(handler: { _, context in try await context.hang {} })) { cluster in
            var options = Self.hedged(5)
            options.timeout = .milliseconds(50)
            let failure = await failure { try await cluster.call(Node.safe, options) }
            #expect(failure?.code == .deadlineExceeded)
        }
    }
}
