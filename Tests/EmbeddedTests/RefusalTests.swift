import Core
import Glibc
import Testing

@testable import Storage

/// Starts that cannot work: each says what is wrong and what to do, before anything is made.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RefusalTests {
    private func refusal(_ scratch: Scratch, options: EmbeddedOptions = EmbeddedOptions()) async -> Failure? {
        await failure { _ = try await servers(scratch, LogProbe(), options: options).start() }
    }

    @Test func missingProgramsAreNamedWithTheirPackage() async throws {
        let scratch = try Scratch()
        var options = EmbeddedOptions()
        options.searchPath = "\(scratch.base)/empty"
        let redis = await refusal(scratch, options: options)
        #expect(redis?.reason == "REDIS_NOT_FOUND" && redis?.remedy.contains("apt-get install redis-server") == true)
        options.redisServer = "/usr/bin/redis-server"
        options.postgresVersionsDirectory = "\(scratch.base)/empty"
        let postgres = await refusal(scratch, options: options)
        #expect(postgres?.reason == "POSTGRES_NOT_FOUND")
        #expect(postgres?.remedy.contains("apt-get install postgresql") == true)
        #expect(!ServerFiles.isDirectory(scratch.data))
    }

    @Test func aClusterOfAnotherVersionIsRefusedWithBothVersions() async throws {
        let scratch = try Scratch()
        let identity = try testIdentity()
        let cluster = scratch.layout.cluster
        mkdir(scratch.data, 0o711)
        mkdir(cluster, 0o700)
        try ServerFiles.write("\(cluster)/PG_VERSION", "9\n", mode: 0o600)
        if identity.isAnotherUser { chown(cluster, identity.uid, identity.gid) }
        let installed = try ServerPrograms.find(
            options: EmbeddedOptions(), clusterMajor: nil, cluster: cluster, identity: identity
        ).major
        let mismatch = await refusal(scratch)
        #expect(mismatch?.reason == "POSTGRES_VERSION_MISMATCH")
        #expect(mismatch?.message.contains("PostgreSQL 9;") == true)
        #expect(mismatch?.message.contains("\(installed)") == true)
        #expect(ServerFiles.names(in: scratch.data) == ["postgres"])
    }

    @Test func somethingElseInThePlaceOfTheClusterIsNotTouched() async throws {
        let scratch = try Scratch()
        let identity = try testIdentity()
        mkdir(scratch.data, 0o711)
        mkdir(scratch.layout.cluster, 0o700)
        try ServerFiles.write("\(scratch.layout.cluster)/diary", "mine", mode: 0o600)
        if identity.isAnotherUser { chown(scratch.layout.cluster, identity.uid, identity.gid) }
        #expect(await refusal(scratch)?.reason == "DATA_DIRECTORY_UNUSABLE")
        #expect(ServerFiles.read("\(scratch.layout.cluster)/diary", bytesMax: 10) == "mine")
    }

    @Test(.enabled(if: geteuid() == 0, "only root starts servers as another user"))
    func aDirectoryClosedToTheServersUserIsNamed() async throws {
        let scratch = try Scratch(below: "closed/inner")
        mkdir("\(scratch.base)/closed", 0o700)
        let closed = await refusal(scratch)
        #expect(closed?.reason == "DATA_DIRECTORY_UNUSABLE")
        #expect(closed?.message.contains("may not enter \(scratch.base)/closed,") == true)
        #expect(closed?.remedy.contains("/var/lib") == true)
        #expect(ServerFiles.names(in: "\(scratch.base)/closed").isEmpty)
    }

    @Test(.enabled(if: geteuid() == 0, "only root is led astray by others' directories"))
    func rootDoesNotUseADirectoryThatOthersCanChange() async throws {
        let scratch = try Scratch()
        mkdir(scratch.data, 0o711)
        chown(scratch.data, 12345, 12345)
        #expect(await refusal(scratch)?.message.contains("owner 12345") == true)
        chown(scratch.data, 0, 0)
        chmod(scratch.data, 0o777)
        #expect(await refusal(scratch)?.message.contains("mode 777") == true)
        #expect(ServerFiles.names(in: scratch.data).isEmpty)
    }

    @Test func aPlaceWhereNothingCanBeMadeIsNamed() async throws {
        let scratch = try Scratch(below: "file")
        try ServerFiles.write("\(scratch.base)/file", "", mode: 0o600)
        let unusable = await refusal(scratch)
        #expect(unusable?.reason == "DATA_DIRECTORY_UNUSABLE")
        #expect(unusable?.message.contains("\(scratch.base)/file") == true)
        let proc = await failure { _ = try await EmbeddedServers(dataDirectory: "/proc/acp-data") { _ in }.start() }
        #expect(proc?.reason == "DATA_DIRECTORY_UNUSABLE")
    }

    @Test(
        .enabled(if: geteuid() == 0, "only root can mount a small file system"),
        // Too few bytes show before anything is made; too few files only while the cluster is made.
        arguments: [
            ("size=32m", ["small"]), ("size=400m,nr_inodes=300", ["acp.lock", "conf", "logs", "redis", "run"]),
        ])
    func aFullDiskLeavesNoHalfOfACluster(limit: String, left: [String]) async throws {
        let scratch = try Scratch(below: "small")
        let small = "\(scratch.base)/small"
        mkdir(small, 0o755)
        guard mount("acp-test", small, "tmpfs", 0, limit) == 0 else {
            try Test.cancel("this system does not let root mount a tmpfs: \(ServerFiles.errorText(errno))")
        }
        defer { umount(small) }
        let full = await refusal(scratch)
        #expect(full?.reason == "DISK_FULL" && full?.code == .resourceExhausted, "\(full?.description ?? "")")
        let isMade = ServerFiles.isDirectory(scratch.data)
        #expect(isMade ? ServerFiles.names(in: scratch.data).sorted() == left : left == ["small"])
        #expect(scratch.processes.isEmpty)
    }

    @Test func aDirectoryForSocketsThatSomebodyMadeInAdvanceIsNotUsed() throws {
        let scratch = try Scratch()
        let identity = try testIdentity()
        let root = "/" + String(repeating: "r", count: 120)
        let places = EmbeddedLayout.runDirectories(root: root, runtimeDirectories: [scratch.base], user: identity.uid)
        let place = try #require(places.first)
        #expect(places.count == 1)
        mkdir("\(scratch.base)/elsewhere", 0o700)
        try #require(symlink("\(scratch.base)/elsewhere", place) == 0)
        #expect(throws: Failure.self) {
            try PreparedDirectory.makeRunDirectory(root: root, identity, runtimeDirectories: [scratch.base])
        }
        unlink(place)
        if geteuid() == 0 {
            mkdir(place, 0o777)
            chown(place, 12345, 12345)
            #expect(throws: Failure.self) {
                try PreparedDirectory.makeRunDirectory(root: root, identity, runtimeDirectories: [scratch.base])
            }
        }
    }
}
