import Core
import RPC
import TestProtos
import Testing

/// What the client makes of servers that break the protocol: a clear failure of what is affected, and of nothing else.
@Suite(.timeLimit(.minutes(1))) struct MisbehavingServerTests {
    /// What becomes of the call and of its connection.
    struct Case: Sendable, CustomTestStringConvertible {
        var what: TestControlMisbehaviour
        var code: StatusCode
        var reason: String
        /// Words of the message that say what was wrong.
        var words = ""
        var asksForChecksums = false
        var testDescription: String { what.protoName }
    }

    /// The connection cannot go on.
    static let fatal: [Case] = [
        Case(what: .closeInsteadOfAnswer, code: .unavailable, reason: "CONNECTION_LOST"),
        Case(what: .closeInsideMessage, code: .unavailable, reason: "CONNECTION_LOST"),
        Case(what: .closeInsideFrame, code: .unavailable, reason: "CONNECTION_LOST"),
        Case(what: .goAwayError, code: .unavailable, reason: "CONNECTION_LOST", words: "as scripted"),
        Case(what: .goAwayRefusing, code: .unavailable, reason: "DRAINING", words: "as scripted"),
        Case(what: .unknownFrame, code: .internalError, reason: "PROTOCOL_ERROR", words: "type 85"),
        Case(what: .clientFrame, code: .internalError, reason: "PROTOCOL_ERROR", words: "does not belong to a server"),
        Case(what: .oversizedFrame, code: .internalError, reason: "PROTOCOL_ERROR", words: "larger than the limit"),
        Case(what: .metaBeyondFrame, code: .internalError, reason: "PROTOCOL_ERROR", words: "meta part"),
        Case(what: .metaTooLong, code: .internalError, reason: "PROTOCOL_ERROR", words: "meta part"),
        Case(what: .unknownFlag, code: .internalError, reason: "PROTOCOL_ERROR", words: "flags"),
        Case(what: .helloTwice, code: .internalError, reason: "PROTOCOL_ERROR", words: "second HELLO"),
        Case(what: .pingShort, code: .internalError, reason: "PROTOCOL_ERROR", words: "PING"),
        Case(what: .pingFlood, code: .resourceExhausted, reason: "PROTOCOL_ERROR", words: "PING"),
        Case(what: .notAFrame, code: .internalError, reason: "PROTOCOL_ERROR"),
        Case(what: .checksumUnasked, code: .internalError, reason: "PROTOCOL_ERROR", words: "not asked for"),
        Case(
            what: .checksumWrong, code: .dataLoss, reason: "PROTOCOL_ERROR", words: "does not match",
            asksForChecksums: true),
        Case(
            what: .checksumMissing, code: .dataLoss, reason: "PROTOCOL_ERROR", words: "without the checksum",
            asksForChecksums: true),
        Case(what: .zstdPartly, code: .internalError, reason: "PROTOCOL_ERROR", words: "compressed in one frame"),
        Case(what: .statusOfUnknownStream, code: .internalError, reason: "PROTOCOL_ERROR", words: "never opened"),
        Case(what: .statusOnConnection, code: .internalError, reason: "PROTOCOL_ERROR", words: "stream 0"),
        Case(what: .statusUnreadable, code: .internalError, reason: "PROTOCOL_ERROR", words: "STATUS"),
        Case(what: .headersUnreadable, code: .internalError, reason: "PROTOCOL_ERROR", words: "HEADERS"),
        Case(what: .headersTwice, code: .internalError, reason: "PROTOCOL_ERROR", words: "HEADERS"),
        Case(what: .headersAfterData, code: .internalError, reason: "PROTOCOL_ERROR", words: "HEADERS"),
        Case(what: .dataOfUnknownStream, code: .internalError, reason: "PROTOCOL_ERROR", words: "never opened"),
        Case(what: .dataOnEvenStream, code: .internalError, reason: "PROTOCOL_ERROR", words: "never opened"),
        Case(what: .statusInsideMessage, code: .internalError, reason: "PROTOCOL_ERROR", words: "inside a message"),
        Case(what: .noMessageWithPayload, code: .internalError, reason: "PROTOCOL_ERROR", words: "no message"),
        Case(what: .windowExceeded, code: .internalError, reason: "PROTOCOL_ERROR", words: "window"),
        Case(what: .windowOverfilled, code: .internalError, reason: "PROTOCOL_ERROR", words: "window"),
        Case(what: .windowZero, code: .internalError, reason: "PROTOCOL_ERROR", words: "WINDOW"),
        Case(what: .windowShort, code: .internalError, reason: "PROTOCOL_ERROR", words: "WINDOW"),
        Case(what: .emptyDataFlood, code: .resourceExhausted, reason: "PROTOCOL_ERROR", words: "empty DATA"),
    ]

    /// Only the call ends.
    static let local: [Case] = [
        Case(what: .zstdGarbage, code: .invalidArgument, reason: "BAD_COMPRESSION"),
        Case(what: .zstdWithoutSize, code: .invalidArgument, reason: "BAD_COMPRESSION"),
        Case(what: .zstdBomb, code: .resourceExhausted, reason: "TOO_LARGE"),
        Case(what: .statusUnknownCode, code: .unknown, reason: ""),
        Case(what: .answerMissing, code: .internalError, reason: "NOT_ONE_MESSAGE", words: "0 messages"),
        Case(what: .answerTwice, code: .internalError, reason: "NOT_ONE_MESSAGE", words: "2 messages"),
        Case(what: .answerNotProtobuf, code: .invalidArgument, reason: "MALFORMED_MESSAGE"),
        Case(what: .answerTooLarge, code: .resourceExhausted, reason: "TOO_LARGE"),
    ]

    /// The call ends well whatever came besides.
    static let harmless: [TestControlMisbehaviour] = [
        .ignorableFrame, .twoStatuses, .dataAfterStatus, .windowOfUnknownStream, .goAwayThenAnswer,
    ]

    private func with(
        asksForChecksums: Bool = false,
        _ body: (ScriptedServer, ControlClient, () -> RPCClient) async throws -> Void
    ) async throws {
        let runtime = RPCRuntime(threads: 1)
        let server = try await ScriptedServer.start(runtime)
        var options = WireOptions()
        options.checksums = asksForChecksums
        var limits = RPCLimits()
        limits.messageBytesMax = 150_000
        let makeClient = {
            ControlSystem.client(
                runtime, .tcp(host: "127.0.0.1", port: server.port), options: options, limits: limits)
        }
        let client = makeClient()
        let result: Result<Void, any Error>
        do { result = .success(try await body(server, ControlClient(client), makeClient)) } catch {
            result = .failure(error)
        }
        await client.shutdown()
        await server.stop()
        await runtime.shutdown()
        try result.get()
    }

    private func expectAnswer(_ control: ControlClient, _ request: TestControlRequest = .init()) async throws {
        let reply = try await control.unary(request)
        #expect(reply.payload == Array("fine".utf8))
    }

    private func check(_ failure: Failure?, _ expected: Case) {
        #expect(failure?.code == expected.code, "\(String(describing: failure))")
        #expect(failure?.reason == expected.reason, "\(String(describing: failure))")
        #expect(failure?.message.contains(expected.words) ?? false, "\(String(describing: failure))")
    }

    @Test(arguments: fatal) func theConnectionEndsWithAClearFailure(_ expected: Case) async throws {
        try await with(asksForChecksums: expected.asksForChecksums) { server, control, makeClient in
            // A connection that works, of somebody else.
            let other = makeClient()
            try await expectAnswer(ControlClient(other))
            check(await failure { try await control.unary(.init(misbehaviour: expected.what)) }, expected)
            try await expectAnswer(ControlClient(other))
            await other.shutdown()
            // Later connections are as good as the first.
            let later = makeClient()
            try await expectAnswer(ControlClient(later))
            await later.shutdown()
        }
    }

    /// A reader takes what came before the fault. Not DATA that is no protobuf: it fails sooner.
    @Test(arguments: fatal.filter { $0.what != .windowExceeded })
    func streamsEndWithTheSameFailure(_ expected: Case) async throws {
        try await with(asksForChecksums: expected.asksForChecksums) { _, control, _ in
            check(
                await failure {
                    let replies = try await control.serverStream(.init(misbehaviour: expected.what))
                    while try await replies.next() != nil {}
                }, expected)
        }
    }

    @Test(arguments: local) func onlyTheCallEnds(_ expected: Case) async throws {
        try await with { server, control, _ in
            check(await failure { try await control.unary(.init(misbehaviour: expected.what)) }, expected)
            try await expectAnswer(control)
            #expect(server.connectionCount == 1, "the connection goes on")
        }
    }

    @Test(arguments: harmless) func theCallEndsWellAllTheSame(_ what: TestControlMisbehaviour) async throws {
        try await with { server, control, _ in
            try await expectAnswer(control, .init(misbehaviour: what))
            try await expectAnswer(control)
            // A connection that drains is not used for the next call.
            #expect(server.connectionCount == (what == .goAwayThenAnswer ? 2 : 1))
        }
    }

    /// Each misbehaviour of the proto file is in one of the lists.
    @Test func everyMisbehaviourIsTested() {
        let tested = Set(Self.fatal.map(\.what) + Self.local.map(\.what) + Self.harmless)
        #expect(tested == Set(TestControlMisbehaviour.knownCases).subtracting([.none]))
    }

    @Test func anHonestServerRefusesToMisbehave() async throws {
        try await ControlSystem.with(.init(transport: .inProcess, isWrapped: false)) { system in
            let refused = await failure { try await system.control.unary(.init(misbehaviour: .helloTwice)) }
            #expect(refused?.reason == "ONLY_SCRIPTED")
        }
    }
}
