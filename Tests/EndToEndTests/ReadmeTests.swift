import Foundation
import Testing

/// The README's commands work as they are written there.
@Suite(.enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct ReadmeTests {
    /// The lines of code blocks that begin with `command`.
    private static func lines(_ command: String) throws -> [String] {
        let text = try String(contentsOfFile: "\(Programs.checkout)/README.md", encoding: .utf8)
        let blocks = text.components(separatedBy: "\n```").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
        return blocks.flatMap { $0.split(separator: "\n") }.map(String.init).filter { $0.hasPrefix(command + " ") }
    }

    @Test func itsCommandsWork() async throws {
        try await withServices { system in
            for (name, copy) in [("samples", "docs"), ("samples/spec/returns-interface.pdf", "spec.pdf")] {
                try FileManager.default.copyItem(
                    atPath: "\(Programs.checkout)/\(name)", toPath: "\(system.directory)/\(copy)")
            }
            let commands = try Self.lines("acp")
            let requests = try Self.lines("curl")
            #expect(commands.count >= 6 && requests.count >= 2, "\(commands) \(requests)")
            let last = commands.firstIndex { $0.hasPrefix("acp down") } ?? commands.endIndex
            for line in commands[..<last] + requests + commands[last...] {
                let key = (try? Self.key(system)) ?? ""
                // The port is the only thing that a reader has and this test has not.
                let command = line.replacingOccurrences(of: ":8080", with: ":\(system.ports.gateway)")
                let script = "cd '\(system.directory)' && PATH='\(Programs.directory)':$PATH && \(command)"
                let child = try Child(
                    "/bin/sh", ["-c", script],
                    environment: system.environment.merging(key.isEmpty ? [:] : ["ACP_API_KEY": key]) { $1 },
                    directory: "\(system.directory)/out")
                let ended = try await child.wait(seconds: 60)
                #expect(ended.status == 0, "\(line): \(ended.output) \(ended.errors)")
                if line.hasPrefix("curl") {
                    #expect(!ended.output.contains("urn:acp:problem"), "\(line): \(ended.output)")
                }
            }
        }
    }

    /// The key that `acp up` stored.
    private static func key(_ system: LiveSystem) throws -> String {
        let text = try String(contentsOfFile: "\(system.directory)/config.toml", encoding: .utf8)
        return text.firstMatch(of: #/api-key = "(\w+)"/#).map { String($0.1) } ?? ""
    }
}
