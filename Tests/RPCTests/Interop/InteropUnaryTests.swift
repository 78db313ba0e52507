import Core
import RPC
import TestProtos
import Testing

/// gRPC's interoperability test descriptions for calls with one request and one answer.
@Suite(.timeLimit(.minutes(1))) struct InteropUnaryTests {
    typealias Setup = ControlSystem.Setup

    @Test(arguments: Setup.all) func emptyUnary(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let reply = try await system.control.unary(TestControlRequest())
            #expect(reply.payload.isEmpty)
            #expect(reply.seen?.messages == 1)
        }
    }

    /// Sizes of gRPC's large_unary, and messages of many frames.
    @Test(arguments: Setup.all) func largeUnary(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            for (sent, wanted, isRandom) in [
                (271_828, 314_159, false), (271_828, 314_159, true), (3_900_000, 10, true), (10, 4_000_000, true),
            ] {
                let request = TestControlRequest(
                    payload: ControlPayload.make(sent, isRandom: isRandom),
                    replies: [.init(count: 1, sizeBytes: UInt32(wanted), isRandom: isRandom)])
                let reply = try await system.control.unary(request)
                #expect(reply.payload == ControlPayload.make(wanted, isRandom: isRandom))
                #expect(reply.seen?.payloadBytes == UInt64(sent))
            }
        }
    }

    @Test(arguments: Setup.all) func manyLargeUnaryCallsAtOnce(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let wellAnswered = try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 1...20 {
                    group.addTask {
                        let payload = ControlPayload.make(100_000 + index, isRandom: true)
                        let reply = try await system.control.unary(.init(payload: payload, echo: true))
                        return reply.payload == payload ? 1 : 0
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(wellAnswered == 20)
        }
    }

    @Test(arguments: Setup.all) func statusCodeAndMessage(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            for code: UInt32 in 1...16 {
                let status = TestControlStatus(
                    code: code, message: "test status message", reason: "ASKED_FOR", remedy: "Do not ask.",
                    fields: [.init(field: "status.code", description: "was not 0")], retryAfterMs: 0)
                let wanted = Failure(
                    try #require(StatusCode(rawValue: Int(code))), reason: "ASKED_FOR", "test status message",
                    remedy: "Do not ask.", fields: [.init(field: "status.code", description: "was not 0")])
                let ended = await failure { try await system.control.unary(.init(status: status)) }
                #expect(ended == wanted)
                let streamed = await failure {
                    try await system.control.bidi { requests, replies in
                        try await requests.write(.init(status: status))
                        while try await replies.next() != nil {}
                    }
                }
                #expect(streamed == wanted)
            }
        }
    }

    @Test(arguments: Setup.all) func specialStatusMessage(_ setup: Setup) async throws {
        let text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n % %20 \"'\\ e\u{301}"
        try await ControlSystem.with(setup) { system in
            let failure = await failure {
                try await system.control.unary(.init(status: .init(code: 2, message: text)))
            }
            #expect(failure?.code == .unknown)
            // Strings are equal when they look equal; bytes must be.
            #expect(failure.map { Array($0.message.utf8) } == Array(text.utf8))
        }
    }

    @Test(arguments: Setup.all) func unimplementedMethodAndService(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let method = await failure { try await system.control.unregistered(TestControlRequest()) }
            #expect(method?.code == .unimplemented)
            #expect(method?.reason == "UNKNOWN_METHOD")
            let service = await failure {
                try await UnregisteredControlClient(system.client).unary(TestControlRequest())
            }
            #expect(service?.code == .unimplemented)
            // The connection goes on.
            let reply = try await system.control.unary(TestControlRequest())
            #expect(reply.seen?.messages == 1)
        }
    }

    @Test(arguments: Setup.all) func contextArrivesAsItWasSent(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            var options = CallOptions(timeout: .seconds(50), idempotencyKey: "once")
            options.requestID = "request-7"
            options.correlationID = "batch-1"
            let seen = try #require(try await system.control.unary(TestControlRequest(), options: options).seen)
            #expect(seen.requestID == "request-7")
            #expect(seen.correlationID == "batch-1")
            #expect(seen.idempotencyKey == "once")
            #expect(seen.attempt == 0)
            #expect(seen.traceID.count == 32)
            #expect((1...50_000_000).contains(seen.remainingUs))
        }
    }

    @Test(arguments: Setup.all) func credentialOfTheConnectionAndOfTheCall(_ setup: Setup) async throws {
        try await ControlSystem.with(setup, credential: "viewer") { system in
            #expect(try await system.control.viewer(TestControlRequest()).seen?.principal == "viewer")
            let ended = await failure { try await system.control.admin(TestControlRequest()) }
            #expect(ended?.code == .permissionDenied)
            let reply = try await system.control.admin(TestControlRequest(), options: CallOptions(credential: "admin"))
            #expect(reply.seen?.principal == "admin")
            let unknown = await failure {
                try await system.control.viewer(TestControlRequest(), options: CallOptions(credential: "stranger"))
            }
            #expect(unknown?.code == .unauthenticated)
        }
    }
}
