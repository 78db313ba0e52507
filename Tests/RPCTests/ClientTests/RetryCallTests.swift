import Core
import NIOCore
import Synchronization
import Testing

@testable import RPC

@Suite struct RetryCallTests {
    @Test(arguments: [false, true])
    func aCallWhoseConnectionIsLostIsRepeatedOnlyIfThatIsSafe(_ isIdempotent: Bool) async throws {
        try await Cluster.single(
            .init(handler: { number, context in
                if number == 1 { context.cutConnection() }
            })
        ) { cluster in
            let node = cluster.nodes[0]
            guard isIdempotent else {
                let failure = await failure { try await cluster.call(Node.plain) }
                #expect(failure?.reason == "CONNECTION_LOST")
                #expect(node.calls.value == 1)
                return
            }
            check(try await cluster.call(Node.safe), "a")
            let attempts = node.attempts.withLock { $0 }
            #expect(attempts.count == 2)
            #expect(attempts.first == 0)
            #expect((attempts.last ?? 0) >= 1)
        }
    }

    @Test func anIdempotencyKeyMakesAnyCallRepeatable() async throws {
        try await Cluster.single(
            .init(handler: { number, context in
                if number == 1 { context.cutConnection() }
            })
        ) { cluster in
            let options = CallOptions(timeout: .seconds(20), idempotencyKey: "key")
            check(try await cluster.call(Node.plain, options), "a")
            #expect(cluster.nodes[0].calls.value == 2)
        }
    }

    @Test func aCallThatWasRefusedIsRepeatedWhateverItsMethod() async throws {
        let gate = Gate()
        let limit = ConcurrencyLimit(runningMax: 1, waitingMax: 0, waitTargetMs: 10, intervalMs: 10)
        try await Cluster.single(
            .init(
                concurrency: limit,
                handler: { number, _ in
                    if number == 1 { await gate.wait() }
                })
        ) { cluster in
            let node = cluster.nodes[0]
            async let first = cluster.call(Node.plain)
            while node.calls.value == 0 { await Task.yield() }
            async let second = cluster.call(Node.plain)
            await node.refused.wait()
            gate.open()
            check(try await [first, second], ["a", "a"])
            #expect(node.calls.value == 2)
            #expect(node.attempts.withLock { $0.last } != 0)
        }
    }

    @Test func afterTheFirstMessageNothingIsRepeated() async throws {
        try await Cluster.single(.init(handler: { _, context in context.cutConnection() })) { cluster in
            let replies: ResponseReader<RawMessage> = try await cluster.client.serverStreaming(
                Node.late, RawMessage(), options: CallOptions(timeout: .seconds(20)))
            #expect(try await replies.next() != nil)
            let failure = await failure { try await replies.next() }
            #expect(failure?.reason == "CONNECTION_LOST")
            #expect(cluster.nodes[0].calls.value == 1)
        }
    }

    @Test func aStreamWithoutAMessageYetIsRepeatedBehindItsReader() async throws {
        try await Cluster.single(
            .init(handler: { number, context in
                if number == 1 { context.cutConnection() }
            })
        ) { cluster in
            let replies: ResponseReader<RawMessage> = try await cluster.client.serverStreaming(
                Node.early, RawMessage(), options: CallOptions(timeout: .seconds(20)))
            var count = 0
            for try await _ in replies { count += 1 }
            #expect(count == 3)
            #expect(cluster.nodes[0].calls.value == 2)
        }
    }

    @Test func aTwoWayCallIsRepeatedUntilItsCallerHasWritten() async throws {
        let limit = ConcurrencyLimit(runningMax: 1, waitingMax: 0, waitTargetMs: 10, intervalMs: 10)
        let gate = Gate()
        try await Cluster.single(
            .init(
                concurrency: limit,
                handler: { number, _ in
                    if number == 1 { await gate.wait() }
                })
        ) { cluster in
            let node = cluster.nodes[0]
            let options = CallOptions(timeout: .seconds(20))
            func chat(writesFirst: Bool) async throws -> String {
                try await cluster.client.bidirectional(Node.chat, options: options) {
                    (writer: RequestWriter<RawMessage>, reader: ResponseReader<RawMessage>) in
                    if writesFirst { try await writer.write(bytes(1)) }
                    let name = try await reader.next().map { String(buffer: $0.bytes) } ?? ""
                    try await writer.finish()
                    return name
                }
            }
            async let first = chat(writesFirst: false)
            while node.calls.value == 0 { await Task.yield() }
            // What was written is gone with the refused attempt.
            let refused = await failure { try await chat(writesFirst: true) }
            #expect(refused?.reason == "OVERLOADED")
            async let second = chat(writesFirst: false)
            gate.open()
            check(try await [first, second], ["a", "a"])
        }
    }

