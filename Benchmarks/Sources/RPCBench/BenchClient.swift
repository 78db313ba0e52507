import Core
import Glibc
import RPC

/// One client of one loop, one connection.
struct BenchClient: Sendable {
    let settings: ClientSettings
    let client: RPCClient
    let executor: LoopExecutor
    /// Every call has a deadline and, from the surrounding context, a trace.
    private let options = CallOptions(timeout: .seconds(10))
    private let context = CallContext(trace: .root(), requestID: "bench")
    /// 62 bytes of text are a message of 64 bytes.
    private let request = SearchRequest(query: String(repeating: "q", count: 62))

    static func run(_ settings: ClientSettings) async throws {
        let runtime = RPCRuntime(threads: 1)
        let client = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: settings.port))
        let bench = BenchClient(
            settings: settings, client: client, executor: runtime.executor(of: runtime.group.next()))
        let memory = MemoryScenarios(settings: settings, runtime: runtime, client: client)
        switch settings.scenario {
        case "idle": try await memory.idle()
        case "stall": try await memory.stall()
        default: try await bench.run()
        }
        await client.shutdown()
        await runtime.shutdown()
    }

    private init(settings: ClientSettings, client: RPCClient, executor: LoopExecutor) {
        self.settings = settings
        self.client = client
        self.executor = executor
    }

    private func run() async throws {
        switch settings.scenario {
        case "echo":
            try await throughput {
                let reply: SearchRequest = try await client.unary(BenchMethods.echo, request, options: options)
                return reply.query.utf8.count
            }
        case "search":
            try await throughput {
                let reply: SearchResponse = try await client.unary(BenchMethods.search, request, options: options)
                // A field of each hit.
                return reply.hits.reduce(0) { $0 + $1.text.utf8.count + Int($1.start) }
            }
        case "latency": try await latency()
        case "stream": try await stream()
        default:
            print("there is no scenario \(settings.scenario)")
            exit(64)
        }
    }

    // MARK: Throughput

    private func throughput(_ call: @escaping @Sendable () async throws -> Int) async throws {
        _ = try await round(settings.seconds / 5, call)
        let cpu = Clocks.cpu(with: settings.server)
        let start = Clocks.now()
        let (calls, checksum) = try await round(settings.seconds, call)
        let elapsed = Clocks.now() - start
        report(calls, elapsed, Clocks.cpu(with: settings.server) - cpu, bytes: 0, checksum)
    }

    /// Keeps `inFlight` calls running for `seconds`; returns how many finished and what the last one said.
    private func round(_ seconds: Double, _ call: @escaping @Sendable () async throws -> Int) async throws -> (Int, Int)
    {
        let end = Clocks.now() + UInt64(seconds * 1e9)
        return try await CallContext.$current.withValue(context) {
            try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                for _ in 0..<settings.inFlight {
                    group.addTask(executorPreference: executor) {
                        var calls = 0
                        var checksum = 0
                        repeat {
                            checksum = try await call()
                            calls += 1
                        } while Clocks.now() < end
                        return (calls, checksum)
                    }
                }
                return try await group.reduce((0, 0)) { ($0.0 + $1.0, $1.1) }
            }
        }
    }

    // MARK: Latency

    /// One call at a time, from the loop that the answers arrive on.
    private func latency() async throws {
        let seconds = settings.seconds
        let values = try await CallContext.$current.withValue(context) {
            try await withThrowingTaskGroup(of: [UInt64].self) { group in
                group.addTask(executorPreference: executor) {
                    _ = try await self.timed(seconds / 5)
                    return try await self.timed(seconds)
                }
                return try await group.next() ?? []
            }
        }
        let sorted = values.sorted()
        print(
            """
            {"calls": \(sorted.count), "p50_us": \(Double(sorted[sorted.count / 2]) / 1000), \
            "p99_us": \(Double(sorted[Int(Double(sorted.count - 1) * 0.99)]) / 1000)}
            """)
    }

    private func timed(_ seconds: Double) async throws -> [UInt64] {
        var values: [UInt64] = []
        values.reserveCapacity(1 << 18)
        var start = Clocks.now()
        let end = start + UInt64(seconds * 1e9)
        while start < end {
            let _: SearchRequest = try await client.unary(BenchMethods.echo, request, options: options)
            let now = Clocks.now()
            values.append(now - start)
            start = Clocks.now()
        }
        return values
    }

    // MARK: Streaming

    private func stream() async throws {
        let messages = UInt32(settings.seconds * 8192)
        _ = try await read(messages / 8 + 1)
        let cpu = Clocks.cpu(with: settings.server)
        let start = Clocks.now()
        let bytes = try await read(messages)
        let elapsed = Clocks.now() - start
        report(Int(messages), elapsed, Clocks.cpu(with: settings.server) - cpu, bytes: bytes, 0)
    }

    private func read(_ messages: UInt32) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask(executorPreference: executor) {
                let request = SearchRequest(limit: messages)
                let replies: ResponseReader<UploadDocumentRequest> = try await self.client.serverStreaming(
                    BenchMethods.stream, request, options: CallOptions(timeout: .seconds(60)))
                var bytes = 0
                while let reply = try await replies.next() {
                    if case .data(let data) = reply.part { bytes += data.count }
                }
                return bytes
            }
            return try await group.next() ?? 0
        }
    }

    /// One line of JSON that Benchmarks/rpc.py reads. `checksum` must be the same for every peer.
    private func report(_ calls: Int, _ elapsed: UInt64, _ cpu: UInt64, bytes: Int, _ checksum: Int) {
        print(
            """
            {"calls": \(calls), "seconds": \(Double(elapsed) / 1e9), "cpu_seconds": \(Double(cpu) / 1e9), \
            "bytes": \(bytes), "checksum": \(checksum)}
            """)
    }
}
