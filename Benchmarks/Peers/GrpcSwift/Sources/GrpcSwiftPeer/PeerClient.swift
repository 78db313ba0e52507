import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Glibc

/// One client, one connection.
struct PeerClient: Sendable {
    let settings: PeerSettings
    let bench: Acp_Bench_V1_Bench.Client<HTTP2ClientTransport.Posix>
    private let options: CallOptions
    private let request: Acp_Bench_V1_SearchRequest

    init(settings: PeerSettings, bench: Acp_Bench_V1_Bench.Client<HTTP2ClientTransport.Posix>) {
        self.settings = settings
        self.bench = bench
        var options = CallOptions.defaults
        options.timeout = .seconds(10)
        self.options = options
        request = .with { $0.query = String(repeating: "q", count: 62) }
    }

    func run() async throws {
        switch settings.scenario {
        case "echo": try await throughput { try await bench.echo(request, options: options).query.utf8.count }
        case "search":
            try await throughput {
                // A field of each hit.
                try await bench.search(request, options: options).hits
                    .reduce(0) { $0 + $1.text.utf8.count + Int($1.start) }
            }
        case "latency": try await latency()
        default:
            print("there is no scenario \(settings.scenario)")
            exit(64)
        }
    }

    private func throughput(_ call: @escaping @Sendable () async throws -> Int) async throws {
        _ = try await round(settings.seconds / 5, call)
        let cpu = Clocks.cpu(with: settings.server)
        let start = Clocks.now()
        let (calls, checksum) = try await round(settings.seconds, call)
        let elapsed = Clocks.now() - start
        print(
            """
            {"calls": \(calls), "seconds": \(Double(elapsed) / 1e9), \
            "cpu_seconds": \(Double(Clocks.cpu(with: settings.server) - cpu) / 1e9), "bytes": 0, "checksum": \(checksum)}
            """)
    }

    /// Keeps `inFlight` calls running for `seconds`; returns how many finished and what the last one said.
    private func round(_ seconds: Double, _ call: @escaping @Sendable () async throws -> Int) async throws -> (Int, Int)
    {
        let end = Clocks.now() + UInt64(seconds * 1e9)
        return try await withThrowingTaskGroup(of: (Int, Int).self) { group in
            for _ in 0..<settings.inFlight {
                group.addTask {
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

    private func latency() async throws {
        _ = try await timed(settings.seconds / 5)
        let sorted = try await timed(settings.seconds).sorted()
        print(
            """
            {"calls": \(sorted.count), "p50_us": \(Double(sorted[sorted.count / 2]) / 1000), \
            "p99_us": \(Double(sorted[Int(Double(sorted.count - 1) * 0.99)]) / 1000)}
            """)
    }

    private func timed(_ seconds: Double) async throws -> [UInt64] {
        var values: [UInt64] = []
        values.reserveCapacity(1 << 16)
        var start = Clocks.now()
        let end = start + UInt64(seconds * 1e9)
        while start < end {
            _ = try await bench.echo(request, options: options)
            let now = Clocks.now()
            values.append(now - start)
            start = Clocks.now()
        }
        return values
    }
}
