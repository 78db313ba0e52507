import ArgumentParser
import Platform
import Testing

@testable import CLI

/// Settings on the command line: every one by `--set`, some by options of their own.
@Suite struct SettingFlagTests {
    private func load(_ arguments: [String]) throws -> Configuration {
        // A file that exists and says nothing: the machine's own must not matter.
        try GlobalOptions.parse(["--config", "/dev/null"] + arguments).loadConfiguration()
    }

    @Test func everySettingOfTheTableIsTaken() throws {
        for setting in try load([]).all {
            let name = setting.entry.name
            guard let text = Self.sample(setting.entry.kind) else { continue }
            let set = try load(["--set", "\(name)=\(text)"])
            #expect(try set.setting(name).origin == .flag, "\(name)")
        }
    }

    /// A text that the kind accepts.
    private static func sample(_ kind: ConfigKind) -> String? {
        switch kind {
        case .string, .secret: "text"
        case .path: "some/file"
        case .choice(let words): words.last
        case .integer(let range), .bytes(let range): "\(range.upperBound)"
        case .boolean: "true"
        case .duration(let range): "\(range.upperBound)ms"
        case .url(let schemes): schemes.first.map { "\($0)://127.0.0.1:1" }
        }
    }

    @Test func theLastOneCountsAndPathsAreRelativeToTheirPlace() throws {
        let set = try load(["--set", "timeout=5s", "--set", "timeout=7s", "--set", "rpc.tls-ca=keys/ca.pem"])
        #expect(set[.timeout] == .seconds(7))
        #expect(set[.rpcTLSCA] == absolutePath("keys/ca.pem"))
        #expect(try GlobalOptions.parse(["--set", "timeout=5s"]).sets("timeout"))
    }

    @Test(arguments: [
        (["--set", "tiemout=5s"], "timeout"), (["--set", "timeout=soon"], "soon"),
        (["--set", "ingest.port=70000"], "65535"), (["--set", "timeout=5s", "--timeout", "6s"], "--set timeout"),
    ])
    func wrongOnesAreMistakesOfTheCommandLine(_ arguments: [String], _ says: String) {
        let problem = #expect(throws: UsageProblem.self) { try load(arguments) }
        #expect(problem?.message.contains(says) == true, "\(problem?.message ?? "")")
    }

    @Test func valuesThatOthersMustNotSeeAreWarnedAbout() throws {
        let open = try load(["--set", "api-key=acp_live_x", "--set", "database.url=postgresql://acp:hush@h/acp"])
        #expect(open.warnings.count == 2, "\(open.warnings)")
        #expect(open.warnings.contains { $0.contains("ACP_API_KEY") && $0.contains("can be seen") })
        #expect(open.warnings.allSatisfy { !$0.contains("hush") && !$0.contains("acp_live_x") })
        #expect(try load(["--api-key", "acp_live_x"]).warnings.count == 1)
        #expect(try load(["--set", "api-key=env:PATH"]).warnings.isEmpty)
    }
}