    @Test func theServersWaitIsHonoured() async throws {
        try await Cluster.single(
            .init(handler: { number, _ in
                if number == 1 { throw Failure(.unavailable, reason: "BUSY", "Not now.", retryAfterMs: 120) }
            })
        ) { cluster in
            check(try await cluster.call(Node.safe), "a")
            let times = cluster.nodes[0].times.withLock { $0 }
            #expect(times[0].duration(to: times[1]) >= .milliseconds(120))
        }
    }

    @Test func aWaitThatIsTooLongIsTheCallersToTake() async throws {
        try await Cluster.single(
            .init(handler: { _, _ in
                throw Failure(.unavailable, reason: "BUSY", "Not now.", retryAfterMs: 60_000)
            })
        ) { cluster in
            let failure = await failure { try await cluster.call(Node.safe) }
            #expect(failure?.reason == "BUSY")
            #expect(failure?.retryAfterMs == 60_000)
            #expect(cluster.nodes[0].calls.value == 1)
        }
    }

    @Test func attemptsAreBounded() async throws {
        try await Cluster.single(
            .init(
                configure: {
                    $0.retry = RetryPolicy(attemptsMax: 3, backoffFirstMs: 1, backoffMsMax: 1)
                }, handler: { _, _ in throw Failure(.unavailable, reason: "BROKEN", "No.") })
        ) { cluster in
            let failure = await failure { try await cluster.call(Node.safe) }
            #expect(failure?.reason == "BROKEN")
            #expect(cluster.nodes[0].attempts.withLock { $0 } == [0, 1, 2])
            // A call may have a policy of its own.
            var options = CallOptions(timeout: .seconds(20))
            options.retry = RetryPolicy.none
            _ = await RPCTests.failure { try await cluster.call(Node.safe, options) }
            #expect(cluster.nodes[0].calls.value == 4)
        }
    }

    @Test func withoutBudgetNothingIsRepeated() async throws {
        try await Cluster.single(
            .init(
                configure: {
                    $0.throttling = RetryThrottling(tokensMax: 4, ratio: 0.5)
                    $0.retry = RetryPolicy(backoffFirstMs: 1, backoffMsMax: 1)
                },
                handler: { number, _ in
                    if number % 2 == 1 { throw Failure(.unavailable, reason: "BROKEN", "No.") }
                })
        ) { cluster in
            // 4 tokens → 3, repeated; OK gives back a half; 3.5 → 2.5, repeated; 3 → 2: half is left.
            check(try await cluster.call(Node.safe), "a")
            check(try await cluster.call(Node.safe), "a")
            let failure = await failure { try await cluster.call(Node.safe) }
            #expect(failure?.reason == "BROKEN")
            #expect(cluster.nodes[0].calls.value == 5)
        }
    }

    @Test func aRepeatThatWouldBeTooLateIsNotMade() async throws {
        try await Cluster.single(
            .init(
                configure: {
                    $0.retry = RetryPolicy(backoffFirstMs: 60_000, backoffMsMax: 60_000)
                }, handler: { _, _ in throw Failure(.unavailable, reason: "BROKEN", "No.") })
        ) { cluster in
            let failure = await failure { try await cluster.call(Node.safe, CallOptions(timeout: .seconds(20))) }
            #expect(failure?.reason == "BROKEN")
            #expect(cluster.nodes[0].calls.value == 1)
        }
    }

    @Test func aRepeatTellsTheServerTheTimeThatIsLeft() async throws {
        let left = Mutex<[Duration]>([])
        try await Cluster.single(
            .init(handler: { number, context in
                left.withLock { $0.append(MonotonicTime.now().duration(to: context.call.deadline ?? .now())) }
                if number == 1 { throw Failure(.unavailable, "Not now.", retryAfterMs: 200) }
            })
        ) { cluster in
            check(try await cluster.call(Node.safe, CallOptions(timeout: .seconds(20))), "a")
            let left = left.withLock { $0 }
            #expect(left[0] - left[1] >= .milliseconds(200))
        }
    }

    @Test func cancellingEndsTheWaitForARepeat() async throws {
        try await Cluster.single(
            .init(
                configure: {
                    $0.retry = RetryPolicy(backoffFirstMs: 60_000, backoffMsMax: 60_000)
                }, handler: { _, _ in throw Failure(.unavailable, reason: "BROKEN", "No.") })
        ) { cluster in
            let task = Task { try await cluster.call(Node.safe, CallOptions()) }
            await cluster.nodes[0].failed.wait()
            task.cancel()
            let failure = await failure { try await task.value }
            #expect(failure?.code == .cancelled)
        }
    }
}
