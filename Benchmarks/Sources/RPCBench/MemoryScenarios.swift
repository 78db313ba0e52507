import Core
import Glibc
import RPC

/// What connections that do nothing, and a reader that stops, cost the server in resident memory.
struct MemoryScenarios: Sendable {
    let settings: ClientSettings
    let runtime: RPCRuntime
    let client: RPCClient

    private static let stallMessages: UInt32 = 8192
    private static let connectingAtOnce = 64
    private let request = SearchRequest(query: String(repeating: "q", count: 62))

    /// `inFlight` connections, each of which has answered one call.
    func idle() async throws {
        try FileLimit.raise(to: settings.inFlight + FileLimit.spare)
        // What the first connection costs, code pages and the like, is not the connections' own.
        for _ in 0..<1000 { try await echo(client) }
        let before = residentBytes()
        let clients = try await withThrowingTaskGroup(of: RPCClient.self) { group in
            var clients: [RPCClient] = []
            for index in 0..<settings.inFlight {
                if index >= Self.connectingAtOnce, let connected = try await group.next() { clients.append(connected) }
                group.addTask {
                    let one = RPCClient(
                        runtime: self.runtime, endpoint: .tcp(host: "127.0.0.1", port: self.settings.port))
                    try await self.echo(one)
                    return one
                }
            }
            for try await connected in group { clients.append(connected) }
            return clients
        }
        try await Task.sleep(for: .seconds(1))
        let after = residentBytes()
        print("{\"connections\": \(clients.count), \"rss_before\": \(before), \"rss_after\": \(after)}")
        for one in clients { await one.shutdown() }
    }

    /// Reads half of 512 MiB, stops for `seconds` while the server's memory is watched, then reads the rest.
    func stall() async throws {
        for _ in 0..<1000 { try await echo(client) }
        let before = residentBytes()
        let replies: ResponseReader<UploadDocumentRequest> = try await client.serverStreaming(
            BenchMethods.stream, SearchRequest(limit: Self.stallMessages), options: CallOptions(timeout: .seconds(60)))
        var bytes = 0
        var messages = 0
        var highest = before
        while let reply = try await replies.next() {
            if case .data(let data) = reply.part { bytes += data.count }
            messages += 1
            guard messages == Self.stallMessages / 2 else { continue }
            let end = Clocks.now() + UInt64(settings.seconds * 1e9)
            while Clocks.now() < end {
                highest = max(highest, residentBytes())
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        print("{\"bytes\": \(bytes), \"rss_before\": \(before), \"rss_after\": \(highest)}")
    }

    private func echo(_ client: RPCClient) async throws {
        let _: SearchRequest = try await client.unary(
            BenchMethods.echo, request, options: CallOptions(timeout: .seconds(10)))
    }

    /// Resident memory of the server: the second number of statm, in pages.
    private func residentBytes() -> Int {
        guard let file = fopen("/proc/\(settings.server)/statm", "r") else {
            preconditionFailure("process \(settings.server) is gone")
        }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 128)
        guard fgets(&text, Int32(text.count), file) != nil else { return 0 }
        let words = text.prefix { $0 != 0 }.split(separator: CChar(UInt8(ascii: " ")))
        let pages = words.count > 1 ? Int(String(decoding: words[1].map(UInt8.init), as: UTF8.self)) ?? 0 : 0
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}

enum FileLimit {
    /// Descriptors a process needs beside its connections.
    static let spare = 256

    /// Lets this process open `wanted` descriptors, or as many as it may.
    /// - Throws: when that is fewer than `wanted`.
    static func raise(to wanted: Int) throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
        guard limit.rlim_cur < rlim_t(wanted) else { return }
        limit.rlim_cur = min(limit.rlim_max, rlim_t(wanted))
        setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
        guard limit.rlim_cur >= rlim_t(wanted) else { throw TooFewFiles(wanted: wanted, allowed: Int(limit.rlim_cur)) }
    }

    struct TooFewFiles: Error, CustomStringConvertible {
        let wanted: Int
        let allowed: Int
        var description: String {
            "\(wanted) open files are needed and \(allowed) allowed: raise the hard limit (ulimit -Hn)"
        }
    }
}
