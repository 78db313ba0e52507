import Core
import NIOCore
import NIOPosix
import RPC
import Synchronization
import Testing

/// Raw bytes against a real port: what a broken or hostile peer may do.
@Suite struct HostilePeerTests {
    private static let preface: [UInt8] = [0xAC, 0x41, 0x43, 0x50, 0x0D, 0x0A, 1, 0]
    private static let emptyHello: [UInt8] = frame(0)

    private static func frame(
        _ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, meta: [UInt8] = [], payload: [UInt8] = []
    )
        -> [UInt8]
    {
        let length = UInt32(meta.count + payload.count)
        var bytes = ByteBuffer()
        bytes.writeInteger(length)
        bytes.writeInteger(type)
        bytes.writeInteger(flags)
        bytes.writeInteger(UInt16(meta.count))
        bytes.writeInteger(stream)
        bytes.writeBytes(meta)
        bytes.writeBytes(payload)
        return Array(bytes.readableBytesView)
    }

    /// REQUEST meta with only the path `/test.Control/Echo`.
    private static let echoMeta: [UInt8] = [0x0A, 18] + Array("/test.Control/Echo".utf8)

    /// Sends `parts` one write each and returns everything the server says until it closes or
    /// a frame of type `last` is there. `finish` closes our side after the last write.
    private func exchange(_ system: TestSystem, _ parts: [[UInt8]], until last: UInt8? = nil, finish: Bool = false)
        async throws -> [UInt8]
    {
        let loop = system.runtime.group.next()
        let collected = loop.makePromise(of: [UInt8].self)
        let channel = try await ClientBootstrap(group: loop)
            .channelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(collected, until: last))
                }
            }
            .connect(host: "127.0.0.1", port: system.port).get()
        // The server may have closed already; what it said is what counts.
        for part in parts { try? await channel.writeAndFlush(ByteBuffer(bytes: part)) }
        if finish { try? await channel.close(mode: .output) }
        return try await collected.futureResult.get()
    }

    /// Everything that arrives until the end.
    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let promise: EventLoopPromise<[UInt8]>
        private var bytes: [UInt8] = []

        private let last: UInt8?

        init(_ promise: EventLoopPromise<[UInt8]>, until last: UInt8?) {
            self.promise = promise
            self.last = last
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += Array(unwrapInboundIn(data).readableBytesView)
            if let last, HostilePeerTests.types(bytes).contains(last) { context.close(promise: nil) }
        }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) { context.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
        func channelInactive(context: ChannelHandlerContext) { promise.succeed(bytes) }
    }

    fileprivate static func types(_ bytes: [UInt8]) -> [UInt8] {
        var types: [UInt8] = []
        var rest = bytes[...]
        while rest.count >= 12 {
            let header = Array(rest.prefix(12))
            let length = Int(header[0]) << 24 | Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
            guard rest.count >= 12 + length else { break }
            types.append(header[4])
            rest = rest.dropFirst(12 + length)
        }
        return types
    }

    @Test func aWholeCallChoppedAtEveryByteIsAnswered() async throws {
        try await TestSystem.with(.tcp) { system in
            let call =
                Self.preface + Self.emptyHello
                + Self.frame(1, flags: 3, stream: 1, meta: Self.echoMeta, payload: Array("hello".utf8))
            for cut in 1..<call.count {
                let answer = try await exchange(system, [Array(call[..<cut]), Array(call[cut...])], until: 4)
                #expect(Self.types(answer) == [0, 4], "cut at \(cut)")
            }
        }
    }

    @Test(
        arguments: [
            ("a frame before HELLO", preface + frame(1, flags: 3, stream: 1, meta: echoMeta)),
            ("an oversized frame", preface + [0x7F, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0, 0, 0, 1]),
            ("meta longer than the frame", preface + emptyHello + [0, 0, 0, 1, 1, 0, 0, 2, 0, 0, 0, 1, 0]),
            ("an unknown frame type", preface + emptyHello + frame(0x55)),
            ("flags nobody negotiated", preface + emptyHello + frame(1, flags: 0x44, stream: 1, meta: echoMeta)),
            ("an even stream", preface + emptyHello + frame(1, flags: 3, stream: 2, meta: echoMeta)),
            (
                "a stream used twice",
                preface + emptyHello + frame(1, flags: 3, stream: 1, meta: echoMeta)
                    + frame(1, flags: 3, stream: 1, meta: echoMeta)
            ),
            ("data for no stream", preface + emptyHello + frame(3, stream: 9, payload: [1])),
            ("a second HELLO", preface + emptyHello + emptyHello),
            ("a HELLO that is junk", preface + frame(0, meta: [0xFF, 0xFF])),
            ("a WINDOW of zero", preface + emptyHello + frame(6, payload: [0, 0, 0, 0])),
            ("a WINDOW that overflows", preface + emptyHello + frame(6, payload: [0x7F, 0xFF, 0xFF, 0xFF])),
            ("another major version", [0xAC, 0x41, 0x43, 0x50, 0x0D, 0x0A, 9, 0]),
            ("a translated line ending", [0xAC, 0x41, 0x43, 0x50, 0x0A, 0x0A, 1, 0]),
        ] as [(String, [UInt8])])
    func brokenPeersAreToldAndClosed(_ name: String, _ sent: [UInt8]) async throws {
        try await TestSystem.with(.tcp) { system in
            let answer = try await exchange(system, [sent])
            #expect(Self.types(answer).last == 9, "\(name) must end with GOAWAY")
            // Others are served as before.
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(5))
            #expect(reply.bytes.readableBytes == 5)
        }
    }

    @Test func frameTypesWithBit7AreIgnored() async throws {
        try await TestSystem.with(.tcp) { system in
            let call =
                Self.preface + Self.emptyHello + Self.frame(0x85, payload: [1, 2, 3])
                + Self.frame(1, flags: 3, stream: 1, meta: Self.echoMeta)
            let answer = try await exchange(system, [call], until: 4)
            #expect(Self.types(answer).contains(4))
        }
    }

    @Test func anythingElseGetsAReadableAnswer() async throws {
        try await TestSystem.with(.tcp) { system in
            let answer = try await exchange(system, [[0x16, 0x03, 0x01, 0x02]])
            #expect(String(decoding: answer, as: UTF8.self).contains("ACP/1"))
        }
    }

    @Test func dataBeyondTheWindowIsAViolation() async throws {
        var limits = RPCLimits()
        limits.streamWindowBytes = 10_000
        try await TestSystem.with(.tcp, limits: limits) { system in
            let meta: [UInt8] = [0x0A, 24] + Array("/test.Control/SlowReader".utf8)
            let call =
                Self.preface + Self.emptyHello + Self.frame(1, flags: 16, stream: 1, meta: meta)
                + Self.frame(3, flags: 1, stream: 1, payload: Array(repeating: 0, count: 5000))
                + Self.frame(3, flags: 1, stream: 1, payload: Array(repeating: 0, count: 9000))
                + Self.frame(3, flags: 1, stream: 1, payload: Array(repeating: 0, count: 9000))
            let answer = try await exchange(system, [call])
            #expect(Self.types(answer).last == 9)
        }
    }

    @Test(arguments: [UInt64(1), 2, 3, 4])
    func randomBytesNeverStopTheServer(_ seed: UInt64) async throws {
        var generator = SeededGenerator(seed: seed)
        try await TestSystem.with(.tcp) { system in
            for _ in 0..<50 {
                var junk = Self.preface + Self.emptyHello
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    var part = Self.frame(
                        UInt8.random(in: 0...10, using: &generator), flags: UInt8.random(in: 0...31, using: &generator),
                        stream: UInt32.random(in: 0...5, using: &generator), meta: Self.echoMeta,
                        payload: (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                            .random(in: 0...255, using: &generator)
                        })
                    if Bool.random(using: &generator) {
                        part[Int.random(in: 0..<part.count, using: &generator)] = .random(
                            in: 0...255, using: &generator)
                    }
                    junk += part
                }
                _ = try await exchange(system, [junk], finish: true)
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
