import Core
import Glibc
import Testing

@testable import Storage

/// What a crash of any process leaves behind, and what the next start makes of it.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct CrashTests {
    @Test func aKilledPostmasterWithABusyBackendIsRecoveredAtTheNextStart() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        let endpoints = try await first.start()
        let busy = try Connection(endpoints.databaseURL)
        try busy.run("CREATE TABLE t AS SELECT 42 AS n")
        // It never waits, so it does not notice the death of its postmaster by itself.
        try busy.begin("DO $$ BEGIN LOOP END LOOP; END $$")
        let backend = try process(busy.serverProcess)
        let postmaster = try process(first.health.postgres.pid)
        await first.abandon()
        postmaster.signal(SIGKILL)
        postmaster.wait(milliseconds: 5000)
        #expect(!backend.hasEnded)

        let probe = LogProbe()
        let second = servers(scratch, probe)
        #expect(try Connection(try await second.start().databaseURL).run("SELECT n FROM t") == "42")
        #expect(backend.hasEnded)
        #expect(probe.lines.contains { $0.contains("a dead PostgreSQL left") })
        #expect(!second.health.postgres.isAdopted && second.health.redis.isAdopted)
        await second.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func serversThatDieAreStartedAgainWhileTheOwnerRuns() async throws {
        let scratch = try Scratch()
        let probe = LogProbe()
        let servers = servers(scratch, probe)
        let endpoints = try await servers.start()
        try Connection(endpoints.databaseURL).run("CREATE TABLE t AS SELECT 1 AS n")
        for name in ["Redis", "PostgreSQL"] {
            let victim = try process(name == "Redis" ? servers.health.redis.pid : servers.health.postgres.pid)
            let mark = probe.lines.count
            victim.signal(SIGKILL)
            let line = await probe.line(from: mark) { $0.hasPrefix("\(name) (process") && $0.hasSuffix("started.") }
            #expect(!line.contains("process \(victim.pid))"))
            #expect(servers.health.isReady)
        }
        #expect(try Connection(endpoints.databaseURL).run("SELECT n FROM t") == "1")
        await servers.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func aServerThatCannotBeStartedAgainIsReportedAndStoppable() async throws {
        let scratch = try Scratch()
        let probe = LogProbe()
        var options = EmbeddedOptions()
        // A name of its own for Redis, which can be taken away.
        let program = "\(scratch.base)/redis-server"
        try #require(symlink("/usr/bin/redis-server", program) == 0)
        options.redisServer = program
        let servers = servers(scratch, probe, options: options)
        _ = try await servers.start()
        unlink(program)
        try process(servers.health.redis.pid).signal(SIGKILL)
        _ = await probe.line(from: 0) { $0.contains("(attempt 2)") }
        #expect(!servers.health.isReady)
        guard case .down(let why, let attempts) = servers.health.redis else {
            Issue.record("Redis is \(servers.health.redis)")
            return
        }
        #expect(attempts >= 2 && why.reason == "PROGRAM_UNUSABLE")
        #expect(servers.health.postgres.pid != nil && servers.databaseOutage == nil)
        await servers.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func aProcessIdThatNowBelongsToAnotherProcessIsNeitherTrustedNorHarmed() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        _ = try await first.start()
        let file = PostmasterFile.path(in: scratch.layout.cluster)
        let text = try #require(ServerFiles.read(file, bytesMax: 4096))
        await first.stop()

        let innocent = try bystander()
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        try ServerFiles.write(file, (["\(innocent.pid)"] + lines.dropFirst()).joined(separator: "\n"), mode: 0o600)
        let probe = LogProbe()
        let second = servers(scratch, probe)
        _ = try await second.start()
        #expect(probe.lines.contains { $0.contains("process \(innocent.pid) is not a server of this cluster") })
        #expect(!innocent.hasEnded)
        await second.stop()
        #expect(!innocent.hasEnded)
        innocent.signal(SIGKILL)
        innocent.wait(milliseconds: 1000)
        innocent.reap()
    }

    @Test func aFileOfADeadProcessIsReplaced() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        _ = try await first.start()
        let postmaster = try process(first.health.postgres.pid)
        let redis = try process(first.health.redis.pid)
        await first.abandon()
        for victim in [postmaster, redis] {
            victim.signal(SIGKILL)
            victim.wait(milliseconds: 5000)
            victim.reap()
        }
        #expect(access(scratch.layout.postgresSocket, F_OK) == 0 && access(scratch.layout.redisSocket, F_OK) == 0)
        _ = try await first.start()
        #expect(first.health.isReady)
        await first.stop()
        #expect(scratch.processes.isEmpty)
    }

    @Test func aHalfMadeClusterIsRemovedWithoutFollowingLinks() async throws {
        let scratch = try Scratch()
        mkdir(scratch.data, 0o711)
        let treasure = "\(scratch.base)/treasure"
        mkdir(treasure, 0o755)
        try ServerFiles.write("\(treasure)/kept", "kept", mode: 0o644)
        let half = "\(scratch.data)/\(EmbeddedLayout.unfinishedPrefix)4711"
        mkdir(half, 0o700)
        mkdir("\(half)/base", 0o700)
        try ServerFiles.write("\(half)/base/1", "x", mode: 0o600)
        try #require(symlink(treasure, "\(half)/link") == 0)
        let servers = servers(scratch, LogProbe())
        _ = try await servers.start()
        #expect(!ServerFiles.isDirectory(half))
        #expect(ServerFiles.read("\(treasure)/kept", bytesMax: 10) == "kept")
        await servers.stop()
    }

    @Test func aServerThatDoesNotAnswerIsReplaced() async throws {
        let scratch = try Scratch()
        let first = servers(scratch, LogProbe())
        _ = try await first.start()
        let redis = try process(first.health.redis.pid)
        await first.abandon()
        redis.signal(SIGSTOP)
        let probe = LogProbe()
        let second = servers(scratch, probe)
        _ = try await second.start()
        #expect(redis.hasEnded && second.health.postgres.isAdopted && !second.health.redis.isAdopted)
        await second.stop()
        #expect(scratch.processes.isEmpty)
    }
}
