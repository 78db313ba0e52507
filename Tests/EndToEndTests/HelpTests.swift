import Foundation
import Testing

/// Every page of help has examples, and they work as they are written there.
@Suite(.enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct HelpTests {
    /// An example and the page that it is on.
    private struct Example {
        var page: String
        var line: String
    }

    /// The pages of `acp` and all commands below it, by the words that lead there.
    private static func pages(_ system: LiveSystem, _ words: [String] = []) async throws -> [[String]: String] {
        let page = try await system.start(words + ["--help"]).wait(seconds: 20)
        #expect(page.status == 0 && page.errors.isEmpty, "acp \(words): \(page.errors)")
        var pages = [words: page.output]
        let list = page.output.components(separatedBy: "\nSUBCOMMANDS:\n").dropFirst().first ?? ""
        for line in list.components(separatedBy: "\n\n")[0].split(separator: "\n") {
            // Continued lines are indented further.
            guard let name = line.firstMatch(of: #/^  ([a-z][a-z-]*)(\s|$)/#)?.1, name != "help" else { continue }
            pages.merge(try await Self.pages(system, words + [String(name)])) { $1 }
        }
        return pages
    }

    /// The lines below `Example:`, up to the next empty one.
    private static func examples(_ words: [String], _ page: String) -> [Example] {
        let block = page.components(separatedBy: "Example:\n").dropFirst().first?.components(separatedBy: "\n\n")[0]
        // A line may go on in the next; one that the page has broken for want of room would not begin with `acp`.
        return (block ?? "").replacing(#/\s*\\\n\s*/#, with: " ").split(separator: "\n").map {
            Example(page: "acp \(words.joined(separator: " "))", line: $0.trimmingCharacters(in: .whitespaces))
        }
    }

    /// What must run first and last; the rest lies between.
    private static func rank(_ line: String) -> Int {
        let order = [
            "acp up": 0, "acp ingest upload": 1, "acp ingest paste": 1, "acp keys create": 1, "acp ingest delete": 3,
            "acp keys revoke": 3, "acp down": 4, "acp init": 5, "acp serve": 6,
        ]
        return order.first { line.hasPrefix($0.key) }?.value ?? 2
    }

    @Test func everyExampleRuns() async throws {
        let elsewhere = try await Elsewhere.shared()
        try await withSystem(settings: elsewhere.settings) { system in
            let pages = try await Self.pages(system)
            #expect(pages.count >= 25, "\(pages.keys.map { $0.joined(separator: " ") }.sorted())")
            var examples: [Example] = []
            for (words, page) in pages.sorted(by: { $0.key.joined(separator: " ") < $1.key.joined(separator: " ") }) {
                let found = Self.examples(words, page)
                #expect(!found.isEmpty, "acp \(words.joined(separator: " ")) has no example")
                examples += found
            }
            try FileManager.default.copyItem(
                atPath: "\(Programs.checkout)/samples", toPath: "\(system.directory)/docs")
            try system.write("notes.md", "# Notes\n\nBackups are checked on Mondays.\n")
            var key = ""
            var seen: Set<String> = []
            for example in examples.sorted(by: { Self.rank($0.line) < Self.rank($1.line) })
            where seen.insert(example.line).inserted {
                var line = example.line
                #expect(line.hasPrefix("acp ") || line.hasPrefix("echo "), "\(example.page): \(line)")
                // What a reader has and this test has not, or the other way round: ids, and where the servers are.
                if line.contains("01936f0e-") {
                    let id = try await Self.id(line.contains("delete") ? "documents" : "jobs", system)
                    line.replace(#/01936f0e[0-9a-f-]+/#, with: id)
                }
                line.replace(#/acp_live_\w+/#, with: key)
                line.replace(#/postgresql:\S+/#, with: "'\(elsewhere.databaseURL)'")
                line.replace(#/redis:\S+/#, with: "'\(elsewhere.redisURL)'")
                if line.hasPrefix("acp serve") {
                    try await Self.serve(line, example, system)
                    continue
                }
                if line.hasPrefix("acp init") {
                    // On a machine where nothing was yet.
                    try await withSystem { machine in
                        let ended = try await Self.shell(line, machine).wait(seconds: 60)
                        #expect(ended.status == 0, "\(example.page): \(line): \(ended.output) \(ended.errors)")
                    }
                    continue
                }
                // Settings are changed in a file of their own.
                let isSetting = line.contains("set-service")
                let settings =
                    isSetting ? ["ACP_CONFIG": "\(system.directory)/other.toml", "ACP_API_KEY": "acp_live_any"] : [:]
                let ended = try await Self.shell(line, system, settings).wait(seconds: 60)
                #expect(ended.status == 0, "\(example.page): \(line): \(ended.output) \(ended.errors)")
                if line.hasPrefix("acp keys create") {
                    let listed = try await system.acp("keys", "list", "-o", "json")
                    let keys = listed.json["keys"] as? [[String: Any]] ?? []
                    key = keys.first { $0["name"] as? String == "reporting" }?["id"] as? String ?? key
                }
            }
        }
    }

    private static func shell(_ line: String, _ system: LiveSystem, _ settings: [String: String] = [:]) throws -> Child
    {
        try Child(
            "/bin/sh", ["-c", "cd '\(system.directory)' && PATH='\(Programs.directory)':$PATH && \(line)"],
            environment: system.environment.merging(settings) { $1 }, directory: "\(system.directory)/out")
    }

    /// The newest job or document.
    private static func id(_ what: String, _ system: LiveSystem) async throws -> String {
        let list = try await system.acp("ingest", what, "-o", "json")
        return ((list.json[what] as? [[String: Any]])?.first?["id"] as? String) ?? ""
    }

    /// A service runs until it is told to stop.
    private static func serve(_ line: String, _ example: Example, _ system: LiveSystem) async throws {
        let child = try shell("exec \(line)", system)
        let isReady = try await eventually(seconds: 30) { child.hasEnded || "\n\(child.output)".contains("\ndata ") }
        #expect(isReady && !child.hasEnded, "\(example.page): \(line): \(child.output) \(child.errors)")
        child.signal(SIGTERM)
        let ended = try await child.wait(seconds: 20)
        #expect(ended.status == 0, "\(example.page): \(line): \(ended.errors)")
    }
}
