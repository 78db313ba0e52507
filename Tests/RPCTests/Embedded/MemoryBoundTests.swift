import Core
import NIOCore
import Testing

@testable import RPC

/// What a connection holds for a peer, in bytes that are counted, whatever the peer does or leaves undone.
@Suite struct MemoryBoundTests {
    /// Everything that grows with what a peer sends or does not take.
    private func held(_ end: EmbeddedEnd<ServerConnection>) -> Int {
        let connection = end.connection
        let streams = connection.openStreams.reduce(0) { $0 + $1.inboundBytes + $1.pendingBytes }
        return connection.unsentBytes + connection.outbound.readableBytes + connection.partialBytes + streams
            + (connection.incoming?.storageCapacity ?? 0)
    }

    @Test func aReaderThatStallsCostsOneWindowAndOneMessage() throws {
        var router = ServiceRouter()
        router.serverStreaming(EmbeddedService.count) { (_: RawMessage, replies: ResponseWriter<RawMessage>, _) in
            while true { try await replies.write(bytes(65_536)) }
        }
        // One that takes everything from the socket and gives no credit, and one that takes nothing at all.
        for takesBytes in [true, false] {
            let end = try EmbeddedEnd.server(RPCServer.Configuration(), router: router)
            end.isStalled = !takesBytes
            let before = end.writtenBytes
            for call in 0..<100 { end.receive(.request(UInt32(2 * call + 1), EmbeddedService.count.path)) }
            #expect(
                end.writtenBytes - before <= (4 << 20) + 100 * 4 * FrameHeader.bytes * 32, "the connection's window")
            // A message of each call waits, and what the socket does not take.
            #expect(held(end) <= 100 * 65_536 + (1 << 20) + RPCLimits.quantumBytes + FrameHeader.bytes)
            for call in 0..<100 { end.receive(.cancel(UInt32(2 * call + 1))) }
            end.takeAll()
            #expect(held(end) == 0)
            end.lose()
        }
    }

    /// One frame after the other of each kind that costs its sender nothing, for many windows of time, to a server whose answers are not taken.
    @Test(arguments: ["ping", "pong", "window", "ignorable", "refused", "echo", "cancel"])
    func floodsOfAnyLengthLeaveNothingBehind(_ kind: String) throws {
        let end = try EmbeddedEnd.server { $0.limits.unsentBytesMax = 100_000 }
        end.isStalled = true
        var stream: UInt32 = 1
        var most = 0
        for round in 0..<30_000 where !end.connection.isClosed && !end.isClosed {
            switch kind {
            case "ping": end.receive(.ping())
            case "pong": end.receive(WireFrame(type: .pong, payload: Array(repeating: 0, count: 8)))
            case "window": end.receive(.window(0, 1))
            case "ignorable": end.receive(ByteBuffer(bytes: RawPeer.frame(0x90, payload: [1, 2, 3])))
            case "refused": end.receive(.request(stream, "/no/Method"))
            case "echo": end.receive(.request(stream, EmbeddedService.echo.path, payload: [1, 2, 3]))
            default:
                end.receive(.request(stream, EmbeddedService.collect.path, flags: .noMessage), .cancel(stream))
            }
            stream += 2
            // Slow enough for every budget, so that only bounds of memory are left.
            if round % 50 == 49 { end.embedded.pass(milliseconds: 10_001) }
            most = max(most, held(end))
            // The socket takes what there is now and then: not to be given up as a stalled one.
            if round % 100 == 99, kind != "echo", kind != "refused" { end.takeAll(); end.isStalled = true }
            // Who is not listened to cannot send: its bytes stay in its own socket.
            if !end.wantsRead { break }
        }
        #expect(most <= 2 * 100_000 + 65_536, "\(kind): \(most) bytes")
        #expect(end.connection.openStreamCount == 0)
        #expect(end.connection.queuedMessages == 0 && end.connection.partialBytes == 0)
        end.lose()
    }

    @Test func aMessageThatUnpacksToTooMuchFailsItsCallOverTheWire() async throws {
        // Two bytes each on the wire, and a struct of many in memory.
        func message(_ count: Int) -> RawMessage {
            var bytes = ByteBuffer()
            for _ in 0..<count { bytes.writeBytes([0x0A, 0]) }
            return RawMessage(bytes)
        }
        let method = TestSystem.method("TakeHits")
        let runtime = RPCRuntime(threads: 1)
        var router = ServiceRouter()
        router.unary(method) { (request: SearchResponse, _) -> SearchRequest in
            SearchRequest(limit: UInt32(request.hits.count))
        }
        let server = RPCServer(runtime: runtime, router: router)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let most = RPCLimits().messageBytesMax / 2
        let refused = await failure { () -> SearchRequest in try await client.unary(method, message(most)) }
        #expect(refused?.code == .resourceExhausted && refused?.reason == Failure.tooLarge)
        // The edge, found by halving, is where the budget says: one hit less is taken, on the same connection.
        var (taken, tooMany) = (0, most)
        while tooMany - taken > 1 {
            let middle = (taken + tooMany) / 2
            do {
                _ = try SearchResponse.decode(message(middle).bytes)
                taken = middle
            } catch { tooMany = middle }
        }
        let reply: SearchRequest = try await client.unary(method, message(taken))
        #expect(Int(reply.limit) == taken)
        let above = await failure { () -> SearchRequest in try await client.unary(method, message(tooMany)) }
        #expect(above?.reason == Failure.tooLarge)
        await client.shutdown()
        await server.shutdown(grace: .seconds(1))
        await runtime.shutdown()
    }
}
