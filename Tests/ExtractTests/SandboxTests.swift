import Foundation
import Glibc
import Ingest
import Testing

/// Runs `SandboxProbe`, which enters the parsers' sandbox and then tries one forbidden thing. See its source.
@Suite struct SandboxTests {
    private enum Outcome: Equatable {
        case succeeded, refused
        case killed(Int32)
        case other(Int32)
    }

    private func probe(_ arguments: String...) throws -> Outcome {
        let process = Process()
        let own = URL(filePath: ExtractorPool.defaultExecutable())
        process.executableURL = own.deletingLastPathComponent().appending(path: "SandboxProbe")
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal { return .killed(process.terminationStatus) }
        return switch process.terminationStatus {
        case 0: .succeeded
        case 1: .refused
        default: .other(process.terminationStatus)
        }
    }

    @Test func `the probe works inside as long as it only computes`() throws {
        #expect(try probe("closed", "compute") == .succeeded)
        #expect(try probe("/usr/share", "compute") == .succeeded)
    }

    @Test(arguments: ["socket", "fork", "vfork", "exec", "ptrace", "become-root"])
    func `taking over more than the parser kills it`(_ action: String) throws {
        #expect(try probe("closed", action) == .killed(SIGSYS))
        #expect(try probe("/usr/share", action) == .killed(SIGSYS))
    }

    @Test(arguments: ["read", "write", "list", "stat", "old-open", "unlink"])
    func `no file can be reached by text parsers`(_ action: String) throws {
        #expect(try probe("closed", action, "/etc/passwd") == .refused)
    }

    @Test func `PDF parsers reach their own directory for reading and nothing else`() throws {
        let isFenced = try probe("/usr/share", "landlock") == .succeeded
        #expect(
            try probe("/usr/share", "read", "/usr/share/common-licenses/GPL-3") == (isFenced ? .succeeded : .refused))
        #expect(try probe("/usr/share", "write", "/usr/share/acp-probe") == .refused)
        for action in ["read", "list", "unlink"] {
            #expect(try probe("/usr/share", action, "/etc/passwd") == .refused)
            #expect(try probe("/usr/share", action, "/proc/self/environ") == .refused)
            #expect(try probe("/usr/share", action, "/usr/share/../../etc/passwd") == .refused)
        }
    }

    @Test(arguments: ["kill-parent", "executable-memory", "raise-limit", "too-much-memory", "use-descriptor"])
    func `limits cannot be escaped`(_ action: String) throws {
        #expect(try probe("closed", action) == .refused)
    }

    @Test func `CPU time ends`() throws {
        #expect(try probe("closed", "spin") == .killed(SIGXCPU))
    }
}
