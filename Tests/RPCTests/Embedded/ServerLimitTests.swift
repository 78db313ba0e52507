import Core
import NIOCore
import Testing

@testable import RPC

/// Every limit that a client can meet: what is at it is taken, what is one above is not.
@Suite struct ServerLimitTests {
    /// A REQUEST for Echo whose frame has this length.
    private func request(length: Int, stream: UInt32 = 1) -> WireFrame {
        var frame = WireFrame.request(stream, EmbeddedService.echo.path)
        frame.payload = Array(repeating: 1, count: length - frame.meta.count)
        return frame
    }

    @Test(arguments: [65_536, 1 << 20]) func framesAreLimitedToTheByte(_ limit: Int) throws {
        let end = try EmbeddedEnd.server { $0.limits.frameBytesMax = limit }
        end.receive(request(length: limit))
        #expect(try end.sent().contains { $0.type == .status || $0.type == .data })
        end.receive(request(length: limit + 1, stream: 3))
        #expect(try end.sent().last?.goAway?.message.contains("\(limit)") == true)
        #expect(end.connection.isClosed)
    }

    @Test func limitsBelowTheDefaultsBindOnlyWhoHasReadThem() throws {
        let service = EmbeddedService()
        service.collectsLater = true
        let end = try EmbeddedEnd.server(service) {
            $0.limits.frameBytesMax = 1024
            $0.limits.streamWindowBytes = 2000
            $0.limits.connectionWindowBytes = 3000
        }
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        for _ in 0..<4 { end.receive(.data(1, 65_536)) }
        #expect(try end.sent().isEmpty, "262,144 bytes in frames of 65,536 are the defaults")
        service.letGo()
        end.embedded.run()
        #expect(service.collected == 4 * 65_536)
        let credit = try end.sent().filter { $0.stream == 1 }.compactMap(\.credit).reduce(0, +)
        #expect(credit == 4 * 65_536)
    }

    @Test(arguments: [262_144, 300_000]) func streamWindowsAreLimitedToTheByte(_ window: Int) throws {
        for excess in [0, 1] {
            let service = EmbeddedService()
            service.collectsLater = true
            let end = try EmbeddedEnd.server(service) { $0.limits.streamWindowBytes = window }
            end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
            var rest = window + excess
            while rest > 0 {
                end.receive(.data(1, min(rest, 60_000)))
                rest -= min(rest, 60_000)
            }
            let goAway = try end.sent().compactMap { try $0.goAway }.first
            #expect((goAway?.message.contains("flow-control window") ?? false) == (excess == 1))
        }
    }

    @Test func theConnectionWindowIsLimitedToTheByte() throws {
        for excess in [0, 1] {
            let service = EmbeddedService()
            service.collectsLater = true
            let end = try EmbeddedEnd.server(service)
            var rest = (4 << 20) + excess
            var stream: UInt32 = 1
            while rest > 0 {
                end.receive(.request(stream, EmbeddedService.collect.path, flags: .noMessage))
                for _ in 0..<4 where rest > 0 {
                    end.receive(.data(stream, min(rest, 65_536)))
                    rest -= min(rest, 65_536)
                }
                stream += 2
            }
            #expect(try end.sent().contains { $0.type == .goAway } == (excess == 1))
        }
    }

    @Test(arguments: [WireFrame.window(1, 1), .window(0, 1)]) func sendWindowsMayNotGrowBeyondTheirBound(
        _ frame: WireFrame
    ) throws {
        let end = try EmbeddedEnd.server()
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        let most = UInt32(Int(Int32.max) - (frame.stream == 0 ? 4 << 20 : 262_144))
        end.receive(.window(frame.stream, most))
        #expect(try end.sent().isEmpty)
        end.receive(frame)
        #expect(try end.sent().contains { $0.type == .goAway })
    }

