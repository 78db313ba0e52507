import Core
import Glibc
import Platform
import Testing

@Suite struct OpenFilesTests {
    @Test func connectionsAreWhatFilesAllow() throws {
        #expect(try OpenFiles(filesMax: 1_048_576).connectionsMax(wanted: 20_000, ports: 4) == 20_000)
        #expect(try OpenFiles(filesMax: 1024).connectionsMax(wanted: 20_000, ports: 4) == 192)
        #expect(try OpenFiles(filesMax: 1024).connectionsMax(wanted: 100, ports: 1) == 100)
        #expect(try OpenFiles(filesMax: 256 + 4 * 16).connectionsMax(wanted: 20_000, ports: 4) == 16)
        #expect(try OpenFiles(filesMax: 1024).connectionsMax(wanted: 20_000, ports: 0) == 768)
    }

    @Test func tooFewFilesAreSaidWithWhatToDo() throws {
        let failure = #expect(throws: Failure.self) {
            try OpenFiles(filesMax: 256 + 4 * 16 - 1).connectionsMax(wanted: 20_000, ports: 4)
        }
        #expect(failure?.reason == "TOO_FEW_FILES")
        #expect(failure?.message.contains("319") == true)
        #expect(failure?.remedy.contains("ulimit") == true)
    }

    @Test func theLimitIsRaisedToTheHardOne() throws {
        var before = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before)
        let raised = OpenFiles.raiseLimit()
        var after = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &after)
        #expect(raised == Int(clamping: after.rlim_cur))
        #expect(after.rlim_cur == max(before.rlim_cur, min(before.rlim_max, 1_048_576)))
        #expect(after.rlim_max == before.rlim_max)
    }
}
