import Foundation
import Testing

/// What a newcomer types first, with the programs that are built already.
@Suite(.enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct DemoTests {
    private static func demo(_ system: LiveSystem, _ arguments: String...) throws -> Child {
        let settings = [
            "ACP_BIN_DIR": Programs.directory,
            "ACP_INGEST_PORT": "\(system.ports.ingest)", "ACP_AGENTS_PORT": "\(system.ports.agents)",
            "ACP_GATEWAY_PORT": "\(system.ports.gateway)",
            // Of somebody who uses acp already: not to be touched.
            "ACP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "ACP_API_KEY": "acp_live_none",
        ]
        return try Child(
            "\(Programs.checkout)/dev/demo", arguments,
            environment: ProcessInfo.processInfo.environment.merging(settings) { $1 },
            directory: "\(system.directory)/out")
    }

    private static func endsWithTheCitedAnswer(_ output: String, _ notes: String) -> Bool {
        output.contains("A customer has 30 days from delivery to register a return. [1]")
            && output.contains("key    acp_") && notes.contains("6 published")
            && notes.contains("1 hold, 0 do not, 0 could not be checked")
    }

    /// What is shown as typed.
    private static func commands(_ text: String) -> [Substring] {
        text.split(separator: "\n").filter { $0.hasPrefix("$ acp ") }
    }

    @Test func onceEndsWithTheCitedAnswerAndStopsEverything() async throws {
        try await withServices { system in
            let ended = try await Self.demo(system, "--once").wait(seconds: 120)
            #expect(ended.status == 0, "\(ended.output) \(ended.errors)")
            #expect(Self.endsWithTheCitedAnswer(ended.output, ended.errors), "\(ended.output) \(ended.errors)")
            #expect(
                Self.commands(try String(contentsOfFile: "\(Programs.checkout)/README.md", encoding: .utf8))
                    == Self.commands(ended.output))
            await #expect(throws: (any Error).self, "the gateway still answers") { try await system.curl("/healthz") }
        }
    }

    @Test func itStaysUpWithAddressAndKeyUntilItIsInterrupted() async throws {
        try await withServices { system in
            let demo = try Self.demo(system)
            let isUp = try await eventually(seconds: 120) {
                demo.hasEnded || demo.errors.contains("running until Ctrl-C")
            }
            #expect(isUp && !demo.hasEnded, "\(demo.output) \(demo.errors)")
            #expect(Self.endsWithTheCitedAnswer(demo.output, demo.errors), "\(demo.output) \(demo.errors)")
            let key = demo.output.firstMatch(of: #/key    (acp_\w+)/#).map { String($0.1) } ?? ""
            let answer = try await system.curl("/v1/search?query=refund", "-H", "Authorization: Bearer \(key)")
            #expect(answer.status == 200 && answer.body.contains("documentId"), "\(answer.body)")
            demo.signal(SIGINT)
            let ended = try await demo.wait(seconds: 30)
            #expect(ended.status == 130, "\(ended.status) \(ended.errors)")
            await #expect(throws: (any Error).self, "the gateway still answers") { try await system.curl("/healthz") }
        }
    }
}
