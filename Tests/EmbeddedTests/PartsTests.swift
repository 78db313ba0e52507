import Core
import Glibc
import Testing

@testable import Storage

@Suite(.timeLimit(.minutes(1)))
struct PartsTests {
    @Test func delaysDoubleToTheirLimitAndStartAnewAfterAStableRun() {
        var backoff = RestartBackoff()
        var now = MonotonicTime(nanoseconds: 0)
        let delays = (0..<11).map { _ in backoff.delayMs(now: now) }
        #expect(delays == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000])
        backoff.started(at: now)
        now = now.advanced(by: .seconds(59))
        #expect(backoff.delayMs(now: now) == 30000)
        backoff.started(at: now)
        now = now.advanced(by: .seconds(60))
        #expect(backoff.delayMs(now: now) == 100)
    }

    @Test func thePostmasterFileIsReadInEveryStageOfItsWriting() {
        #expect(PostmasterFile(text: "") == nil)
        #expect(PostmasterFile(text: "x\n") == nil)
        #expect(PostmasterFile(text: "\(Int32.min)\n") == nil)
        let early = PostmasterFile(text: "123\n/data\n1700000000\n5432\n")
        #expect(early?.pid == 123 && early?.socketDirectory == nil && early?.status == "")
        let ready = PostmasterFile(text: "123\n/data\n1700000000\n5432\n/run/a b\n\n  5432001  7\nready   \n")
        #expect(ready?.socketDirectory == "/run/a b" && ready?.status == "ready")
        #expect(PostmasterFile(text: "-9\n")?.pid == 9)
    }

    /// A child holds its parent's open files from fork until it executes its program; a duplicate stands for it.
    @Test func aReleasedLockIsFreeThoughAChildStillHasTheFileOpen() throws {
        let scratch = try Scratch()
        mkdir(scratch.data, 0o711)
        let lock = try DataDirectoryLock(directory: scratch.data)
        let path = DataDirectoryLock.path(in: scratch.data)
        let descriptor = try #require(
            ServerFiles.names(in: "/proc/self/fd").compactMap { Int32($0) }.first {
                ServerFiles.realPath("/proc/self/fd/\($0)") == path
            })
        let inherited = dup(descriptor)
        try #require(inherited >= 0)
        defer { close(inherited) }
        #expect(try DataDirectoryLock.owner(of: scratch.data)?.pid == getpid())
        lock.release()
        #expect(try DataDirectoryLock.owner(of: scratch.data) == nil)
        let next = try DataDirectoryLock(directory: scratch.data)
        next.release()
    }

    @Test func pathsAreMadeAbsoluteByTextAlone() {
        #expect(ServerFiles.absolute("/a/./b//../c/") == "/a/c")
        #expect(ServerFiles.absolute("/../..") == "/")
        #expect(ServerFiles.absolute("x").hasSuffix("/x"))
    }

    @Test func theDatabaseURLSurvivesAnyPath() {
        let url = EmbeddedLayout(root: "/a b", run: "/a b/%ü&").databaseURL
        #expect(url == "postgresql://acp@/acp?host=%2fa%20b%2f%25%c3%bc%26&port=5432")
    }

    @Test func aProgramGetsItsUserAndNothingOfOurs() throws {
        let identity = try testIdentity()
        // Open in this process; a child must not see it.
        let leak = open("/dev/null", O_RDONLY)
        defer { close(leak) }
        let script =
            "id -u; pwd; umask; ls /proc/self/fd | wc -l; ps -o sid= -p $$ | grep -qw $$ && echo leader; env | sort"
        let lines = try ServerPrograms.output(of: "/bin/sh", ["-c", script], identity: identity)
            .split(separator: "\n").map(String.init)
        // The fourth descriptor is the one through which ls reads the directory.
        #expect(lines.prefix(5) == ["\(identity.uid)", "/", "0077", "4", "leader"])
        #expect(!lines.contains { $0.hasPrefix("USER=") })
    }

    @Test func aProgramThatCannotBeExecutedSaysWhy() throws {
        let missing = #expect(throws: Failure.self) {
            try ServerPrograms.output(of: "/nonexistent/program", [], identity: try testIdentity())
        }
        #expect(missing?.message.contains("No such file or directory") == true)
    }

    @Test func aLogIsCutAndItsEndIsKept() throws {
        let scratch = try Scratch()
        let path = "\(scratch.base)/x.log"
        try ServerFiles.write(
            path, String(repeating: "line\n", count: ServerLog.logBytesMax / 5 + 10) + "FATAL: last", mode: 0o600)
        #expect(ServerFiles.tail(path) == "FATAL: last")
        ServerLog.trim(path)
        #expect(ServerFiles.read(path, bytesMax: 10) == "")
        #expect(ServerFiles.read("\(path).1", bytesMax: ServerLog.keptBytesMax)?.hasSuffix("FATAL: last") == true)
    }
}
