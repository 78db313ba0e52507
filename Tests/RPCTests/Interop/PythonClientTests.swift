import Core
import Foundation
import Glibc
import RPC
import Testing

/// The Python client of Tests/Interop, which knows only docs/protocol.md, against real servers.
@Suite(.timeLimit(.minutes(5))) struct PythonClientTests {
    /// run.py could not get its packages: no network.
    private static let skipped: Int32 = 75

    @Test func aClientWrittenFromTheDocumentPassesItsCases() async throws {
        let script = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
            .appending(path: "../../Interop/run.py").standardizedFileURL
        // The document's defaults are what the cases expect.
        try await ControlSystem.with(.init(transport: .tcp, isWrapped: false)) { plain in
            try await ControlSystem.with(.init(transport: .tcp, isWrapped: true)) { wrapped in
                let (status, output) = try await run([
                    "python3", script.path(), "--plain", String(plain.port), "--wrapped", String(wrapped.port),
                ])
                let lines = output.split(separator: "\n").map(String.init)
                guard status != Self.skipped else {
                    // dev/check counts it as neither passed nor failed.
                    print("SKIPPED aClientWrittenFromTheDocumentPassesItsCases(): \(lines.last ?? "")")
                    return
                }
                #expect(status == 0, "\(output)")
                #expect(lines.last?.hasSuffix(" passed, 0 failed") ?? false, "\(output)")
            }
        }
    }

    /// Runs a command and returns its status and all it wrote. The servers' loops go on meanwhile.
    ///
    /// Not with Foundation's `Process`: it waits with select, which knows no descriptor above 1,023, and with every suite of this target
    /// running at once there are more.
    private func run(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        let file = FileManager.default.temporaryDirectory.appending(path: "acp-interop-\(UUIDv7()).log")
        defer { try? FileManager.default.removeItem(at: file) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, file.path(), O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // It ends by itself long before; a hang must not outlive the test.
        let words = ["timeout", "--kill-after", "5", "240"] + arguments
        let argv = words.map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + environment { free(pointer) } }
        var pid = pid_t()
        let error = posix_spawnp(&pid, words[0], &actions, nil, argv, environment)
        guard error == 0 else { throw Failure(.unavailable, "\(words[0]) cannot be started: error \(error)") }
        let child = pid
        let status = await withCheckedContinuation { (continuation: CheckedContinuation<Int32, Never>) in
            Thread.detachNewThread {
                var status: Int32 = 0
                while waitpid(child, &status, 0) < 0, errno == EINTR {}
                continuation.resume(returning: status & 0x7F == 0 ? status >> 8 & 0xFF : -1)
            }
        }
        return (status, String(decoding: try Data(contentsOf: file), as: UTF8.self))
    }
}
