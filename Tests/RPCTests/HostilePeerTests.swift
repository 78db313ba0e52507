import Core
import NIOCore
import RPC
import Synchronization
import Testing

/// Raw bytes against a real port: what a broken or hostile peer may do.
@Suite struct HostilePeerTests {
    @Test func aWholeCallChoppedAtEveryByteIsAnswered() async throws {
        try await TestSystem.with(.tcp) { system in
            let call =
                RawPeer.preface + RawPeer.emptyHello
                + RawPeer.frame(1, flags: 3, stream: 1, meta: RawPeer.echoMeta, payload: Array("hello".utf8))
            for cut in 1..<call.count {
                let answer = try await RawPeer.exchange(system, [Array(call[..<cut]), Array(call[cut...])], until: 4)
                #expect(RawPeer.types(answer) == [0, 4], "cut at \(cut)")
            }
        }
    }

    @Test(
        arguments: [
            ("a frame before HELLO", RawPeer.preface + RawPeer.frame(1, flags: 3, stream: 1, meta: RawPeer.echoMeta)),
            ("an oversized frame", RawPeer.preface + [0x7F, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 1]),
            (
                "meta longer than the frame",
                RawPeer.preface + RawPeer.emptyHello + [0, 0, 0, 1, 1, 0, 0, 2, 0, 0, 0, 1, 0]
            ),
            ("an unknown frame type", RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(0x55)),
            (
                "flags nobody negotiated",
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(1, flags: 0x44, stream: 1, meta: RawPeer.echoMeta)
            ),
            (
                "an even stream",
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(1, flags: 3, stream: 2, meta: RawPeer.echoMeta)
            ),
            (
                "a stream used twice",
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(1, flags: 3, stream: 1, meta: RawPeer.echoMeta)
                    + RawPeer.frame(1, flags: 3, stream: 1, meta: RawPeer.echoMeta)
            ),
            ("data for no stream", RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(3, stream: 9, payload: [1])),
            ("a second HELLO", RawPeer.preface + RawPeer.emptyHello + RawPeer.emptyHello),
            ("a HELLO that is junk", RawPeer.preface + RawPeer.frame(0, meta: [0xFF, 0xFF])),
            ("a WINDOW of zero", RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(6, payload: [0, 0, 0, 0])),
            (
                "a WINDOW that overflows",
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(6, payload: [0x7F, 0xFF, 0xFF, 0xFF])
            ),
            ("another major version", [0xAC, 0x41, 0x43, 0x50, 0x0D, 0x0A, 9, 0]),
            ("a translated line ending", [0xAC, 0x41, 0x43, 0x50, 0x0A, 0x0A, 1, 0]),
        ] as [(String, [UInt8])])
    func brokenPeersAreToldAndClosed(_ name: String, _ sent: [UInt8]) async throws {
        try await TestSystem.with(.tcp) { system in
            let answer = try await RawPeer.exchange(system, [sent])
            #expect(RawPeer.types(answer).last == 9, "\(name) must end with GOAWAY")
            // Others are served as before.
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(5))
            #expect(reply.bytes.readableBytes == 5)
        }
    }

    @Test func frameTypesWithBit7AreIgnored() async throws {
        try await TestSystem.with(.tcp) { system in
            let call =
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(0x85, payload: [1, 2, 3])
                + RawPeer.frame(1, flags: 3, stream: 1, meta: RawPeer.echoMeta)
            let answer = try await RawPeer.exchange(system, [call], until: 4)
            #expect(RawPeer.types(answer).contains(4))
        }
    }

    @Test func anythingElseGetsAReadableAnswer() async throws {
        try await TestSystem.with(.tcp) { system in
            let answer = try await RawPeer.exchange(system, [[0x16, 0x03, 0x01, 0x02]])
            #expect(String(decoding: answer, as: UTF8.self).contains("ACP/1"))
            // A client of gRPC begins like this.
            let http2 = try await RawPeer.exchange(system, [Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)])
            #expect(String(decoding: http2, as: UTF8.self).hasPrefix("HTTP/1.1 400"))
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(5))
            #expect(reply.bytes.readableBytes == 5)
        }
    }

    @Test func dataBeyondTheWindowIsAViolation() async throws {
        var limits = RPCLimits()
        // A peer may go by the default until it has read the server's HELLO.
        limits.streamWindowBytes = 10_000
        try await TestSystem.with(.tcp, limits: limits) { system in
            let meta: [UInt8] = [0x0A, 24] + Array("/test.Control/SlowReader".utf8)
            let part = RawPeer.frame(3, flags: 1, stream: 1, payload: Array(repeating: 0, count: 60_000))
            let call =
                RawPeer.preface + RawPeer.emptyHello + RawPeer.frame(1, flags: 16, stream: 1, meta: meta)
                + part + part + part + part + part + part
            let answer = try await RawPeer.exchange(system, [call])
            #expect(RawPeer.types(answer).last == 9)
        }
    }

    @Test(arguments: [UInt64(1), 2, 3, 4])
    func randomBytesNeverStopTheServer(_ seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        try await TestSystem.with(.tcp) { system in
            for _ in 0..<50 {
                var junk = RawPeer.preface + RawPeer.emptyHello
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    var part = RawPeer.frame(
                        UInt8.random(in: 0...10, using: &generator), flags: UInt8.random(in: 0...31, using: &generator),
                        stream: UInt32.random(in: 0...5, using: &generator), meta: RawPeer.echoMeta,
                        payload: (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                            .random(in: 0...255, using: &generator)
                        })
                    if Bool.random(using: &generator) {
                        part[Int.random(in: 0..<part.count, using: &generator)] = .random(
                            in: 0...255, using: &generator)
                    }
                    junk += part
                }
                _ = try await RawPeer.exchange(system, [junk], finish: true)
            }
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(5))
            #expect(reply.bytes.readableBytes == 5, "seed \(seed)")
        }
    }
}

/// SplitMix64: the same seed gives the same numbers on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
