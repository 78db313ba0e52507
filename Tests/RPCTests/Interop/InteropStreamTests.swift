import Core
import RPC
import TestProtos
import Testing

/// gRPC's interoperability test descriptions for streams and metadata.
@Suite(.timeLimit(.minutes(1))) struct InteropStreamTests {
    typealias Setup = ControlSystem.Setup

    @Test(arguments: Setup.all) func clientStreaming(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let reply = try await system.control.clientStream { requests in
                for size in [27_182, 8, 1828, 45_904] {
                    try await requests.write(.init(payload: ControlPayload.make(size, isRandom: true)))
                }
            }
            #expect(reply.seen?.messages == 4)
            #expect(reply.seen?.payloadBytes == 74_922)
        }
    }

    @Test(arguments: Setup.all) func serverStreaming(_ setup: Setup) async throws {
        let sizes: [UInt32] = [31_415, 9, 2653, 58_979]
        try await ControlSystem.with(setup) { system in
            let replies = try await system.control.serverStream(
                .init(replies: sizes.map { .init(count: 1, sizeBytes: $0, isRandom: true, intervalMs: 1) }))
            var received: [UInt32] = []
            while let reply = try await replies.next() {
                #expect(reply.payload == ControlPayload.make(reply.payload.count, isRandom: true))
                #expect(reply.sequence == UInt64(received.count))
                received.append(UInt32(reply.payload.count))
            }
            #expect(received == sizes)
        }
    }

    @Test(arguments: Setup.all) func pingPong(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            try await system.control.bidi { requests, replies in
                for (sent, wanted) in [(27_182, 31_415), (8, 9), (1828, 2653), (45_904, 58_979)] {
                    try await requests.write(
                        .init(
                            payload: ControlPayload.make(sent),
                            replies: [.init(count: 1, sizeBytes: UInt32(wanted))]))
                    #expect(try await replies.next()?.payload.count == wanted)
                }
                try await requests.finish()
                #expect(try await replies.next() == nil)
            }
        }
    }

    @Test(arguments: Setup.all) func emptyStream(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            try await system.control.bidi { requests, replies in
                try await requests.finish()
                #expect(try await replies.next() == nil)
            }
            let replies = try await system.control.serverStream(TestControlRequest())
            #expect(try await replies.next() == nil)
            #expect(try await system.control.clientStream { _ in }.seen?.messages == 0)
        }
    }

    /// Messages of no bytes are messages.
    @Test(arguments: Setup.all) func emptyMessagesAreCounted(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let reply = try await system.control.clientStream { requests in
                for _ in 0..<10 { try await requests.write(TestControlRequest()) }
            }
            #expect(reply.seen?.messages == 10)
        }
    }

    @Test(arguments: Setup.all) func customMetadata(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            var options = CallOptions()
            try options.metadata.add("x-acp-test-echo-initial", "test_initial_metadata_value")
            try options.metadata.add("x-acp-test-echo-trailing-bin", bytes: [0x0A, 0x0B, 0x0A, 0xB0, 0, 255])
            try options.metadata.add("x-acp-test-repeated", "1")
            try options.metadata.add("x-acp-test-repeated", "2 ~")
            let request = TestControlRequest(
                replies: [.init(count: 1)], trailingMetadata: [.init(key: "more", value: Array("at the end".utf8))],
                echoMetadata: true)
            let replies = try await system.control.serverStream(request, options: options)
            let first = try #require(try await replies.next())
            #expect(try Metadata(first.seen?.metadata ?? []) == options.metadata)
            #expect(try await replies.initialMetadata() == options.metadata)
            #expect(try await replies.next() == nil)
            var trailing = try Metadata(request.trailingMetadata)
            for pair in options.metadata.pairs { try trailing.add(pair.key, bytes: pair.value) }
            #expect(try await replies.trailingMetadata() == trailing)
        }
    }

    /// Metadata comes with a failure as well.
    @Test(arguments: Setup.all) func metadataOfAFailure(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            let pair = TestControlPair(key: "why-bin", value: [0, 1, 254, 255])
            let replies = try await system.control.serverStream(
                .init(initialMetadata: [pair], trailingMetadata: [pair], status: .init(code: 9, message: "no")))
            let ended = await failure { try await replies.next() }
            #expect(ended?.code == .failedPrecondition)
            #expect(try await replies.initialMetadata() == Metadata([pair]))
            #expect(try await replies.trailingMetadata() == Metadata([pair]))
        }
    }

    /// The answer may come before everything was sent; the rest is given back to the connection's window.
    @Test(arguments: Setup.all) func anAnswerBeforeTheEndOfTheRequests(_ setup: Setup) async throws {
        try await ControlSystem.with(setup) { system in
            for _ in 0..<10 {
                let reply = try await system.control.clientStream { requests in
                    try await requests.write(.init(reading: .first))
                    // 1.6 MB a call: without the credit of what nobody reads the third call would stop for ever.
                    for _ in 0..<16 {
                        try await requests.write(.init(payload: ControlPayload.make(100_000, isRandom: true)))
                    }
                }
                #expect(reply.seen?.messages == 1)
            }
        }
    }

    /// A reader that does not read stops the server at its window, and nobody else.
    @Test(arguments: Setup.all) func aReaderThatStopsHoldsUpOnlyItsStream(_ setup: Setup) async throws {
        var limits = RPCLimits()
        limits.streamWindowBytes = 65_536
        try await ControlSystem.with(setup, limits: limits) { system in
            let count: UInt32 = 64
            let replies = try await system.control.serverStream(
                .init(name: "slow", replies: [.init(count: count, sizeBytes: 16_384, isRandom: true)]))
            // Four messages are in the window or on their way, and the next waits.
            try await system.board.wait(for: .init(name: "slow", repliesWrittenMin: 3))
            for _ in 0..<20 {
                let other = try await system.control.unary(.init(payload: ControlPayload.make(20_000), echo: true))
                #expect(other.payload.count == 20_000)
            }
            #expect(system.board.progress(of: "slow").repliesWritten <= 4)
            var received: UInt32 = 0
            while try await replies.next() != nil { received += 1 }
            #expect(received == count)
        }
    }

    /// A server that does not read stops the client at its window, and only that call.
    @Test(arguments: Setup.all) func aServerThatStopsReadingHoldsUpOnlyItsStream(_ setup: Setup) async throws {
        var limits = RPCLimits()
        limits.streamWindowBytes = 65_536
        try await ControlSystem.with(setup, limits: limits) { system in
            let call = Task {
                try await system.control.clientStream { requests in
                    try await requests.write(.init(name: "stops", reading: .stops))
                    while true { try await requests.write(.init(payload: ControlPayload.make(16_384, isRandom: true))) }
                }
            }
            try await system.board.wait(for: .init(name: "stops", messagesReadMin: 1))
            for _ in 0..<20 {
                let other = try await system.control.unary(.init(payload: ControlPayload.make(20_000), echo: true))
                #expect(other.payload.count == 20_000)
            }
            call.cancel()
            let ended = await failure { try await call.value }
            #expect(ended?.code == .cancelled)
            try await system.board.wait(for: .init(name: "stops", wasCancelled: true))
        }
    }
}
