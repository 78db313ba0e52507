import NIOCore
import NIOPosix
import RPC

/// Bytes of one's own against a real port: what a broken or hostile peer may send.
enum RawPeer {
    static let preface: [UInt8] = [0xAC, 0x41, 0x43, 0x50, 0x0D, 0x0A, 1, 0]
    static let emptyHello: [UInt8] = frame(0)

    static func frame(
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
    static let echoMeta: [UInt8] = [0x0A, 18] + Array("/test.Control/Echo".utf8)

    /// Sends `parts` one write each and returns everything the server says until it closes or
    /// `times` frames of type `last` are there. `finish` closes our side after the last write.
    static func exchange(
        _ system: TestSystem, _ parts: [[UInt8]], until last: UInt8? = nil, times: Int = 1, finish: Bool = false
    )
        async throws -> [UInt8]
    {
        let loop = system.runtime.group.next()
        let collected = loop.makePromise(of: [UInt8].self)
        let channel = try await ClientBootstrap(group: loop)
            .channelOption(ChannelOptions.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(collected, until: last, times: times))
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
        private let times: Int

        init(_ promise: EventLoopPromise<[UInt8]>, until last: UInt8?, times: Int) {
            self.promise = promise
            self.last = last
            self.times = times
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += Array(unwrapInboundIn(data).readableBytesView)
            if let last, RawPeer.types(bytes).count(where: { $0 == last }) >= times { context.close(promise: nil) }
        }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) { context.close(promise: nil) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
        func channelInactive(context: ChannelHandlerContext) { promise.succeed(bytes) }
    }

    static func types(_ bytes: [UInt8]) -> [UInt8] {
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
}
