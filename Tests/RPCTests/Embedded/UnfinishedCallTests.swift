import Core
import NIOCore
import Testing

@testable import RPC

/// Peers that begin what they do not finish, and those that give up what they began: each costs only itself.
@Suite struct UnfinishedCallTests {
    @Test func incompleteMessagesOfAllCallsTogetherAreLimitedToTheByte() throws {
        let end = try EmbeddedEnd.server()
        let (part, most) = (65_536, RPCLimits.partialBytesMax(messageBytesMax: RPCLimits().messageBytesMax))
        #expect(most == 32 << 20)
        // Messages of the largest size, all but their ends.
        let calls = (0..<UInt32(most / RPCLimits().messageBytesMax)).map { 2 * $0 + 1 }
        for call in calls {
            end.receive(.request(call, EmbeddedService.echo.path, flags: .noMessage))
            for _ in 0..<RPCLimits().messageBytesMax / part { end.receive(.data(call, part, [])) }
        }
        #expect(try end.sent().allSatisfy { $0.type == .window })
        #expect(end.connection.partialBytes == most)
        // One byte more, of another call: it fails, and alone.
        end.receive(.request(1001, EmbeddedService.echo.path, flags: .noMessage), .data(1001, 1, []))
        let failed = try end.sent().filter { $0.type == .status }
        #expect(failed.map(\.stream) == [1001])
        #expect(try failed.first?.statusMeta?.failure?.reason == "TOO_MUCH_UNFINISHED")
        #expect(end.connection.partialBytes == most)
        end.receive(.cancel(calls[0]))
        #expect(end.connection.partialBytes == most - RPCLimits().messageBytesMax)
        end.receive(.request(1003, EmbeddedService.echo.path, flags: .noMessage), .data(1003, 1, []))
        end.receive(.data(1003, 1, [.endMessage, .endStream]))
        #expect(
            try end.sent().contains { try $0.stream == 1003 && $0.statusMeta?.failure == nil && $0.type == .status })
        end.lose()
        #expect(end.connection.partialBytes == 0)
    }

    @Test func aCallWhoseMessageHasNotComeHoldsNoPlaceOfItsMethod() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service) {
            $0.concurrency = [EmbeddedService.hold.path: ConcurrencyLimit(runningMax: 1, waitingMax: 0)]
        }
        end.receive(.request(1, EmbeddedService.hold.path, flags: .noMessage))
        end.receive(.request(3, EmbeddedService.hold.path))
        #expect(service.running == 1)
        // The place is taken now; the late message comes too late for it.
        end.receive(.data(1, 1, [.endMessage, .endStream]))
        #expect(try end.sent().compactMap { try $0.statusMeta?.failure?.reason } == ["OVERLOADED"])
        service.letGo()
        end.embedded.run()
        // A message in two parts, and an end without a message, are admitted when they are there.
        end.receive(.request(5, EmbeddedService.hold.path, flags: .noMessage), .data(5, 1, []))
        #expect(service.running == 0)
        end.receive(.data(5, 1, [.endMessage, .endStream]))
        #expect(service.running == 1)
        service.letGo()
        end.embedded.run()
        _ = try end.sent()
        end.receive(.request(7, EmbeddedService.hold.path, flags: [.noMessage, .endStream]))
        #expect(try end.sent().compactMap { try $0.statusMeta?.failure?.reason } == ["NO_MESSAGE"])
        #expect(end.connection.openStreamCount == 0)
    }

    /// Opens `count` calls that hang.
    private func open(_ count: Int, _ end: EmbeddedEnd<ServerConnection>) -> [UInt32] {
        let calls = (0..<UInt32(count)).map { 2 * $0 + 1 }
        for call in calls { end.receive(.request(call, EmbeddedService.hold.path)) }
        return calls
    }

    @Test func callsThatHaveRunForLongMayAllBeCancelledAtOnce() throws {
        for (milliseconds, survives) in [(Int64(10_000), true), (1, false)] {
            let service = EmbeddedService()
            let end = try EmbeddedEnd.server(service)
            let calls = open(300, end)
            end.embedded.pass(milliseconds: milliseconds)
            // What begins the next window of ten seconds.
            end.receive(.ping())
            for call in calls { end.receive(.cancel(call)) }
            #expect(try end.sent().contains { $0.type == .goAway } != survives, "after \(milliseconds) ms")
            service.letGo()
            end.embedded.run()
        }
    }

    @Test func cancellationsThatComeAfterTheEndHaveABudgetToTheFrame() throws {
        let end = try EmbeddedEnd.server()
        end.receive(.request(1, "/no/Method"))
        for _ in 0..<1001 { end.receive(.cancel(1)) }
        #expect(try !end.sent().contains { $0.type == .goAway }, "1,000 and one for the call that was opened")
        end.receive(.cancel(1))
        let goAway = try #require(try end.sent().compactMap { try $0.goAway }.first)
        #expect(goAway.message.contains("late CANCEL"))
        #expect(goAway.lastStream == 1, "it names the last stream that was looked at")
    }

    @Test func aPeerMayAskToBeAskedLessOften() throws {
        let end = try EmbeddedEnd.server(hello: .hello { $0.pingIntervalMinMs = 60_000 })
        end.embedded.pass(milliseconds: 59_999)
        #expect(try end.sent().isEmpty)
        end.embedded.pass(milliseconds: 1)
        #expect(try end.sent().map(\.type) == [.ping])
        // Not for ever: one that is gone must be noticed.
        let quiet = try EmbeddedEnd.server(hello: .hello { $0.pingIntervalMinMs = .max })
        quiet.embedded.pass(milliseconds: Int64(RPCLimits.pingIntervalMsMax))
        #expect(try quiet.sent().map(\.type) == [.ping])
    }

    @Test func metadataAfterAMessageIsNotSent() async throws {
        var router = ServiceRouter()
        router.serverStreaming(TestSystem.count) {
            (_: SearchRequest, replies: ResponseWriter<SearchResponse>, context) in
            try await replies.write(SearchResponse(sequence: 1))
            var late = Metadata()
            try late.add("late", "x")
            context.sendInitialMetadata(late)
            try await replies.write(SearchResponse(sequence: 2))
        }
        let runtime = RPCRuntime(threads: 1)
        let server = RPCServer(runtime: runtime, router: router)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        let replies: ResponseReader<SearchResponse> = try await client.serverStreaming(
            TestSystem.count, SearchRequest())
        #expect(try await replies.next()?.sequence == 1)
        #expect(try await replies.next()?.sequence == 2)
        #expect(try await replies.next() == nil)
        await client.shutdown()
        await server.shutdown(grace: .zero)
        await runtime.shutdown()
    }
}
