import Core
import NIOCore
import RPC
import TestProtos
import Testing

/// A server with the control service and a client of it, over a chosen transport and with chosen bytes on the wire.
struct ControlSystem {
    /// What the same behaviour is tested with.
    struct Setup: Sendable, CustomTestStringConvertible {
        let transport: TestSystem.Transport
        /// Compression always and checksums, in both directions.
        let isWrapped: Bool

        static let all = TestSystem.Transport.allCases.flatMap { transport in
            [false, true].map { Setup(transport: transport, isWrapped: $0) }
        }

        var options: WireOptions {
            var options = WireOptions()
            options.compression = isWrapped ? .always : .never
            options.checksums = isWrapped
            return options
        }

        var testDescription: String { transport.rawValue + (isWrapped ? ", compressed, checksums" : "") }
    }

    let runtime: RPCRuntime
    let server: RPCServer
    let client: RPCClient
    let board: ControlBoard
    let port: Int

    var control: ControlClient { ControlClient(client) }

    /// - Parameter limits: of both ends.
    static func with<T>(
        _ setup: Setup, limits: RPCLimits = RPCLimits(), credential: String = "",
        _ body: (ControlSystem) async throws -> T
    ) async throws -> T {
        let runtime = RPCRuntime(threads: 1)
        let board = ControlBoard()
        var router = ServiceRouter()
        ControlService(board: board).register(in: &router)
        HealthServer { service in service.isEmpty ? HealthCheckResponse(status: .serving) : nil }.register(in: &router)
        var configuration = RPCServer.Configuration()
        configuration.limits = limits
        configuration.options = setup.options
        configuration.instance = "control"
        configuration.authenticator = ControlKeys()
        if setup.transport == .tls { configuration.tls = try TLSSystem.serverTLS() }
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        board.onDrain { Task { await server.shutdown(grace: .seconds(20)) } }
        let endpoint: Endpoint
        var port = 0
        switch setup.transport {
        case .inProcess: endpoint = .inProcess(server)
        case .tcp, .tls:
            port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
            endpoint =
                setup.transport == .tls ? .tls(host: "127.0.0.1", port: port) : .tcp(host: "127.0.0.1", port: port)
        case .unix:
            let path = "/tmp/acp-control-\(UUIDv7()).sock"
            try await server.start(unixPath: path)
            endpoint = .unix(path: path)
        }
        let tls = setup.transport == .tls ? try TLSSystem.clientTLS() : ClientTLS()
        let client = client(
            runtime, endpoint, options: setup.options, limits: limits, credential: credential, tls: tls)
        let system = ControlSystem(runtime: runtime, server: server, client: client, board: board, port: port)
        let result: Result<T, any Error>
        do { result = .success(try await body(system)) } catch { result = .failure(error) }
        board.release()
        await client.shutdown()
        await server.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
        return try result.get()
    }

    static func client(
        _ runtime: RPCRuntime, _ endpoint: Endpoint, options: WireOptions = WireOptions(),
        limits: RPCLimits = RPCLimits(), credential: String = "", tls: ClientTLS = ClientTLS()
    ) -> RPCClient {
        var configuration = RPCClient.Configuration()
        configuration.limits = limits
        configuration.options = options
        configuration.credential = credential
        configuration.tls = tls
        return RPCClient(runtime: runtime, endpoint: endpoint, configuration: configuration)
    }

    /// Keys `viewer`, `analyst` and `admin` have those roles.
    private struct ControlKeys: Authenticator {
        func authenticate(_ credential: String) async throws -> Principal {
            guard let role = Role(name: credential) else {
                throw Failure(.unauthenticated, reason: "UNKNOWN_KEY", "The key is not known.")
            }
            return Principal(id: UUIDv7(), name: credential, role: role)
        }
    }
}
