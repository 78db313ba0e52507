import RPC

/// Unary echo of 64 bytes over loopback TCP: one server loop, one client loop, one connection, 64 calls in flight, async handlers.
///
/// Prints JSON: calls per second of each round and their median.
@main
struct RPCBench {
    static let echo = MethodDescriptor(
        path: "/bench.Echo/Echo", service: "bench.Echo", name: "Echo", requestType: "acp.v1.SearchRequest",
        responseType: "acp.v1.SearchRequest", clientStreaming: false, serverStreaming: false, access: .open,
        idempotent: true,
        uploadStartField: "", uploadDataField: "", httpRules: [])
    static let inFlight = 64
    static let callsPerWorker = 10_000
    static let rounds = 5

    static func main() async throws {
        let serverRuntime = RPCRuntime(threads: 1)
        let clientRuntime = RPCRuntime(threads: 1)
        var router = ServiceRouter()
        router.unary(echo) { (request: SearchRequest, _) in request }
        let server = RPCServer(runtime: serverRuntime, router: router)
        let address = try await server.start(host: "127.0.0.1", port: 0)
        let client = RPCClient(runtime: clientRuntime, endpoint: .tcp(host: "127.0.0.1", port: address.port ?? 0))
        // 62 bytes of text are a message of 64 bytes.
        let request = SearchRequest(query: String(repeating: "q", count: 62))
        let executor = clientRuntime.executor(of: clientRuntime.group.next())
        _ = try await round(client, request, executor, calls: 1000)
        var rates: [Double] = []
        for _ in 0..<rounds { rates.append(try await round(client, request, executor, calls: callsPerWorker)) }
        let median = rates.sorted()[rates.count / 2]
        let list = rates.map { String(Int($0)) }.joined(separator: ", ")
        print(
            "{\"benchmark\": \"rpc-echo-64B\", \"in_flight\": \(inFlight), \"calls_per_second\": [\(list)], \"median\": \(Int(median))}"
        )
        await client.shutdown()
        await server.shutdown(grace: .milliseconds(100))
        await clientRuntime.shutdown()
        await serverRuntime.shutdown()
    }

    static func round(_ client: RPCClient, _ request: SearchRequest, _ executor: LoopExecutor, calls: Int) async throws
        -> Double
    {
        let clock = ContinuousClock()
        let start = clock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<inFlight {
                group.addTask(executorPreference: executor) {
                    for _ in 0..<calls {
                        let reply: SearchRequest = try await client.unary(echo, request)
                        precondition(reply == request, "the echo is not the request")
                    }
                }
            }
            try await group.waitForAll()
        }
        let elapsed = start.duration(to: clock.now)
        return Double(inFlight * calls)
            / (Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18)
    }
}
