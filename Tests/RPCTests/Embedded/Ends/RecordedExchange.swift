import Core
import NIOCore

@testable import RPC

/// The bytes that a real client and a real server exchange for one call, and what came of it.
struct RecordedExchange {
    typealias Kind = EmbeddedCall.Kind

    /// What both ends do with their bytes beyond framing them.
    enum Wire: String, CaseIterable, Sendable {
        case plain, checked, compressed

        var options: WireOptions {
            var options = WireOptions()
            options.checksums = self == .checked
            options.compression = self == .compressed ? .always : .never
            return options
        }
    }

    /// Frames small enough that large messages take several.
    static let limits: RPCLimits = {
        var limits = RPCLimits()
        limits.frameBytesMax = 1024
        return limits
    }()

    private(set) var fromClient = ByteBuffer()
    private(set) var fromServer = ByteBuffer()
    let messages: [ByteBuffer]

    static func server(_ wire: Wire) throws -> EmbeddedEnd<ServerConnection> {
        var configuration = RPCServer.Configuration()
        configuration.limits = limits
        configuration.options = wire.options
        return try .server(configuration, router: EmbeddedService().router, greets: false)
    }

    static func client(_ wire: Wire) throws -> EmbeddedEnd<ClientConnection> {
        try .client(limits: limits, options: wire.options, greets: false)
    }

    init(_ kind: Kind, _ wire: Wire = .plain) throws {
        let server = try Self.server(wire)
        let client = try Self.client(wire)
        var call: EmbeddedCall?
        while true {
            let up = client.takeBytes()
            fromClient.writeImmutableBuffer(up)
            if up.readableBytes > 0 { server.receive(up) }
            let down = server.takeBytes()
            fromServer.writeImmutableBuffer(down)
            if down.readableBytes > 0 { client.receive(down) }
            guard up.readableBytes == 0, down.readableBytes == 0 else { continue }
            // Once both have greeted.
            if call != nil { break }
            call = EmbeddedCall(client, kind)
        }
        guard case .success(let messages) = call?.result else {
            throw Failure(.internalError, "the call to record has failed: \(String(describing: call?.failure))")
        }
        self.messages = messages
        for end in [client.lose, server.lose] { end() }
        client.embedded.pass(milliseconds: 31_000)
        server.embedded.pass(milliseconds: 31_000)
    }
}
