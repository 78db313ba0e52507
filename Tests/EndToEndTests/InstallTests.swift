import Foundation
import Glibc
import Testing

/// The scripts that put things on a machine, with the programs that are built already.
@Suite(.enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct InstallTests {
    private static func run(
        _ script: String, _ arguments: String..., path: String = "", in directory: String
    ) async throws -> Ended {
        var environment = ProcessInfo.processInfo.environment
        environment["ACP_BIN_DIR"] = Programs.directory
        if !path.isEmpty { environment["PATH"] = "\(path):\(environment["PATH"] ?? "/usr/bin:/bin")" }
        return try await Child(
            "\(Programs.checkout)/dev/\(script)", arguments, environment: environment, directory: directory
        ).wait(seconds: 120)
    }

    @Test func whatIsInstalledWorksFromItsPlace() async throws {
        try await withServices { system in
            let (out, prefix) = ("\(system.directory)/out", "\(system.directory)/prefix")
            let installed = try await Self.run("install", prefix, in: out)
            #expect(installed.status == 0, "\(installed.errors)")
            for program in ["acp", "acp-extract"] {
                #expect(installed.errors.contains("installed \(prefix)/bin/\(program)"), "\(installed.errors)")
            }
            #expect(installed.errors.contains("is not on PATH"), "\(installed.errors)")
            func acp(_ arguments: String...) async throws -> Ended {
                try await Child(
                    "\(prefix)/bin/acp", arguments, environment: system.environment, directory: out
                ).wait(seconds: 60)
            }
            let version = try await acp("--version")
            #expect(version.status == 0 && version.output.hasPrefix("acp "), "\(version.errors)")
            #expect(try await acp("status").status == 6, "nothing runs yet")
            // The parser beside it is found, and both go on while they are replaced.
            let up = try await acp("up", "--detach")
            #expect(up.status == 0, "\(up.errors)")
            let again = try await Self.run("install", prefix, in: out)
            #expect(again.status == 0, "\(again.errors)")
            let paste = try await acp("ingest", "paste", "Backups are kept for seven years.")
            #expect(paste.status == 0 && paste.output.contains("published"), "\(paste.output) \(paste.errors)")
            #expect(try await acp("status").status == 0)
            #expect(try await acp("down").status == 0)
            let names = try FileManager.default.contentsOfDirectory(atPath: "\(prefix)/bin").sorted()
            #expect(names == ["acp", "acp-extract"], "nothing half written stays")
        }
    }

    @Test func aPlaceThatCannotBeWrittenIsNamed() async throws {
        let directory = try Self.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data().write(to: URL(fileURLWithPath: "\(directory)/file"))
        let refused = try await Self.run("install", "\(directory)/file", in: directory)
        #expect(refused.status == 1 && refused.errors.contains("\(directory)/file/bin"), "\(refused.errors)")
        #expect(refused.errors.contains("another PREFIX"), "\(refused.errors)")
        #expect(try await Self.run("install", "a", "b", in: directory).status == 64)
    }

    @Test(.enabled(if: access("/usr/bin/dpkg-query", X_OK) == 0, "this system is not Debian"))
    func setupDoesNothingWhereAllIsThere() async throws {
        let directory = try Self.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        // Whatever would change the machine goes through one of these.
        try FileManager.default.createDirectory(atPath: "\(directory)/bin", withIntermediateDirectories: true)
        for program in ["apt-get", "apt", "dpkg", "sudo", "systemctl", "curl", "pip", "pip3"] {
            let path = "\(directory)/bin/\(program)"
            try "#!/bin/sh\necho \"\(program) $*\" >> '\(directory)/called'\nexit 1\n".write(
                toFile: path, atomically: true, encoding: .utf8)
            chmod(path, 0o755)
        }
        for run in 1...2 {
            let setup = try await Self.run("setup", path: "\(directory)/bin", in: directory)
            let called = (try? String(contentsOfFile: "\(directory)/called", encoding: .utf8)) ?? ""
            #expect(setup.status == 0 && called.isEmpty, "run \(run): \(called) \(setup.errors)")
            #expect(setup.output.isEmpty && setup.errors.isEmpty, "run \(run): \(setup.output) \(setup.errors)")
        }
    }

    private static func temporaryDirectory() throws -> String {
        let path = "/tmp/acp-install-\(UInt32.random(in: 0...(.max)))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        return path
    }
}
