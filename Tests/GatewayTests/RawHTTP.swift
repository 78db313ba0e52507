import Core
import NIOCore
import NIOPosix

/// A client that sends exactly the bytes it is told to and shows what comes back.
final class RawConnection: Sendable {
    struct Answer: Sendable {
        var status = 0
        var headers: [(name: String, value: String)] = []
        var body: [UInt8] = []

        subscript(name: String) -> String? { headers.first { $0.name == name.lowercased() }?.value }
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    struct Closed: Error {}

    private let channel: any Channel
    private let collector: Collector

    private init(channel: any Channel, collector: Collector) {
        self.channel = channel
        self.collector = collector
    }

    static func connect(_ address: SocketAddress, group: any EventLoopGroup, reads: Bool = true) async throws
        -> RawConnection
    {
        let loop = group.next()
        let collector = Collector(loop: loop)
        let channel = try await ClientBootstrap(group: loop)
            .channelOption(ChannelOptions.autoRead, value: reads)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(collector) }
            }
            .connect(to: address).get()
        return RawConnection(channel: channel, collector: collector)
    }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get() }

    func close() async { try? await channel.close().get() }

    /// Everything until the server closes.
    func readToEnd() async -> [UInt8] {
        var all: [UInt8] = []
        while let bytes = await collector.next() { all += bytes }
        return all
    }

    /// Reads until the bytes read so far satisfy `condition`; returns them.
    func read(until condition: (String) -> Bool) async throws -> String {
        var all: [UInt8] = []
        while true {
            guard let byte = try await collector.byte() else { throw Closed() }
            all.append(byte)
            if byte == 10, condition(String(decoding: all, as: UTF8.self)) {
                return String(decoding: all, as: UTF8.self)
            }
        }
    }

    /// One answer, framed by its headers.
    func answer(toHEAD: Bool = false) async throws -> Answer {
        var answer = Answer()
        repeat {
            let head = try await read { $0.hasSuffix("\r\n\r\n") }
            let lines = head.split(separator: "\r\n")
            answer = Answer(status: Int(lines[0].split(separator: " ")[1]) ?? 0)
            for line in lines.dropFirst() {
                let colon = line.firstIndex(of: ":") ?? line.endIndex
                answer.headers.append(
                    (line[..<colon].lowercased(), String(line[colon...].dropFirst().drop { $0 == " " })))
            }
        } while answer.status == 100
        if toHEAD { return answer }
        if let length = answer["content-length"].flatMap({ Int($0) }) {
            answer.body = try await bytes(length)
        } else if answer["transfer-encoding"] == "chunked" {
            while true {
                let line = try await read { $0.hasSuffix("\r\n") }
                let size = Int(line.dropLast(1), radix: 16) ?? 0
                answer.body += try await bytes(size)
                _ = try await read { $0.hasSuffix("\r\n") }
                if size == 0 { break }
            }
        } else if answer.status != 204 {
            while let byte = try await collector.byte() { answer.body.append(byte) }
        }
        return answer
    }

    private func bytes(_ count: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            guard let more = await collector.next(atMost: count - all.count) else { throw Closed() }
            all += more
        }
        return all
    }

    private final class Collector: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = ByteBuffer

        private let stream: AsyncStream<[UInt8]>
        private let continuation: AsyncStream<[UInt8]>.Continuation
        // Touched by the one task that reads.
        private var current: ArraySlice<UInt8> = []
        private var iterator: AsyncStream<[UInt8]>.Iterator

        init(loop: any EventLoop) {
            (stream, continuation) = AsyncStream.makeStream()
            iterator = stream.makeAsyncIterator()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            continuation.yield(Array(unwrapInboundIn(data).readableBytesView))
        }

        func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        func next(atMost count: Int = .max) async -> ArraySlice<UInt8>? {
            if current.isEmpty {
                guard let bytes = await iterator.next() else { return nil }
                current = bytes[...]
            }
            defer { current = current.dropFirst(count) }
            return current.prefix(count)
        }

        func byte() async throws -> UInt8? {
            if current.isEmpty {
                guard let bytes = await iterator.next() else { return nil }
                current = bytes[...]
            }
            return current.popFirst()
        }
    }
}
