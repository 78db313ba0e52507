import Glibc

/// Our peer of `dev/bench rpc`: two processes, one server loop and one client loop.
///
///     RPCBench server                                          prints its port; serves until its input ends
///     RPCBench client PORT SERVER_PID SCENARIO IN_FLIGHT SECONDS
///
/// Scenarios are echo, search, latency, stream, idle and stall. A client prints one line of JSON.
@main
struct RPCBench {
    static func main() async throws {
        // A peer that goes away is an error of the write, not of the process.
        signal(SIGPIPE, SIG_IGN)
        let arguments = CommandLine.arguments
        if arguments.count == 2, arguments[1] == "server" {
            try await BenchServer.run()
        } else if let settings = ClientSettings(arguments) {
            try await BenchClient.run(settings)
        } else {
            print("usage: RPCBench server | RPCBench client PORT SERVER_PID SCENARIO IN_FLIGHT SECONDS")
            exit(64)
        }
    }
}

struct ClientSettings: Sendable {
    var port: Int
    var server: pid_t
    var scenario: String
    var inFlight: Int
    var seconds: Double

    init?(_ arguments: [String]) {
        guard arguments.count == 7, arguments[1] == "client", let port = Int(arguments[2]),
            let server = pid_t(arguments[3]), let inFlight = Int(arguments[5]), let seconds = Double(arguments[6])
        else { return nil }
        self.port = port
        self.server = server
        scenario = arguments[4]
        self.inFlight = inFlight
        self.seconds = seconds
    }
}
