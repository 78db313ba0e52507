import Foundation
import Glibc
import Testing

/// Nothing that was acknowledged is lost, whatever dies when.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(5)))
struct CrashTests {
    private static let rounds = 20
    private static let filesPerRound = 60
    /// A kill comes when so many files of its round are taken in: early enough that it finds work to do on any machine.
    private static let momentFilesMax = 40
    /// Of the rounds that can cut an upload off, so many must do so, or the test has shown nothing.
    private static let cutRoundsMin = 3

    private enum Victim: String, CaseIterable {
        case acp, postgres, extractor, redis
    }

    @Test func everyAcknowledgedDocumentIsSearchableOnceAfterKills() async throws {
        let text = ProcessInfo.processInfo.environment["ACP_TEST_SEED"] ?? ""
        let seed = UInt64(text) ?? 20_261_122
        print("ACP_TEST_SEED=\(seed)")
        var generator = SeededGenerator(seed: seed)
        try await withSystem { system in
            try await system.start()
            var acknowledged = 0
            var cut = 0
            for round in 0..<Self.rounds {
                // The program itself in half of the rounds, its helpers in the others.
                let victim: Victim = round % 2 == 0 ? .acp : Victim.allCases[1 + round / 2 % 3]
                let moment = Int.random(in: 0...Self.momentFilesMax, using: &generator)
                print("round \(round): kill \(victim) after \(moment) files")
                let count = try await Self.run(round, victim, moment, system)
                acknowledged += count
                if 0 < count, count < Self.filesPerRound { cut += 1 }
            }
            #expect(acknowledged > Self.rounds * Self.filesPerRound / 2)
            #expect(cut >= Self.cutRoundsMin, "kills came before or after the uploads")
            try await Self.expectNoDuplicates(system)
        }
    }

    /// Uploads the files of a round, kills `victim` when `moment` of them are taken in, and looks for what was acknowledged; returns
    /// how many that were.
    private static func run(_ round: Int, _ victim: Victim, _ moment: Int, _ system: LiveSystem) async throws -> Int {
        // A word of letters of its own, so that a search finds exactly this round's files.
        let word = "kill" + String(repeating: "qx", count: round / 10 + 1) + String(Array("abcdefghij")[round % 10])
        for index in 0..<filesPerRound {
            try system.write(
                "round-\(round)/file-\(index).md",
                "# File \(index)\n\nThe \(word) text number \(index) of this round.\n")
        }
        let before = try await takenIn(system)
        let upload = try system.start([
            "ingest", "upload", "\(system.directory)/round-\(round)", "--no-wait", "-o", "json",
        ])
        while !upload.hasEnded, try await takenIn(system) < before + moment {}
        try await kill(victim, system)
        let ended = try await upload.wait(seconds: 60)
        // Whatever has an id here was acknowledged.
        let acknowledged = (ended.json["files"] as? [[String: Any]] ?? []).filter {
            $0["outcome"] as? String == "stored"
        }
        .compactMap { $0["path"] as? String }
        print("round \(round): \(acknowledged.count) of \(filesPerRound) acknowledged")
        if system.server?.hasEnded == true { try await system.start() }
        try await system.settle()

        let search = try await system.acp("search", word, "--limit", "100", "-o", "json")
        #expect(search.status == 0, "round \(round): \(search.errors)")
        let origins = (search.json["hits"] as? [[String: Any]] ?? []).compactMap { $0["origin"] as? String }
        #expect(Set(origins).count == origins.count, "round \(round): a document is there twice")
        let missing = Set(acknowledged).subtracting(origins)
        #expect(missing.isEmpty, "round \(round): acknowledged and not searchable: \(missing.sorted())")
        if victim == .extractor || victim == .redis {
            #expect(acknowledged.count == filesPerRound, "round \(round): \(ended.errors)")
        }
        return acknowledged.count
    }

    /// Documents that the running process has acknowledged so far.
    private static func takenIn(_ system: LiveSystem) async throws -> Int {
        let metrics = try await system.curl("/metrics", port: system.ports.ingest).body
        let count = metrics.firstMatch(of: #/acp_requests_total\{[^}]*UploadDocument",code="OK"\} (\d+)/#)
        return count.flatMap { Int($0.1) } ?? 0
    }

    private static func kill(_ victim: Victim, _ system: LiveSystem) async throws {
        let server = try #require(system.server)
        switch victim {
        case .acp:
            server.signal(SIGKILL)
            #expect(try await eventually(seconds: 5) { server.hasEnded })
        case .postgres:
            let postmaster = try #require(system.postmaster)
            Glibc.kill(postmaster, SIGKILL)
        case .extractor:
            for process in ProcessTable.descendants(of: server.pid) where process.name == "acp-extract" {
                Glibc.kill(process.pid, SIGKILL)
            }
        case .redis:
            let server = try #require(redisServer(system))
            Glibc.kill(server, SIGKILL)
        }
    }

    /// Redis is the process that works in its own directory; it may have outlived an earlier `acp`.
    private static func redisServer(_ system: LiveSystem) -> pid_t? {
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(entry), ProcessTable.isAlive(pid),
                let current = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd"),
                current == "\(system.data)/redis"
            else { continue }
            return pid
        }
        return nil
    }

