import Core
import NIOCore
import TestProtos
import Testing

@testable import RPC

/// gRPC's client_compressed and server_compressed, looked at on the wire: what should be compressed is, and what should not is not.
@Suite(.timeLimit(.minutes(1))) struct WireFormTests {
    /// A client of `system` whose bytes pass through a tap.
    private func with(
        _ isWrapped: Bool, _ body: (ControlClient, WireTap) async throws -> Void
    ) async throws {
        let setup = ControlSystem.Setup(transport: .tcp, isWrapped: isWrapped)
        try await ControlSystem.with(setup) { system in
            let tap = try await WireTap.start(system.runtime.group, to: system.port)
            let client = ControlSystem.client(
                system.runtime, .tcp(host: "127.0.0.1", port: tap.port), options: setup.options)
            try await body(ControlClient(client), tap)
            await client.shutdown()
            await tap.stop()
        }
    }

    private func call(_ control: ControlClient, _ bytes: Int, isRandom: Bool = false) async throws {
        let payload = ControlPayload.make(bytes, isRandom: isRandom)
        let reply = try await control.unary(.init(payload: payload, echo: true))
        #expect(reply.payload == payload)
        // As streams, in both directions.
        let echoed = try await control.bidi { requests, replies in
            try await requests.write(.init(payload: payload, echo: true))
            let reply = try await replies.next()
            try await requests.finish()
            while try await replies.next() != nil {}
            return reply
        }
        #expect(echoed?.payload == payload)
    }

    /// Frames of a direction that came after those which were there `before`.
    private func frames(_ tap: WireTap, _ direction: WireTap.Direction, after before: [[WireFrame]]) throws
        -> [WireFrame]
    {
        try tap.frames(direction).enumerated().flatMap { index, frames in
            frames.dropFirst(index < before.count ? before[index].count : 0)
        }
    }

    private func messages(_ frames: [WireFrame]) -> [WireFrame] {
        frames.filter { [.request, .data, .status].contains($0.type) && !$0.payload.isEmpty }
    }

    @Test func largeMessagesAreCompressedInBothDirectionsAndAllFramesChecked() async throws {
        try await with(true) { control, tap in
            // The first call brings HELLO, which says that compression is understood.
            try await call(control, 1)
            let (upBefore, downBefore) = (try tap.frames(.up), try tap.frames(.down))
            try await call(control, 100_000)
            for (direction, before) in [(WireTap.Direction.up, upBefore), (.down, downBefore)] {
                let frames = try frames(tap, direction, after: before)
                let payload = messages(frames).filter { $0.flags.contains(.zstd) }
                #expect(payload.count >= 2, "a call and a stream, \(direction): \(frames.map(\.description))")
                let bytes = payload.reduce(0) { $0 + $1.payload.count }
                #expect(bytes < 20_000, "\(direction): \(bytes) bytes for two of 100,000")
                for frame in payload where frame.flags.contains(.endMessage) || frame.type == .data {
                    // Little-endian 0xFD2FB528: a zstd frame, RFC 8878.
                    #expect(Array(frame.payload.prefix(4)) == [0x28, 0xB5, 0x2F, 0xFD])
                }
                #expect(frames.allSatisfy { $0.flags.contains(.crc32c) }, "\(direction)")
            }
        }
    }

    @Test func whatDoesNotShrinkAndWhatIsSmallGoesAsItIs() async throws {
        try await with(true) { control, tap in
            try await call(control, 1)
            let before = try tap.frames(.up)
            try await call(control, 100_000, isRandom: true)
            try await call(control, 500)
            let frames = messages(try frames(tap, .up, after: before))
            #expect(!frames.isEmpty && frames.allSatisfy { !$0.flags.contains(.zstd) })
        }
    }

    @Test func whoDoesNotWantItGetsNeitherCompressionNorChecksums() async throws {
        try await with(false) { control, tap in
            try await call(control, 100_000)
            let frames = try (tap.frames(.up) + tap.frames(.down)).flatMap { $0 }
            #expect(frames.contains { $0.payload.count > 10_000 })
            #expect(frames.allSatisfy { $0.flags.isDisjoint(with: [.zstd, .crc32c]) })
        }
    }
}
