import Core
import NIOCore
import Testing

@testable import RPC

/// A real server's end against peers that stall, break off or ask for little. Each was wrong once.
@Suite struct ServerBehaviourTests {
    @Test func aReplyAboveThePeersLimitEndsTheCall() throws {
        for compresses in [false, true] {
            let service = EmbeddedService()
            service.replyBytes = 2001
            let hello = WireFrame.hello {
                $0.messageBytesMax = 2000
                $0.features = Features.zstd.rawValue
            }
            let end = try EmbeddedEnd.server(
                service, { $0.options.compression = compresses ? .always : .never }, hello: hello)
            end.receive(.request(1, EmbeddedService.hold.path))
            service.letGo()
            #expect(try end.sent().last?.statusMeta?.failure?.reason == Failure.tooLarge)
            #expect(end.connection.openStreamCount == 0)
        }
    }

    @Test func aPeerThatTakesNothingIsNotListenedTo() throws {
        let end = try EmbeddedEnd.server { $0.limits.unsentBytesMax = 100_000 }
        end.isStalled = true
        let before = end.writtenBytes
        var requests = ByteBuffer()
        for index in UInt32(0)..<1000 {
            var frame = WireFrame.request(2 * index + 1, EmbeddedService.echo.path)
            frame.payload = Array(repeating: 1, count: 10_000)
            requests.writeImmutableBuffer(frame.bytes)
        }
        end.receive(requests)
        #expect(end.writtenBytes - before < 300_000, "twice the limit and a reply")
        #expect(!end.wantsRead)
        // Its silence is not held against it while nobody listens; that it takes nothing is.
        end.embedded.pass(milliseconds: 29_900)
        #expect(!end.isClosed)
        end.takeAll()
        #expect(try end.sent().filter { $0.type == .status }.count == 1000)
        #expect(end.wantsRead)
    }

    @Test func aPeerThatBreaksTheProtocolAndTakesNothingIsClosed() throws {
        let end = try EmbeddedEnd.server()
        end.isStalled = true
        end.receive(WireFrame(type: .ping, payload: [1]))
        #expect(end.connection.isClosed)
        end.embedded.pass(milliseconds: 29_000)
        #expect(!end.isClosed)
        end.embedded.pass(milliseconds: 1000)
        #expect(end.isClosed)
    }

    @Test func deadlinesAreMetWithinATickAndNeverEarly() throws {
        for offset in 0..<12 {
            let service = EmbeddedService()
            let end = try EmbeddedEnd.server(service)
            end.embedded.pass(milliseconds: Int64(offset))
            end.receive(.request(1, EmbeddedService.hold.path, timeoutMs: 17))
            end.embedded.pass(milliseconds: 16)
            #expect(try end.sent().isEmpty)
            end.embedded.pass(milliseconds: 1 + Int64(DeadlineWheel.tickMs))
            #expect(try end.sent().first?.statusMeta?.failure?.code == .deadlineExceeded, "after \(offset) ms")
            #expect(end.connection.openStreamCount == 1, "its handler has not returned")
            service.letGo()
            end.embedded.run()
            #expect(end.connection.openStreamCount == 0)
        }
    }

    @Test func aHalfOpenConnectionIsAskedAfter30SecondsAndClosedAfter40() throws {
        let end = try EmbeddedEnd.server()
        end.embedded.pass(milliseconds: 29_999)
        #expect(try end.sent().isEmpty)
        end.embedded.pass(milliseconds: 1)
        #expect(try end.sent().map(\.type) == [.ping])
        end.embedded.pass(milliseconds: 9999)
        #expect(!end.isClosed)
        end.embedded.pass(milliseconds: 1)
        #expect(end.isClosed)
    }

    @Test func aShortStallAfterALongSilenceIsNoLongOne() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service)
        end.receive(.request(1, EmbeddedService.hold.path))
        end.embedded.pass(milliseconds: 29_000)
        end.isStalled = true
        service.letGo()
        end.embedded.pass(milliseconds: 5000)
        #expect(!end.isClosed, "the socket was blocked for five seconds, not for 34")
        end.receive(WireFrame.ping())
        end.embedded.pass(milliseconds: 24_000)
        #expect(!end.isClosed)
        end.embedded.pass(milliseconds: 1000)
        #expect(end.isClosed)
    }

    @Test func aMessageDoesNotKeepTheBufferItCameIn() throws {
        let service = EmbeddedService()
        service.collectsLater = true
        let end = try EmbeddedEnd.server(service) {
            $0.concurrency = [EmbeddedService.hold.path: ConcurrencyLimit(runningMax: 1)]
        }
        var read = ByteBufferAllocator().buffer(capacity: 1 << 20)
        for frame: WireFrame in [
            .request(1, EmbeddedService.collect.path, flags: .noMessage), .data(1, 100), .data(1, 200), .data(1, 7, []),
            .request(3, EmbeddedService.hold.path, payload: [1]), .request(5, EmbeddedService.hold.path, payload: [1]),
        ] { read.writeImmutableBuffer(frame.bytes) }
        end.receive(read)
        for stream in end.connection.openStreams {
            var inbound = stream.inbound
            while let message = inbound.removeFirst() {
                #expect(message.bytes.storageCapacity < 2048, "stream \(stream.id)")
            }
        }
        end.receive(.data(1, 93, [.endMessage, .endStream]))
        service.letGo()
        end.embedded.run()
        #expect(service.collected == 400)
        service.letGo()
        end.embedded.run()
        #expect(end.connection.openStreamCount == 0)
        #expect(end.connection.connectionReceiveWindow.isWhole)
    }

    @Test func flagsThatContradictEachOtherAreAViolation() throws {
        let end = try EmbeddedEnd.server()
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        end.receive(.data(1, 0, [.endMessage, .noMessage]))
        #expect(try end.sent().last?.type == .goAway)
    }

    @Test func aCancelledCallThatWaitsForItsTurnLeavesTheQueue() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service) {
            $0.concurrency = [EmbeddedService.hold.path: ConcurrencyLimit(runningMax: 1)]
        }
        for stream in [UInt32(1), 3, 5] { end.receive(.request(stream, EmbeddedService.hold.path)) }
        #expect(service.running == 1)
        end.receive(.cancel(3))
        #expect(try end.sent().first?.statusMeta?.failure?.code == .cancelled)
        #expect(end.connection.openStreamCount == 2)
        for _ in 0..<2 {
            service.letGo()
            end.embedded.run()
        }
        #expect(try end.sent().filter { $0.type == .status }.map(\.stream) == [1, 5])
        #expect(end.connection.openStreamCount == 0)
    }

    @Test func losingTheConnectionEndsEverything() throws {
        let service = EmbeddedService()
        let embedded = EmbeddedLoop()
        weak var connection: ServerConnection?
        do {
            let end = try EmbeddedEnd.server(router: service.router, on: embedded)
            connection = end.connection
            end.receive(
                .request(1, EmbeddedService.hold.path, timeoutMs: 1000),
                .request(3, EmbeddedService.collect.path, flags: .noMessage))
            end.lose()
            #expect(end.connection.openStreamCount == 0)
            #expect(embedded.context.deadlines.count == 0)
        }
        service.letGo()
        embedded.pass(milliseconds: 60_000)
        #expect(service.running == 0)
        #expect(connection == nil, "nothing keeps a connection that is gone")
    }
}
