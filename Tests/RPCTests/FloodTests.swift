import Core
import NIOCore
import Testing

@testable import RPC

/// Peers that keep a server busy without work, or hand it little that becomes much. Others must not notice.
@Suite struct FloodTests {
    private static func request(_ stream: UInt32, _ payload: [UInt8] = [], flags: UInt8 = 3) -> [UInt8] {
        RawPeer.frame(1, flags: flags, stream: stream, meta: RawPeer.echoMeta, payload: payload)
    }

    private static let start = RawPeer.preface + RawPeer.emptyHello

    /// The kind of frame, and one more of it than its budget allows.
    static let floods: [(String, [UInt8])] = [
        ("PING", (0...100).flatMap { _ in RawPeer.frame(7, payload: Array(repeating: 1, count: 8)) }),
        ("PONG", (0...100).flatMap { _ in RawPeer.frame(8, payload: Array(repeating: 1, count: 8)) }),
        ("WINDOW", (0...2000).flatMap { _ in RawPeer.frame(6, payload: [0, 0, 0, 1]) }),
        ("ignorable", (0...1000).flatMap { _ in RawPeer.frame(0x80) }),
        ("empty DATA", request(1, flags: 16) + (0...1000).flatMap { _ in RawPeer.frame(3, stream: 1) }),
        // Opened and cancelled in turn: more than half of what was opened.
        (
            "CANCEL",
            (0...200).flatMap { index -> [UInt8] in
                let stream = UInt32(index) * 2 + 1
                return request(stream, flags: 16) + RawPeer.frame(5, stream: stream)
            }
        ),
    ]

    @Test(arguments: floods.indices)
    func aFloodEndsTheConnectionAndNothingElse(_ index: Int) async throws {
        let (name, bytes) = Self.floods[index]
        try await TestSystem.with(.tcp) { system in
            let answer = try await RawPeer.exchange(system, [Self.start + bytes])
            #expect(RawPeer.types(answer).last == 9, "\(name) must end with GOAWAY")
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, RPCTests.bytes(5))
            #expect(reply.bytes.readableBytes == 5)
        }
    }

    @Test(arguments: floods.indices)
    func whatTheBudgetAllowsIsTaken(_ index: Int) async throws {
        // All but the last frame of the flood, then a call.
        let (name, bytes) = Self.floods[index]
        var frames: [[UInt8]] = []
        var rest = bytes[...]
        while rest.count >= 12 {
            let length = rest.dropFirst(0).prefix(4).reduce(0) { $0 << 8 | Int($1) }
            frames.append(Array(rest.prefix(12 + length)))
            rest = rest.dropFirst(12 + length)
        }
        let allowed = frames.dropLast().flatMap { $0 }
        try await TestSystem.with(.tcp) { system in
            let call = Self.start + allowed + Self.request(1001, Array("hi".utf8))
            // Every cancelled call has its status too.
            let statuses = 1 + frames.dropLast().count { $0[4] == 5 }
            let answer = try await RawPeer.exchange(system, [call], until: 4, times: statuses)
            #expect(!RawPeer.types(answer).contains(9), "\(name) within its budget must not end the connection")
            #expect(
                RawPeer.types(answer).count { $0 == 4 } == statuses, "\(name): the call after it must be answered")
        }
    }

    @Test func connectionsBeyondTheLimitAreTold() async throws {
        let runtime = RPCRuntime(threads: 1)
        var configuration = RPCServer.Configuration()
        configuration.connectionsMax = 3
        let server = RPCServer(
            runtime: runtime, router: TestSystem.router(TestSystem.Observed()), configuration: configuration)
        let port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
        var clients: [RPCClient] = []
        for _ in 0..<3 {
            let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
            let _: RawMessage = try await client.unary(TestSystem.echo, RPCTests.bytes(1))
            clients.append(client)
        }
        let system = TestSystem(runtime: runtime, server: server, client: clients[0], port: port)
        let answer = try await RawPeer.exchange(system, [Self.start])
        #expect(String(decoding: answer, as: UTF8.self).contains("all the 3 connections"))
        let reply: RawMessage = try await clients[2].unary(TestSystem.echo, RPCTests.bytes(2))
        #expect(reply.bytes.readableBytes == 2)
        for client in clients { await client.shutdown() }
        await server.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
    }

    @Test func aZstdBombFailsTheCallBeforeItIsUnpacked() async throws {
        // What `zstd` makes of 3 MiB of zeros, content size declared: within the message limit when unpacked, far beyond the ratio.
        let bomb = Self.zeros(3 << 20)
        try await TestSystem.with(.tcp) { system in
            let frame = Self.request(1, bomb, flags: 7)
            let answer = try await RawPeer.exchange(system, [Self.start + frame], until: 4)
            #expect(String(decoding: answer, as: UTF8.self).contains("TOO_LARGE"))
            #expect(!RawPeer.types(answer).contains(9))
        }
    }

    /// A zstd frame (RFC 8878) of `count` zeros: single segment, 4-byte content size, blocks of one repeated byte.
    private static func zeros(_ count: Int) -> [UInt8] {
        var frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xA0]
        withUnsafeBytes(of: UInt32(count).littleEndian) { frame += Array($0) }
        var left = count
        while left > 0 {
            let size = min(left, 128 << 10)
            left -= size
            // Block header: last, type 1 (RLE), size; then the byte.
            let header = UInt32(size) << 3 | 1 << 1 | (left == 0 ? 1 : 0)
            frame += [UInt8(header & 255), UInt8(header >> 8 & 255), UInt8(header >> 16 & 255), 0]
        }
        return frame
    }

    @Test func theFramesOfTheseTestsAreRealOnes() throws {
        let message = try MessageCompressor().decompress(
            ByteBuffer(bytes: Self.zeros(2000)), messageBytesMax: 2000)
        #expect(message == ByteBuffer(repeating: 0, count: 2000))
    }

    @Test func whatWouldLookLikeABombIsSentAsItIs() {
        #expect(MessageCompressor().compress(ByteBuffer(repeating: 0, count: 3 << 20)) == nil)
    }

    @Test(arguments: [[], [1, 2, 3], [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x00]] as [[UInt8]])
    func compressedBytesThatAreNoneFailTheCall(_ junk: [UInt8]) async throws {
        try await TestSystem.with(.tcp) { system in
            let calls = Self.request(1, junk, flags: 7) + Self.request(3, Array("hi".utf8))
            let answer = try await RawPeer.exchange(system, [Self.start + calls], until: 4, times: 2)
            #expect(String(decoding: answer, as: UTF8.self).contains("BAD_COMPRESSION"))
            #expect(RawPeer.types(answer).filter { $0 == 4 }.count == 2)
        }
    }

    @Test func amplifyingMessagesAreRefusedAtTheirBudget() throws {
        // An empty repeated message takes two bytes on the wire and a struct of many in memory.
        var hits = ByteBuffer()
        for _ in 0..<30_000 { hits.writeBytes([0x0A, 0]) }
        let refused = ClosureResult { try SearchResponse.decode(hits, limits: DecodeLimits(unpackedBytesMax: 1 << 20)) }
        #expect(refused.failure?.reason == Failure.tooLarge)
        let taken = try SearchResponse.decode(hits)
        #expect(taken.hits.count == 30_000)
    }

    /// What a closure threw, if it did.
    private struct ClosureResult {
        var failure: Failure?

        init<T>(_ body: () throws -> T) {
            do { _ = try body() } catch { failure = Failure(wrapping: error) }
        }
    }
}
