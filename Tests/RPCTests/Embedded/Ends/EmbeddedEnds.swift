import Core
import NIOCore
import NIOEmbedded

@testable import RPC

extension EmbeddedEnd where End == ServerConnection {
    /// A server's end that has sent its HELLO; the test is the client. `greets` sends the client's preface and HELLO.
    static func server(
        _ configuration: RPCServer.Configuration = RPCServer.Configuration(), router: ServiceRouter,
        on embedded: EmbeddedLoop = EmbeddedLoop(), greets: Bool = true, hello: WireFrame = .hello()
    ) throws -> EmbeddedEnd {
        let shared = RPCServer.Shared(router: router, configuration: configuration)
        let connection = ServerConnection(
            server: shared, loopContext: embedded.context, loop: embedded.loop, peerAddress: "simulated")
        shared.connections.insert(connection)
        let end = try EmbeddedEnd(connection, on: embedded, prefaceBytes: 0)
        if greets {
            end.receivePreface()
            end.receive(hello)
            _ = try end.sent()
        }
        return end
    }

    /// The same with the handlers of `service` and what `change` makes of the usual configuration.
    static func server(
        _ service: EmbeddedService = EmbeddedService(), _ change: (inout RPCServer.Configuration) -> Void = { _ in },
        hello: WireFrame = .hello()
    ) throws -> EmbeddedEnd {
        var configuration = RPCServer.Configuration()
        change(&configuration)
        return try server(configuration, router: service.router, hello: hello)
    }

    func receivePreface() {
        var bytes = ByteBuffer()
        Preface.write(to: &bytes)
        receive(bytes)
    }
}

extension EmbeddedEnd where End == ClientConnection {
    /// A client's end that has sent preface and HELLO; the test is the server.
    static func client(
        limits: RPCLimits = RPCLimits(), options: WireOptions = WireOptions(),
        on embedded: EmbeddedLoop = EmbeddedLoop(), greets: Bool = true, hello: WireFrame = .hello()
    ) throws -> EmbeddedEnd {
        let connection = ClientConnection(
            limits: limits, options: options, loopContext: embedded.context, loop: embedded.loop, credential: "",
            onEvent: { _ in })
        let end = try EmbeddedEnd(connection, on: embedded, prefaceBytes: Preface.bytes)
        if greets {
            end.receive(hello)
            _ = try end.sent()
        }
        return end
    }
}
