import Foundation
import Glibc
import Testing

/// A process that may open few files: it says so, takes fewer connections, and serves on when they are gone all the same.
///
/// The gateway alone, which needs nothing else to start.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(2)))
struct OpenFilesTests {
    /// One HTTP connection that is kept, and asked in the middle of what is going on.
    private final class Peer {
        let socket: Int32

        /// nil when the server takes no connection.
        init?(port: Int) {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard socket >= 0 else { return nil }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
            let connected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard connected == 0 else {
                close(socket)
                return nil
            }
            // Nothing here takes so long: it ends a test that would hang.
            var patience = timeval(tv_sec: 20, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            self.socket = socket
        }

        deinit { close(socket) }

        /// The answer to a GET on this connection; nil when it is closed.
        func get(_ path: String) -> String? {
            let request = Array("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
            guard send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
                return nil
            }
            var answer: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(socket, &buffer, buffer.count, 0)
                guard count > 0 else { return nil }
                answer += buffer[..<count]
                let text = String(decoding: answer, as: UTF8.self)
                guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
                let length = text[..<end.lowerBound].lowercased().split(separator: "\r\n").lazy
                    .first { $0.hasPrefix("content-length:") }.flatMap { Int($0.dropFirst(15).drop { $0 == " " }) }
                if text[end.upperBound...].utf8.count >= length ?? 0 { return text }
            }
        }

        func metric(_ name: String) -> Int? {
            get("/metrics")?.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
                .flatMap { Double($0.dropFirst(name.utf8.count + 1).trimmingCharacters(in: .whitespaces)) }.map {
                    Int($0)
                }
        }
    }

    /// Runs the gateway below these limits of a shell.
    private func withGateway(
        _ limits: String, _ body: (Child, Int) async throws -> Void
    ) async throws {
        try await withSystem { system in
            let child = try Child(
                "/bin/bash",
                ["-c", "\(limits) && exec \(Programs.acp) serve gateway --quiet"],
                environment: system.environment, directory: system.directory)
            defer {
                child.signal(SIGTERM)
            }
            let isReady = try await eventually(seconds: 20) { child.hasEnded || child.output.contains("http://") }
            guard isReady, !child.hasEnded else { throw Problem("it did not start: \(child.output) \(child.errors)") }
            try await body(child, system.ports.gateway)
            child.signal(SIGTERM)
            #expect(try await child.wait(seconds: 20).status == 0)
        }
    }

    @Test func theLimitIsRaisedToTheHardOne() async throws {
        try await withGateway("ulimit -Sn 256 && ulimit -Hn 900") { _, port in
            let peer = try #require(Peer(port: port))
            #expect(peer.metric("process_max_fds") == 900)
        }
    }

    @Test func tooFewAreRefusedWithWhatToDo() async throws {
        try await withSystem { system in
            let child = try Child(
                "/bin/bash", ["-c", "ulimit -n 200 && exec \(Programs.acp) serve gateway"],
                environment: system.environment, directory: system.directory)
            let ended = try await child.wait(seconds: 20)
            #expect(ended.status != 0)
            #expect(ended.errors.contains("may open only 200 files"), "\(ended.errors)")
            #expect(ended.errors.contains("ulimit -Hn"), "\(ended.errors)")
        }
    }

    @Test func moreConnectionsThanFilesLeaveTheOthersServed() async throws {
        // 300 − 256 = 44 places.
        try await withGateway("ulimit -n 300") { _, port in
            let peer = try #require(Peer(port: port))
            #expect(peer.get("/healthz")?.hasPrefix("HTTP/1.1 200") == true)
            var flood = (0..<250).compactMap { _ in Peer(port: port) }
            #expect(!flood.isEmpty)
            #expect(peer.get("/healthz")?.hasPrefix("HTTP/1.1 200") == true)
            let files = try #require(peer.metric("process_open_fds"))
            #expect(files < 300, "sockets beyond the places are closed: \(files)")
            flood.removeAll()
            let isServed = try await eventually(seconds: 20) {
                Peer(port: port)?.get("/healthz")?.hasPrefix("HTTP/1.1 200") == true
            }
            #expect(isServed, "who comes later finds a place")
        }
    }

    /// The process runs out of files although its ports have places: others have taken them. Accepting must pause, not spin, and go on afterwards.
    @Test func runningOutOfFilesStopsOnlyWhatNeedsOne() async throws {
        try await withGateway("ulimit -n 1000") { child, port in
            let peer = try #require(Peer(port: port))
            let open = try #require(peer.metric("process_open_fds"))
            try await Self.limit(child, to: open + 3)
            // The kernel completes these connections; most wait to be accepted.
            var flood = (0..<40).compactMap { _ in Peer(port: port) }
            #expect(flood.count == 40)
            for _ in 0..<20 { #expect(peer.get("/version")?.hasPrefix("HTTP/1.1 200") == true) }
            #expect(!child.hasEnded)
            let before = try Self.cpuTicks(child.pid)
            let start = ContinuousClock.now
            let isAccepted = try await eventually(seconds: 30) {
                // A second passes before accepting is tried again, with as many files as before.
                start.duration(to: .now) > .seconds(1)
            }
            #expect(isAccepted)
            let used = Double(try Self.cpuTicks(child.pid) - before) / Double(sysconf(Int32(_SC_CLK_TCK)))
            let passed = Double(start.duration(to: .now).components.seconds)
            #expect(used < passed * 0.5, "\(used) s of CPU in \(passed) s: accepting spins")
            try await Self.limit(child, to: 1000)
            // Those that waited are accepted now, and served.
            for waiting in flood.suffix(5) { #expect(waiting.get("/healthz")?.hasPrefix("HTTP/1.1 200") == true) }
            flood.removeAll()
            #expect(Peer(port: port)?.get("/healthz")?.hasPrefix("HTTP/1.1 200") == true)
        }
    }

    /// Sets how many files a process that runs may have open.
    private static func limit(_ child: Child, to files: Int) async throws {
        let changed = try Child(
            "/usr/bin/prlimit", ["--pid", "\(child.pid)", "--nofile=\(files):1000"], environment: [:],
            directory: NSTemporaryDirectory())
        #expect(try await changed.wait(seconds: 10).status == 0)
    }

    /// User and system time of a process, in clock ticks (proc(5)).
    private static func cpuTicks(_ pid: pid_t) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        let fields = text[text.index(after: text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
            throw Problem("/proc/\(pid)/stat cannot be read")
        }
        return user + system
    }
}