    @Test func messagesAreLimitedToTheByteAndTheirCreditComesBack() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service) {
            $0.limits.messageBytesMax = 100_000
            $0.limits.connectionWindowBytes = 1 << 20
        }
        // Far more than the connection's window: a byte lost each time would be felt.
        for index in UInt32(0)..<20 {
            let (good, bad) = (4 * index + 1, 4 * index + 3)
            end.receive(.request(good, EmbeddedService.collect.path, flags: .noMessage))
            end.receive(.data(good, 60_000, []), .data(good, 40_000, [.endMessage, .endStream]))
            #expect(try end.sent().first { $0.type == .status }?.statusMeta?.failure == nil)
            end.receive(.request(bad, EmbeddedService.collect.path, flags: .noMessage))
            end.receive(.data(bad, 60_000, []), .data(bad, 40_001))
            let status = try end.sent().first { $0.type == .status }
            #expect(try status?.statusMeta?.failure?.reason == Failure.tooLarge)
        }
        #expect(end.connection.connectionReceiveWindow.isWhole)
        #expect(!end.connection.isClosed)
    }

    @Test func aFrameLargerThanAMessageMayBeGivesItsCreditBackToo() throws {
        let end = try EmbeddedEnd.server { $0.limits.messageBytesMax = 1000 }
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage), .data(1, 1001))
        #expect(try end.sent().first { $0.type == .status }?.statusMeta?.failure?.reason == Failure.tooLarge)
        #expect(end.connection.connectionReceiveWindow.isWhole)
    }

    @Test func metaPartsAreLimitedToTheByte() throws {
        for excess in [0, 1] {
            let end = try EmbeddedEnd.server()
            var frame = WireFrame.request(1, EmbeddedService.echo.path) { $0.credential = "c" }
            let room = RPCLimits.metaBytesMax + excess - frame.meta.count
            // Its length takes a byte more.
            frame = .request(1, EmbeddedService.echo.path) { $0.credential = String(repeating: "c", count: room) }
            #expect(frame.meta.count == RPCLimits.metaBytesMax + excess)
            end.receive(frame)
            #expect(try end.sent().map(\.type) == [excess == 0 ? .status : .goAway])
        }
    }

    @Test func metadataIsLimitedToThePairAndTheByte() throws {
        func reason(_ pairs: [(String, [UInt8])]) throws -> (StatusCode?, String?) {
            let end = try EmbeddedEnd.server()
            var frame = WireFrame.request(1, EmbeddedService.echo.path)
            for (key, value) in pairs {
                var pair = WirePair()
                pair.key = key
                pair.value = value
                let bytes = Array(pair.encoded().readableBytesView)
                var length = ByteBuffer()
                var rest = bytes.count
                while rest >= 0x80 {
                    length.writeInteger(UInt8(rest & 0x7F) | 0x80)
                    rest >>= 7
                }
                length.writeInteger(UInt8(rest))
                frame.meta += [12 << 3 | 2] + Array(length.readableBytesView) + bytes
            }
            end.receive(frame)
            let failure = try end.sent().first { $0.type == .status }?.statusMeta?.failure
            return (failure?.code, failure?.reason)
        }
        #expect(try reason(Array(repeating: ("k", [0x20]), count: 64)) == (nil, nil))
        #expect(try reason(Array(repeating: ("k", [0x20]), count: 65)) == (.resourceExhausted, Failure.tooLarge))
        #expect(try reason([("k", Array(repeating: 0x61, count: 12_287))]) == (nil, nil))
        #expect(
            try reason([("k", Array(repeating: 0x61, count: 12_288))]) == (.resourceExhausted, Failure.tooLarge))
        #expect(try reason([(String(repeating: "k", count: 128), [])]) == (nil, nil))
        #expect(try reason([(String(repeating: "k", count: 129), [])]).0 == .invalidArgument)
    }

    @Test func callsInFlightAreLimitedToTheCall() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service) { $0.limits.streamsMax = 3 }
        for stream in [UInt32(1), 3, 5] { end.receive(.request(stream, EmbeddedService.hold.path)) }
        #expect(try end.sent().isEmpty)
        end.receive(.request(7, EmbeddedService.hold.path))
        let refused = try end.sent().first?.statusMeta
        #expect(refused?.failure?.reason == "TOO_MANY_STREAMS")
        #expect(refused?.isRefused == true)
        // A cancelled call keeps its place until its handler has returned.
        end.receive(.cancel(1), .request(9, EmbeddedService.hold.path))
        #expect(try end.sent().last?.statusMeta?.failure?.reason == "TOO_MANY_STREAMS")
        service.letGo()
        end.embedded.run()
        _ = try end.sent()
        end.receive(.request(11, EmbeddedService.echo.path))
        #expect(try end.sent().first?.statusMeta?.failure == nil)
        #expect(end.connection.openStreamCount == 0)
    }

    @Test func helloIsLimitedToTheByte() throws {
        for excess in [0, 1] {
            let end = try EmbeddedEnd.server(router: EmbeddedService().router, greets: false)
            end.receivePreface()
            _ = try end.sent()
            // Two bytes of length and one of tag before the text.
            let hello = WireFrame.hello {
                $0.build = String(repeating: "b", count: RPCLimits.helloBytesMax + excess - 3)
            }
            #expect(hello.meta.count == RPCLimits.helloBytesMax + excess)
            end.receive(hello)
            #expect(try end.sent().map(\.type) == (excess == 0 ? [] : [.goAway]))
        }
    }

    @Test func messagesThatNobodyReadsAreLimitedInNumber() throws {
        let service = EmbeddedService()
        service.collectsLater = true
        let end = try EmbeddedEnd.server(service)
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        var batch = ByteBuffer()
        for _ in 0..<1024 { batch.writeImmutableBuffer(WireFrame.data(1, 0).bytes) }
        for _ in 0..<RPCLimits.queuedMessagesMax / 1024 { end.receive(batch) }
        #expect(try end.sent().isEmpty)
        end.receive(.data(1, 0))
        #expect(try end.sent().first?.statusMeta?.failure?.reason == "TOO_MANY_MESSAGES")
        #expect(end.connection.queuedMessages == 0)
        end.receive(.request(3, EmbeddedService.echo.path))
        #expect(try end.sent().first?.statusMeta?.failure == nil)
        service.letGo()
        end.embedded.run()
    }

    @Test func announcedFrameSizesAreTakenWithinTheirRange() throws {
        let range = RPCLimits.frameBytesRange
        #expect(range == 1024...1_048_576)
        for (announced, taken) in [
            (0, RPCLimits().frameBytesMax), (1, 1024), (1023, 1024), (1024, 1024), (1025, 1025),
            (1_048_575, 1_048_575), (1_048_576, 1_048_576), (1_048_577, 1_048_576),
        ] {
            var hello = WireHello()
            hello.frameBytesMax = UInt32(announced)
            #expect(try PeerSettings(hello).frameBytesMax == taken, "\(announced)")
        }
    }

    @Test func whatIsSentKeepsToThePeersFramesWhateverItsKind() throws {
        let service = EmbeddedService()
        service.replyBytes = 5000
        let end = try EmbeddedEnd.server(service, hello: .hello { $0.frameBytesMax = 1024 })
        end.receive(.request(1, EmbeddedService.hold.path))
        service.letGo()
        end.embedded.run()
        // The refusal repeats a path of a kilobyte, and names the server's services besides.
        end.receive(.request(3, "/no/" + String(repeating: "x", count: 1200)))
        let frames = try end.sent()
        #expect(frames.allSatisfy { $0.meta.count + $0.payload.count <= 1024 })
        #expect(frames.filter { $0.stream == 1 }.reduce(0) { $0 + $1.payload.count } == 5000)
        let refused = try frames.last { $0.stream == 3 }?.statusMeta?.failure
        #expect(refused?.reason == "UNKNOWN_METHOD")
        #expect(refused?.message.hasPrefix("This server has no method /no/xxx") == true)
    }

    @Test func aPeerHasFiveSecondsForItsHello() throws {
        for sendsPreface in [false, true] {
            let end = try EmbeddedEnd.server(router: EmbeddedService().router, greets: false)
            if sendsPreface { end.receivePreface() }
            end.embedded.pass(milliseconds: 4999)
            #expect(try !end.sent().contains { $0.type == .goAway })
            end.embedded.pass(milliseconds: 1)
            #expect(try end.sent().compactMap { try $0.goAway }.first?.message.contains("no HELLO") == true)
            #expect(end.connection.isClosed)
        }
    }

    @Test func whatACallWaitedIsReported() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service) {
            $0.concurrency = [EmbeddedService.hold.path: ConcurrencyLimit(runningMax: 1, waitingMax: 1)]
        }
        end.receive(.request(1, EmbeddedService.hold.path), .request(3, EmbeddedService.hold.path))
        end.receive(.request(5, EmbeddedService.hold.path))
        let refused = try end.sent().compactMap { try $0.statusMeta }
        #expect(refused.map(\.failure?.reason) == ["OVERLOADED"])
        #expect(refused.allSatisfy { $0.isRefused && ($0.failure?.retryAfterMs ?? 0) > 0 })
        end.embedded.pass(milliseconds: 70)
        service.letGo()
        end.embedded.run()
        let first = try end.sent().compactMap { try $0.statusMeta }
        #expect(first.map(\.queueMicroseconds) == [0])
        #expect(first.allSatisfy { $0.serverMicroseconds >= 70_000 })
        // One that gives up while it waits has waited all the time.
        end.receive(.request(7, EmbeddedService.hold.path))
        end.embedded.pass(milliseconds: 30)
        end.receive(.cancel(7))
        let waited = try #require(try end.sent().compactMap { try $0.statusMeta }.first)
        #expect(waited.failure?.code == .cancelled)
        #expect((30_000..<40_000).contains(waited.queueMicroseconds))
        #expect(waited.serverMicroseconds == 0)
        service.letGo()
        end.embedded.run()
        let second = try #require(try end.sent().compactMap { try $0.statusMeta }.first)
        #expect((70_000..<80_000).contains(second.queueMicroseconds))
        #expect((30_000..<40_000).contains(second.serverMicroseconds))
    }

    @Test func aDrainWaitsFiveSecondsForItsAnswer() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(service)
        end.receive(.request(1, EmbeddedService.hold.path))
        end.connection.drain()
        #expect(try end.sent().map(\.type) == [.goAway, .ping])
        // Still taken: the client may not have read of it.
        end.receive(.request(3, EmbeddedService.echo.path))
        #expect(try end.sent().compactMap { try $0.statusMeta }.allSatisfy { $0.failure == nil })
        end.embedded.pass(milliseconds: 4999)
        #expect(try end.sent().isEmpty)
        end.embedded.pass(milliseconds: 1)
        #expect(try end.sent().compactMap { try $0.goAway?.lastStream } == [3])
        end.receive(.request(5, EmbeddedService.echo.path))
        #expect(try end.sent().compactMap { try $0.statusMeta?.failure?.reason } == ["DRAINING"])
        service.letGo()
        end.embedded.run()
        #expect(end.connection.openStreamCount == 0)
    }

    @Test func streamsTakeTurnsOfOneQuantum() throws {
        let service = EmbeddedService()
        service.replyBytes = 200_000
        let end = try EmbeddedEnd.server(service) { $0.limits.unsentBytesMax = 65_536 }
        end.isStalled = true
        end.receive(.request(1, EmbeddedService.hold.path), .request(3, EmbeddedService.hold.path))
        service.letGo()
        end.embedded.run()
        // A small answer waits for neither.
        end.receive(.request(5, EmbeddedService.echo.path))
        var frames: [WireFrame] = []
        for _ in 0..<40 {
            end.takeAll()
            end.isStalled = true
            frames += try end.sent()
        }
        let bulk = frames.filter { $0.type == .data }
        #expect(bulk.allSatisfy { $0.payload.count <= RPCLimits.quantumBytes })
        #expect(bulk.reduce(0) { $0 + $1.payload.count } == 400_000)
        let small = try #require(frames.firstIndex { $0.stream == 5 })
        #expect(frames[..<small].reduce(0) { $0 + $1.payload.count } <= 65_536 + RPCLimits.quantumBytes)
        // Once both have something to send neither sends twice in a row.
        let both = bulk.drop { $0.stream == 1 }.map(\.stream)
        #expect(zip(both, both.dropFirst()).prefix(8).allSatisfy { $0 != $1 }, "\(bulk.map(\.stream))")
    }
}
