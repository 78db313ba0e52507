import Core
import NIOCore
import RPC
import Testing

@Suite struct CallTests {
    @Test(arguments: TestSystem.Transport.allCases)
    func unaryCallsOfEverySizeComeBackWhole(_ transport: TestSystem.Transport) async throws {
        try await TestSystem.with(transport) { system in
            for count in [0, 1, 1000, 49_000, 49_152, 65_535, 65_536, 65_537, 262_144, 300_000, 4 << 20] {
                let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(count))
                #expect(reply.bytes.readableBytes == count)
            }
        }
    }

    @Test(arguments: TestSystem.Transport.allCases)
    func manyCallsAtOnceOnOneConnectionAreAnsweredEach(_ transport: TestSystem.Transport) async throws {
        try await TestSystem.with(transport) { system in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<2000 {
                    group.addTask {
                        let message = RawMessage(ByteBuffer(string: "\(index)"))
                        let reply: RawMessage = try await system.client.unary(TestSystem.echo, message)
                        return reply == message
                    }
                }
                for try await same in group { #expect(same) }
            }
        }
    }

    @Test(arguments: TestSystem.Transport.allCases)
    func serverStreamsArriveInOrderAndEnd(_ transport: TestSystem.Transport) async throws {
        try await TestSystem.with(transport) { system in
            let request = SearchRequest(query: String(repeating: "x", count: 900), limit: 2000)
            let replies: ResponseReader<SearchResponse> = try await system.client.serverStreaming(
                TestSystem.count, request)
            var expected: UInt64 = 0
            for try await reply in replies {
                #expect(reply.sequence == expected)
                expected += 1
            }
            #expect(expected == 2000)
        }
    }

    @Test(arguments: TestSystem.Transport.allCases)
    func clientStreamsLargerThanEveryWindowAreTakenWhole(_ transport: TestSystem.Transport) async throws {
        try await TestSystem.with(transport) { system in
            let text = String(repeating: "y", count: 64_000)
            let reply: SearchResponse = try await system.client.clientStreaming(TestSystem.sum) { writer in
                for _ in 0..<200 { try await writer.write(SearchRequest(query: text)) }
            }
            #expect(reply.sequence == 12_800_000)
            #expect(reply.candidates == 200)
        }
    }

    @Test(arguments: TestSystem.Transport.allCases)
    func bidirectionalCallsPlayPingPong(_ transport: TestSystem.Transport) async throws {
        try await TestSystem.with(transport) { system in
            let rounds: Int = try await system.client.bidirectional(TestSystem.chat) {
                (writer: RequestWriter<RawMessage>, reader: ResponseReader<RawMessage>) in
                var rounds = 0
                for count in [27_182, 8, 1828, 0, 45_904] {
                    try await writer.write(bytes(count))
                    let reply = try await reader.next()
                    #expect(reply?.bytes.readableBytes == count)
                    rounds += 1
                }
                try await writer.finish()
                #expect(try await reader.next() == nil)
                return rounds
            }
            #expect(rounds == 5)
        }
    }

    @Test func anEmptyClientStreamIsAnswered() async throws {
        try await TestSystem.with { system in
            let reply: SearchResponse = try await system.client.clientStreaming(TestSystem.sum) {
                (_: RequestWriter<SearchRequest>) in
            }
            #expect(reply.candidates == 0)
        }
    }

    @Test func aServerMayAnswerBeforeTheClientHasSentEverything() async throws {
        try await TestSystem.with { system in
            let reply: RawMessage = try await system.client.clientStreaming(TestSystem.firstOnly) { writer in
                for _ in 0..<500 { try await writer.write(bytes(60_000)) }
            }
            #expect(reply.bytes.readableBytes == 60_000)
            // The window of the connection has come back: another large call works.
            let again: RawMessage = try await system.client.unary(TestSystem.echo, bytes(4 << 20))
            #expect(again.bytes.readableBytes == 4 << 20)
        }
    }

    @Test func failuresTravelWithAllTheirDetails() async throws {
        try await TestSystem.with(.tcp) { system in
            let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
            for code in StatusCode.allCases where code != .ok {
                let failure = await failure { () -> SearchResponse in
                    try await system.client.unary(
                        TestSystem.fail, SearchRequest(query: message, limit: UInt32(code.rawValue)))
                }
                #expect(
                    failure
                        == Failure(
                            code, reason: "ASKED_FOR", message, remedy: "Ask for something else.",
                            fields: [.init(field: "query", description: "was refused")], retryAfterMs: 1234))
            }
        }
    }

    @Test func unknownMethodsAreUnimplemented() async throws {
        try await TestSystem.with { system in
            let failure = await failure { () -> RawMessage in
                try await system.client.unary(TestSystem.method("Nothing"), RawMessage())
            }
            #expect(failure?.code == .unimplemented)
            #expect(failure?.remedy.contains("test.Control") == true)
        }
    }

    @Test func malformedMessagesFailTheCallAndNotTheConnection() async throws {
        try await TestSystem.with { system in
            for junk in [[0x0A, 0xFF], [0x0A, 0x02, 0xC3, 0x28], [0x0A, 0x01, 0x00], [0x07]] as [[UInt8]] {
                let failure = await failure { () -> RawMessage in
                    try await system.client.unary(TestSystem.fail, RawMessage(ByteBuffer(bytes: junk)))
                }
                #expect(failure?.reason == "MALFORMED_MESSAGE")
            }
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(3))
            #expect(reply.bytes.readableBytes == 3)
        }
    }

    @Test func traceRequestAndMetadataReachTheHandler() async throws {
        try await TestSystem.with(.tcp) { system in
            var options = CallOptions(timeout: .seconds(5), idempotencyKey: "key-1")
            options.trace = TraceContext(traceHigh: 1, traceLow: 2, span: 3)
            options.requestID = "request-1"
            options.correlationID = "group-1"
            try options.metadata.add("color", "blue")
            let reply: SearchResponse = try await system.client.unary(
                TestSystem.context, RawMessage(), options: options)
            #expect(
                reply.unmatchedTerms == [
                    "00000000000000010000000000000002", "request-1", "group-1", "blue", "key-1", "deadline",
                ])
        }
    }

    @Test func metadataRefusesWhatItCannotCarry() throws {
        var metadata = Metadata()
        #expect(throws: Failure.self) { try metadata.add("Upper", "x") }
        #expect(throws: Failure.self) { try metadata.add("key", "line\nbreak") }
        try metadata.add("key-bin", bytes: [0, 10, 255])
        for index in 1..<64 { try metadata.add("k\(index)", "v") }
        #expect(throws: Failure.self) { try metadata.add("one-too-many", "v") }
    }
}
