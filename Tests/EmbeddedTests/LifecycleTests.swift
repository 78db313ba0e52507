import Core
import Glibc
import Testing

@testable import Storage

/// Real servers in temporary directories; one test at a time, because each start uses both cores.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct LifecycleTests {
    @Test func aNewDirectoryGetsDurableServersAndAStopLeavesNoProcess() async throws {
        let scratch = try Scratch()
        let probe = LogProbe()
        let servers = servers(scratch, probe)
        let begin = MonotonicTime.now()
        let endpoints = try await servers.start()
        print("new start: \(begin.duration(to: .now()).inSeconds) s")
        #expect(servers.health.isReady)
        do {
            let connection = try Connection(endpoints.databaseURL)
            #expect(try connection.run("SELECT current_user || '/' || current_database()") == "acp/acp")
            #expect(try connection.run("SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user") == "false")
            for (setting, value) in [
                ("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on"), ("data_checksums", "on"),
                ("listen_addresses", ""), ("server_encoding", "UTF8"), ("lc_collate", "C"),
            ] {
                #expect(try connection.run("SELECT current_setting('\(setting)')") == value, "\(setting)")
            }
        }
        #expect(endpoints.redisURL == "unix://\(scratch.data)/run/redis.sock")
        #expect(ServerFiles.names(in: "\(scratch.data)/redis").isEmpty)
        var status = stat()
        #expect(stat("\(scratch.data)/run", &status) == 0 && status.st_mode & 0o777 == 0o700)

        let running = scratch.processes
        #expect(running.count >= 3)
        let stopping = MonotonicTime.now()
        await servers.stop()
        print("stop: \(stopping.duration(to: .now()).inSeconds) s")
        #expect(servers.health == EmbeddedHealth(postgres: .stopped, redis: .stopped))
        #expect(scratch.processes.isEmpty)
        let ends = probe.lines.filter { $0.hasSuffix("stopped.") }
        #expect(ends.map { $0.prefix(5) } == ["Redis", "Postg"])
    }

    @Test func aSecondStartFindsWhatWasCommitted() async throws {
        let scratch = try Scratch()
        let servers = servers(scratch, LogProbe())
        try Connection(try await servers.start().databaseURL).run("CREATE TABLE t AS SELECT 7 AS n")
        await servers.stop()
        let begin = MonotonicTime.now()
        let endpoints = try await servers.start()
        print("existing start: \(begin.duration(to: .now()).inSeconds) s")
        #expect(try Connection(endpoints.databaseURL).run("SELECT n FROM t") == "7")
        await servers.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func serversThatOutlivedTheirOwnerAreAdoptedAndLaterStopped() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        let endpoints = try await first.start()
        let before = first.health
        let connection = try Connection(endpoints.databaseURL)
        await first.abandon()
        #expect(try EmbeddedServers.running(dataDirectory: scratch.data) == nil)

        let second = servers(scratch, LogProbe())
        let begin = MonotonicTime.now()
        #expect(try await second.start() == endpoints)
        print("adoption: \(begin.duration(to: .now()).inSeconds) s")
        #expect(second.health.postgres.isAdopted && second.health.redis.isAdopted)
        #expect(second.health.postgres.pid == before.postgres.pid && second.health.redis.pid == before.redis.pid)
        // The connection of before still works: nothing was restarted.
        #expect(try connection.run("SELECT 1") == "1")
        await second.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func twoOwnersOfOneDirectoryAreRefusedByName() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        #expect(try EmbeddedServers.running(dataDirectory: scratch.data) == nil)
        _ = try await first.start()
        #expect(try EmbeddedServers.running(dataDirectory: scratch.data)?.pid == getpid())
        let refusal = await failure { _ = try await servers(scratch, LogProbe()).start() }
        #expect(refusal?.reason == "ALREADY_RUNNING")
        #expect(refusal?.message.contains("process \(getpid())") == true)
        #expect(first.health.isReady)
        #expect(await failure { _ = try await first.start() }?.reason == "ALREADY_STARTED")
        await first.stop()
        #expect(try EmbeddedServers.running(dataDirectory: scratch.data) == nil)
    }

    @Test func aPathTooLongForASocketGetsAShortDirectoryThatIsRemovedAgain() async throws {
        let scratch = try Scratch(below: String(repeating: "d", count: 120))
        let servers = servers(scratch, LogProbe())
        let endpoints = try await servers.start()
        #expect(try Connection(endpoints.databaseURL).run("SELECT 1") == "1")
        let socket = String(endpoints.redisURL.dropFirst("unix://".count))
        #expect(socket.utf8.count <= EmbeddedLayout.socketPathBytesMax && !socket.hasPrefix(scratch.base))
        await servers.stop()
        #expect(access(socket, F_OK) != 0 && !ServerFiles.isDirectory(String(socket.dropLast("/redis.sock".count))))
        #expect(scratch.processes.isEmpty)
    }

    @Test(arguments: 0..<4) func aStopDuringTheStartLeavesNothingHalfMade(moment: Int) async throws {
        let scratch = try Scratch()
        let probe = LogProbe()
        let servers = servers(scratch, probe)
        async let start = failure { _ = try await servers.start() }
        // Four moments: at once, while the cluster is made, when Redis runs, and right before the end.
        let signs = ["", "Making", "Redis (", "PostgreSQL ("]
        if moment > 0 { _ = await probe.line(from: 0) { $0.hasPrefix(signs[moment]) } }
        await servers.stop()
        let refusal = await start
        if moment == 1 || moment == 2 { #expect(refusal?.code == .cancelled) }
        // A stop before `start` had begun stops nothing: then the start went through.
        await servers.stop()
        #expect(scratch.processes.isEmpty)
        #expect(!ServerFiles.names(in: scratch.data).contains { $0.hasPrefix(EmbeddedLayout.unfinishedPrefix) })
        #expect(try EmbeddedServers.running(dataDirectory: scratch.data) == nil)
        _ = try await servers.start()
        #expect(servers.health.isReady)
        await servers.stop()
        #expect(scratch.processes.isEmpty)
    }
}
