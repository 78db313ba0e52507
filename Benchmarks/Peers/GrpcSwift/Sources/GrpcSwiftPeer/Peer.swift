import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Glibc
import NIOPosix

/// grpc-swift-2's peer of `dev/bench rpc`: two processes, one event loop each; handlers and calls run where grpc-swift puts them,
/// on the global executor.
///
///     GrpcSwiftPeer server
///     GrpcSwiftPeer client PORT SERVER_PID echo|search|latency IN_FLIGHT SECONDS
@main
struct Peer {
    static func main() async throws {
        let arguments = CommandLine.arguments
        if arguments.count == 2, arguments[1] == "server" {
            try await serve()
        } else if arguments.count == 7, arguments[1] == "client", let port = Int(arguments[2]),
            let server = pid_t(arguments[3]), let inFlight = Int(arguments[5]), let seconds = Double(arguments[6])
        {
            let settings = PeerSettings(
                port: port, server: server, scenario: arguments[4], inFlight: inFlight, seconds: seconds)
            try await call(settings)
        } else {
            print("usage: GrpcSwiftPeer server | client PORT SERVER_PID echo|search|latency IN_FLIGHT SECONDS")
            exit(64)
        }
    }

    private static func serve() async throws {
        let transport = HTTP2ServerTransport.Posix(
            address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: .plaintext,
            eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 1))
        let server = GRPCServer(transport: transport, services: [PeerService()])
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await server.serve() }
            print(try await transport.listeningAddress.ipv4?.port ?? 0)
            fflush(nil)
            while readLine() != nil {}
            server.beginGracefulShutdown()
        }
    }

    private static func call(_ settings: PeerSettings) async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: "127.0.0.1", port: settings.port), transportSecurity: .plaintext,
            eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 1))
        try await withGRPCClient(transport: transport) { client in
            try await PeerClient(settings: settings, bench: Acp_Bench_V1_Bench.Client(wrapping: client)).run()
        }
    }
}

struct PeerSettings: Sendable {
    var port: Int
    var server: pid_t
    var scenario: String
    var inFlight: Int
    var seconds: Double
}