    private static func expectNoDuplicates(_ system: LiveSystem) async throws {
        let list = try await system.acp("ingest", "documents", "--limit", "100000", "-o", "json")
        #expect(list.status == 0, "\(list.errors)")
        let documents = list.json["documents"] as? [[String: Any]] ?? []
        let origins = documents.compactMap { $0["origin"] as? String }
        #expect(!origins.isEmpty)
        #expect(Set(origins).count == origins.count)
        let unpublished = documents.filter { ($0["revisionId"] as? String ?? "").isEmpty }
        #expect(unpublished.isEmpty, "\(unpublished.count) documents have no published revision")
        print("\(origins.count) documents, each once")
    }

    @Test func anEmptiedRedisLosesNothing() async throws {
        try await withSystem { system in
            try await system.start()
            for index in 0..<60 {
                try system.write("docs/file-\(index).md", "# File \(index)\n\nThe flushed text number \(index).\n")
            }
            let upload = try system.start(["ingest", "upload", "\(system.directory)/docs", "-o", "json"])
            for _ in 0..<5 {
                try Self.flushRedis(system)
                try await Task.sleep(for: .milliseconds(50))
            }
            let ended = try await upload.wait(seconds: 60)
            #expect(ended.status == 0, "\(ended.output) \(ended.errors)")
            let search = try await system.acp("search", "flushed", "--limit", "100", "-o", "json")
            #expect((search.json["hits"] as? [Any])?.count == 60)
        }
    }

    private static func flushRedis(_ system: LiveSystem) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("\(system.data)/run/redis.sock".utf8CString)
        withUnsafeMutableBytes(of: &address.sun_path) { target in
            path.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(107))) }
        }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw Problem("Redis cannot be reached: \(String(cString: strerror(errno)))") }
        let command = "FLUSHALL\r\n"
        var answer = [UInt8](repeating: 0, count: 64)
        guard write(descriptor, command, command.utf8.count) == command.utf8.count, read(descriptor, &answer, 64) > 0,
            answer.starts(with: "+OK".utf8)
        else { throw Problem("Redis did not empty itself") }
    }

    @Test func readinessNamesAStoppedDatabaseAndRecovers() async throws {
        try await withSystem { system in
            try await system.start()
            #expect(try await system.curl("/readyz").status == 200)
            let postmaster = try #require(system.postmaster)
            // Stopped, not killed: it would be started again at once.
            Glibc.kill(postmaster, SIGSTOP)
            defer { Glibc.kill(postmaster, SIGCONT) }
            var body = ""
            for process in ProcessTable.descendants(of: postmaster) { Glibc.kill(process.pid, SIGSTOP) }
            let failing = try await eventually(seconds: 20) {
                let answer = try await system.curl("/readyz")
                body = answer.body
                return answer.status == 503 && body.contains("postgresql")
            }
            for process in ProcessTable.descendants(of: postmaster) { Glibc.kill(process.pid, SIGCONT) }
            Glibc.kill(postmaster, SIGCONT)
            #expect(failing, "\(body)")
            let ready = try await eventually(seconds: 60) { try await system.curl("/readyz").status == 200 }
            #expect(ready)
        }
    }

    @Test func stoppingTakesAtMostTenSecondsAndLeavesNothing() async throws {
        try await withSystem { system in
            try await system.start()
            for index in 0..<30 {
                try system.write("docs/file-\(index).md", "# File \(index)\n\nA text that is being processed.\n")
            }
            _ = try await system.acp("ingest", "upload", "\(system.directory)/docs", "--no-wait")
            let server = try #require(system.server)
            let family = ProcessTable.descendants(of: server.pid)
            #expect(family.contains { $0.name == "acp-extract" })
            server.signal(SIGTERM)
            let ended = try await server.wait(seconds: 10)
            #expect(ended.status == 0, "\(ended.errors)")
            let left = family.filter { ProcessTable.isAlive($0.pid) }
            #expect(left.isEmpty, "\(left)")
        }
    }

    @Test func aDetachedSystemIsReadyAndStops() async throws {
        try await withSystem { system in
            let up = try await system.acp("up", "--detach", seconds: 90)
            #expect(up.status == 0, "\(up.errors)")
            #expect(up.output.contains(system.gateway))
            #expect(try await system.acp("status").status == 0)
            let second = try await system.acp("up", "--detach", seconds: 60)
            #expect(second.status == 1 && second.errors.contains("in use"), "\(second.status) \(second.errors)")
            #expect(try await system.acp("down").status == 0)
            #expect(try await system.acp("status").status == 6)
        }
    }
}
