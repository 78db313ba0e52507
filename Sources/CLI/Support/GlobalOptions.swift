public import ArgumentParser
internal import Core
public import Platform

/// How results are printed.
public enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    case table, wide, json, jsonl, yaml
}

/// The options that every command takes.
public struct GlobalOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp("Configuration file; $ACP_CONFIG or ~/.config/acp/config.toml otherwise.", valueName: "file")
    )
    public var config: String?

    @Option(
        name: .customLong("data-dir"),
        help: ArgumentHelp("Directory of the embedded database, originals, index and logs.", valueName: "dir"))
    public var dataDirectory: String?

    @Option(
        name: .customLong("ingest-url"),
        help: ArgumentHelp("Ingest service, e.g. acp://127.0.0.1:8000.", valueName: "url"))
    public var ingestURL: String?

    @Option(
        name: .customLong("agents-url"),
        help: ArgumentHelp("Agents service, e.g. acp://127.0.0.1:8001.", valueName: "url"))
    public var agentsURL: String?

    @Option(
        name: .customLong("api-key"),
        help: ArgumentHelp(
            "API key. Other users can see it here: prefer ACP_API_KEY or the configuration.", valueName: "key"))
    public var apiKey: String?

    @Option(name: [.customShort("o"), .customLong("output")], help: "How results are printed.")
    public var output: OutputFormat?

    @Option(help: ArgumentHelp("Longest wait for one answer, e.g. 30s.", valueName: "duration"))
    public var timeout: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Any setting, e.g. ingest.workers=4; `acp config show` lists them. Repeatable.", valueName: "key=value")
    )
    var settings: [KeyValue] = []

    @Flag(help: "Print results and errors only.")
    public var quiet = false

    @Flag(name: .customLong("no-input"), help: "Never ask; fail instead.")
    public var noInput = false

    @Flag(name: .customLong("yes"), help: "Answer every question with yes.")
    public var yes = false

    public init() {}

    /// The settings that these options give, by key.
    public var flags: [String: String] {
        var flags: [String: String] = [:]
        flags["data-dir"] = dataDirectory.map(absolutePath)
        flags["ingest.url"] = ingestURL.map(Self.url)
        flags["agents.url"] = agentsURL.map(Self.url)
        flags["api-key"] = apiKey
        flags["output"] = output?.rawValue
        flags["timeout"] = timeout
        return flags
    }

    /// `host:port` is what people type.
    private static func url(_ text: String) -> String {
        text.contains("://") || text.hasPrefix("env:") || text.hasPrefix("file:") ? text : "acp://\(text)"
    }

    /// Whether `--set` gives the setting called `name`.
    public func sets(_ name: String) -> Bool { settings.contains { $0.key == name } }

    /// The settings of `--set`, the last of each; paths are relative to where the command is typed, as with other options.
    private func assigned() -> [String: String] {
        KeyValue.dictionary(settings).reduce(into: [:]) { flags, pair in
            let isPath = ConfigTable.entry(named: pair.key)?.kind == .path && !pair.value.hasPrefix("~/")
            flags[pair.key] = isPath && !pair.value.isEmpty ? absolutePath(pair.value) : pair.value
        }
    }

    /// The configuration with these options and `extra` flags on top.
    /// - Throws: `Failure`; `UsageProblem` when it is a flag that is wrong.
    public func loadConfiguration(extra: [String: String] = [:]) throws -> Configuration {
        let options = flags.merging(extra) { $1 }
        let assigned = assigned()
        if let both = assigned.keys.sorted().first(where: { options[$0] != nil }) {
            throw UsageProblem("--set \(both)=… and an option of its own both give \(both): leave one of them out.")
        }
        do throws(Failure) {
            return try Configuration.load(
                flags: options.merging(assigned) { $1 }, configPath: config.map(absolutePath))
        } catch {
            let isFlag = !error.fields.isEmpty && error.fields.allSatisfy { $0.description.hasPrefix("flag: ") }
            guard isFlag else { throw error }
            throw UsageProblem(error.fields.map { String($0.description.dropFirst(6)) }.joined(separator: "\n"))
        }
    }
}
