import Core
import Foundation
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
                    print("The Python client was not run: \(lines.last ?? "")")
                    return
                }
                #expect(status == 0, "\(output)")
                #expect(lines.last?.hasSuffix(" passed, 0 failed") ?? false, "\(output)")
            }
        }
    }

    /// Runs a command and returns its status and all it wrote. The servers' loops go on meanwhile.
    private func run(_ arguments: [String]) async throws -> (status: Int32, output: String) {
        let file = FileManager.default.temporaryDirectory.appending(path: "acp-interop-\(UUIDv7()).log")
        try Data().write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let output = try FileHandle(forWritingTo: file)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // It ends by itself long before; a hang must not outlive the test.
        process.arguments = ["timeout", "--kill-after", "5", "240"] + arguments
        process.standardOutput = output
        process.standardError = output
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch {
                process.terminationHandler = nil
                continuation.resume(throwing: error)
            }
        }
        return (status, String(decoding: try Data(contentsOf: file), as: UTF8.self))
    }
}
