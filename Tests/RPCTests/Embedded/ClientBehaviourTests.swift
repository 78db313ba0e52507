import Core
import NIOCore
import NIOEmbedded
import Testing

@testable import RPC

/// A real client's end against servers of all sorts. Each was wrong once.
@Suite struct ClientBehaviourTests {
    private func requests(_ end: EmbeddedEnd<ClientConnection>) throws -> [UInt32] {
        try end.sent().filter { $0.type == .request }.map(\.stream)
    }

    @Test func aWindowBelowZeroDoesNotStopWhatHasNoBytes() throws {
        let end = try EmbeddedEnd.client(greets: false)
        // Opened by the defaults, more than the server will turn out to allow.
        let large = EmbeddedCall(end, requests: [ByteBuffer(repeating: 1, count: 200_000)])
        end.receive(
            .hello {
                $0.streamWindowBytes = 100
                $0.connectionWindowBytes = 100
            })
        #expect(end.connection.connectionSendWindow.available < 0)
        let stream = ClientStream(connection: end.connection)
        end.connection.open(
            stream,
            ClientConnection.Opening(
                method: EmbeddedService.collect, meta: RequestMeta(), deadline: nil, endStream: false),
            first: nil as RawMessage?)
        _ = try end.sent()
        Task.immediate(executorPreference: end.embedded.context.executor) {
            try await stream.send(ByteBuffer(), endStream: true)
        }
        #expect(try end.sent().map(\.flags) == [[.endMessage, .endStream]])
        end.lose()
        #expect(large.failure?.code == .unavailable)
    }

    @Test func callsThatEndWhileTheyWaitHoldUpNobody() throws {
        let end = try EmbeddedEnd.client(hello: .hello { $0.streamsMax = 1 })
        let first = EmbeddedCall(end)
        let waiting = (0..<5).map { _ in EmbeddedCall(end) }
        let last = EmbeddedCall(end)
        #expect(try requests(end) == [1])
        for call in waiting { call.cancel() }
        #expect(waiting.allSatisfy { $0.failure?.code == .cancelled })
        end.receive(.status(1, flags: [.endMessage, .endStream]))
        #expect(first.failure == nil && first.result != nil)
        #expect(try requests(end) == [3])
        end.receive(.status(3, flags: [.endMessage, .endStream]))
        #expect(last.failure == nil && last.result != nil)
        end.lose()
    }

    @Test func callsThatWaitBeginWhenHelloAllowsMore() throws {
        let end = try EmbeddedEnd.client(greets: false)
        let calls = (0..<1030).map { _ in EmbeddedCall(end) }
        #expect(try requests(end).count == 1024, "the default")
        end.receive(.hello { $0.streamsMax = 2000 })
        #expect(try requests(end).count == 6)
        end.lose()
        #expect(calls.allSatisfy { $0.failure?.reason == "CONNECTION_LOST" })
    }

    @Test func callsThatWaitLearnThatTheServerDrains() throws {
        let end = try EmbeddedEnd.client(hello: .hello { $0.streamsMax = 1 })
        let first = EmbeddedCall(end)
        let waiting = EmbeddedCall(end)
        var goAway = WireGoAway()
        goAway.lastStream = 1
        end.receive(WireFrame(type: .goAway, meta: Array(goAway.encoded().readableBytesView)))
        #expect(waiting.failure?.code == .unavailable)
        #expect(first.result == nil, "it may finish")
        end.receive(.status(1, flags: [.endMessage, .endStream]))
        #expect(first.failure == nil && first.result != nil)
        end.embedded.pass(milliseconds: 1000)
        #expect(end.isClosed)
    }

    @Test func callsSeeWhatTheServerBroke() throws {
        for broken: WireFrame in [
            WireFrame(type: .ping, payload: [1]), .window(0, 0), .status(99), .data(0, 1),
            WireFrame(type: .data, flags: [.endMessage, .noMessage], stream: 1),
        ] {
            let end = try EmbeddedEnd.client()
            let call = EmbeddedCall(end)
            end.receive(broken)
            #expect(call.failure?.reason == "PROTOCOL_ERROR", "\(broken)")
            #expect(call.failure?.code == .internalError)
            end.embedded.pass(milliseconds: 31_000)
            #expect(end.isClosed)
        }
    }

    @Test func anAnswerInsideAMessageIsAViolation() throws {
        let end = try EmbeddedEnd.client()
        let call = EmbeddedCall(end)
        end.receive(.data(1, 5, []), .status(1, flags: [.endMessage, .endStream], payload: [1]))
        #expect(call.failure?.reason == "PROTOCOL_ERROR")
        end.embedded.pass(milliseconds: 31_000)
    }

    @Test func aServerThatDoesNotGreetIsUnavailable() throws {
        let end = try EmbeddedEnd.client(greets: false)
        let call = EmbeddedCall(end)
        end.embedded.pass(milliseconds: 4999)
        #expect(call.result == nil)
        end.embedded.pass(milliseconds: 1)
        #expect(call.failure?.code == .unavailable)
        end.embedded.pass(milliseconds: 31_000)
        #expect(end.isClosed)
    }

    @Test func aCallWithTooMuchMetaFailsAloneAndUsesNoStream() throws {
        let end = try EmbeddedEnd.client()
        let stream = ClientStream(connection: end.connection)
        var meta = RequestMeta()
        meta.credential = String(repeating: "c", count: RPCLimits.metaBytesMax)
        end.connection.open(
            stream,
            ClientConnection.Opening(method: EmbeddedService.echo, meta: meta, deadline: nil, endStream: true),
            first: RawMessage())
        #expect(stream.failure?.reason == Failure.tooLarge)
        let call = EmbeddedCall(end)
        #expect(try requests(end) == [1])
        end.receive(.status(1, flags: [.endMessage, .endStream]))
        #expect(call.failure == nil && call.result != nil)
        end.lose()
    }

    @Test func theServersFramesAreBoundByTheClientsLimits() throws {
        var limits = RPCLimits()
        limits.frameBytesMax = 1024
        for excess in [0, 1] {
            let end = try EmbeddedEnd.client(limits: limits)
            let call = EmbeddedCall(end)
            end.receive(
                .status(1, flags: [.endMessage, .endStream], payload: Array(repeating: 1, count: 1024 + excess)))
            #expect((call.failure == nil) == (excess == 0))
            end.lose()
            end.embedded.pass(milliseconds: 31_000)
        }
    }

    @Test func codesAbove32BitsAreCutLikeProtobufDoes() throws {
        // The field code as 2^32, which is 0 in 32 bits.
        let meta: [UInt8] = [0x08, 0x80, 0x80, 0x80, 0x80, 0x10]
        #expect(try meta.withUnsafeBytes { try StatusMeta.decode($0) }.failure == nil)
    }

    /// One that waits for TLS has not begun: why it was not made, who makes it says.
    @Test func aConnectionThatNeverBeganSaysNothingOfItsEnd() throws {
        for begins in [false, true] {
            let embedded = EmbeddedLoop()
            let ends = Counter()
            let connection = ClientConnection(
                limits: RPCLimits(), options: WireOptions(), loopContext: embedded.context, loop: embedded.loop,
                credential: ""
            ) { event in
                if case .closed = event { ends.add() }
            }
            let channel = EmbeddedChannel(loop: embedded.loop)
            try channel.pipeline.syncOperations.addHandler(connection)
            if begins { channel.pipeline.syncOperations.fireChannelActive() }
            channel.pipeline.syncOperations.fireChannelInactive()
            #expect(ends.value == (begins ? 1 : 0))
            #expect(connection.isClosed)
        }
    }
}
