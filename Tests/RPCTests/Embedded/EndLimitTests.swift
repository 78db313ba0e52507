import Core
import NIOCore
import Testing

@testable import RPC

/// Limits of what an end sends and of what a client takes, each at its edge.
@Suite struct EndLimitTests {
    @Test func writersWaitAtTheUnsentLimitToTheByte() throws {
        // A reply that the socket does not take, and then one that needs DATA.
        func written(unsentBytesMax: Int) throws -> (reply: Int, data: Int) {
            let service = EmbeddedService()
            service.replyBytes = 200_000
            let end = try EmbeddedEnd.server(service) { $0.limits.unsentBytesMax = unsentBytesMax }
            end.isStalled = true
            let before = end.writtenBytes
            end.receive(.request(1, EmbeddedService.echo.path, payload: Array(repeating: 1, count: 30_000)))
            let reply = end.writtenBytes - before
            end.receive(.request(3, EmbeddedService.hold.path))
            service.letGo()
            end.embedded.run()
            let data = end.writtenBytes - before - reply
            #expect(end.connection.unsentBytes + end.connection.outbound.readableBytes == reply + data)
            end.takeAll()
            #expect(try end.sent().filter { $0.type == .status }.count == 2, "what waited follows")
            return (reply, data)
        }
        let reply = try written(unsentBytesMax: 1 << 20).reply
        #expect(try written(unsentBytesMax: reply).data == 0)
        #expect(try written(unsentBytesMax: reply + 1).data == FrameHeader.bytes + RPCLimits.quantumBytes)
    }

    @Test func theDefaultUnsentLimitIsOneMebibyte() throws {
        var router = ServiceRouter()
        router.serverStreaming(EmbeddedService.count) { (_: RawMessage, replies: ResponseWriter<RawMessage>, _) in
            while true { try await replies.write(bytes(65_536)) }
        }
        let hello = WireFrame.hello {
            $0.streamWindowBytes = 1 << 30
            $0.connectionWindowBytes = 1 << 30
        }
        let end = try EmbeddedEnd.server(RPCServer.Configuration(), router: router, hello: hello)
        end.isStalled = true
        end.receive(.request(1, EmbeddedService.count.path))
        let unsent = end.connection.unsentBytes + end.connection.outbound.readableBytes
        #expect((1 << 20..<1 << 20 + FrameHeader.bytes + RPCLimits.quantumBytes).contains(unsent), "\(unsent)")
        // What the application waits with is one message.
        #expect(end.connection.openStreams.map(\.pendingBytes).reduce(0, +) <= 65_536)
        end.receive(.cancel(1))
    }

    @Test(arguments: [(true, 0), (true, 1), (false, 0), (false, 1)])
    func aClientTakesMessagesUpToItsLimit(_ isData: Bool, _ excess: Int) throws {
        var limits = RPCLimits()
        limits.messageBytesMax = 50_000
        let end = try EmbeddedEnd.client(limits: limits)
        let call = EmbeddedCall(end, isData ? .serverStream : .unary)
        let message = Array(repeating: UInt8(7), count: 50_000 + excess)
        if isData {
            end.receive(WireFrame(type: .data, flags: .endMessage, stream: 1, payload: message))
            end.receive(.status(1))
        } else {
            end.receive(.status(1, flags: [.endMessage, .endStream], payload: message))
        }
        if excess == 0 {
            #expect(try call.result?.get().map(\.readableBytes) == [50_000])
        } else {
            #expect(call.failure?.reason == Failure.tooLarge)
            #expect(call.failure?.message.contains("50000") == true)
            #expect(!end.connection.isClosed, "the connection goes on")
        }
        #expect(end.connection.connectionReceiveWindow.isWhole)
        end.lose()
    }

    @Test func messagesAreCompressedFromTheirLeastSizeOn() throws {
        let compressor = MessageCompressor()
        #expect(compressor.compress(ByteBuffer(repeating: 1, count: 1023)) == nil)
        #expect(compressor.compress(ByteBuffer(repeating: 1, count: 1024)) != nil)
        for (count, isCompressed) in [(1023, false), (1024, true)] {
            let end = try EmbeddedEnd.server(
                EmbeddedService(), { $0.options.compression = .always },
                hello: .hello { $0.features = Features.zstd.rawValue })
            end.receive(.request(1, EmbeddedService.echo.path, payload: Array(repeating: 1, count: count)))
            let frame = try #require(try end.sent().first { $0.stream == 1 })
            #expect(frame.flags.contains(.zstd) == isCompressed, "\(count) bytes")
        }
    }

    @Test func messagesAreCompressedOnlyWhenATenthIsSaved() throws {
        var random = SeededGenerator(seed: 3)
        let noise = (0..<4000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let compressor = MessageCompressor()
        let sizes = (3450...3650).map { count in
            // Bytes that cannot be compressed, and the rest of which nothing remains.
            compressor.compress(ByteBuffer(bytes: noise.prefix(count) + Array(repeating: 0, count: 4000 - count)))?
                .readableBytes
        }
        let taken = sizes.compactMap { $0 }
        #expect(taken.allSatisfy { $0 <= 3600 })
        // The library wants some room besides what it writes.
        #expect(taken.max() ?? 0 >= 3560, "and nearly up to that: \(taken.max() ?? 0)")
        #expect(sizes.last == .some(nil))
    }

    @Test func aPeerIsAskedAfterTheLongestTimeThatItMayWish() throws {
        let most = RPCLimits.pingIntervalMsMax
        for (wished, asked) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
            let end = try EmbeddedEnd.server(hello: .hello { $0.pingIntervalMinMs = UInt32(wished) })
            end.embedded.pass(milliseconds: Int64(asked) - 1)
            #expect(try end.sent().isEmpty, "\(wished)")
            end.embedded.pass(milliseconds: 1)
            #expect(try end.sent().map(\.type) == [.ping], "\(wished)")
            end.lose()
        }
    }
}
