import Foundation
import Glibc
import NIOCore
import NIOPosix
import RPC

/// Peers of a port with or without TLS that send bytes as they are.
enum PortPeer {
    /// Sends `bytes` to the server of `system` and returns all that it says until it closes.
    static func exchange(_ system: TLSSystem, host: String = "127.0.0.1", _ bytes: [UInt8]) async throws -> [UInt8] {
        let loop = system.runtime.group.next()
        let collected = loop.makePromise(of: [UInt8].self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(collected))
                }
            }
            .connect(host: host, port: system.port).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        return try await collected.futureResult.get()
    }

    /// A connection on which `bytes` were sent and that stays open.
    static func open(_ system: TLSSystem, _ bytes: [UInt8]) async throws -> any Channel {
        let channel = try await ClientBootstrap(group: system.runtime.group)
            .connect(host: "127.0.0.1", port: system.port).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        return channel
    }

    /// An address of this machine that is not loopback, IPv4; nil when it has none.
    static let outsideAddress: String? = {
        let devices = (try? System.enumerateDevices()) ?? []
        return devices.lazy.compactMap(\.address).first { address in
            if case .v4 = address { !address.isLoopback } else { false }
        }?.ipAddress
    }()

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let promise: EventLoopPromise<[UInt8]>
        private var bytes: [UInt8] = []

        init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += Array(unwrapInboundIn(data).readableBytesView)
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
        func channelInactive(context: ChannelHandlerContext) { promise.succeed(bytes) }
    }
}

/// `openssl s_server`: a server that does what ours would refuse to do.
final class OpenSSLServer: Sendable {
    let port: Int
    private let process: Process

    init(_ certificate: String, _ key: String) async throws {
        // Nobody else is likely to take the port between these lines and the next.
        let probe = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup).bind(host: "127.0.0.1", port: 0)
            .get()
        port = probe.localAddress?.port ?? 0
        try await probe.close()
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl", "s_server", "-accept", "127.0.0.1:\(port)", "-cert", certificate, "-key", key]
        let output = Pipe()
        process.standardInput = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        // It says ACCEPT when it listens.
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                var said = ""
                while !said.contains("ACCEPT") {
                    let part = output.fileHandleForReading.availableData
                    if part.isEmpty { break }
                    said += String(decoding: part, as: UTF8.self)
                }
                continuation.resume()
            }
        }
    }

    /// It was started with signals blocked, and would not see a gentler one.
    func stop() { kill(process.processIdentifier, SIGKILL) }
}
