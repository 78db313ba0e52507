internal import ArgumentParser
internal import Core
internal import Platform
internal import RPC

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show and change settings.",
        discussion: """
            Example:
              acp config show
            """,
        subcommands: [ConfigShow.self, ConfigSetService.self, ConfigValidate.self])
}

struct ConfigShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show every setting with the place its value came from; secrets are hidden.",
        discussion: """
            Example:
              acp config show -o json
            """)

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        try await Session.run(options) { session in
            let settings = session.configuration.all
            let rows = settings.map { setting in
                JSONValue.fields(
                    ("key", .string(setting.entry.name)),
                    ("value", setting.value == nil ? .null : .string(setting.shown)),
                    ("origin", .string(setting.origin.description)))
            }
            try session.output.emit(
                { .fields(("file", .string(session.configuration.path)), ("settings", .array(rows))) }, items: { rows }
            ) {
                var table = Table("KEY", "VALUE", "ORIGIN")
                for setting in settings {
                    table.add(
                        setting.entry.name, setting.value == nil ? "-" : setting.shown, setting.origin.description)
                }
                return session.output.render(table)
            }
        }
    }
}

struct ConfigValidate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Check every setting; exit status 1 when one is wrong.",
        discussion: """
            Example:
              acp config validate
            """)

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        // Loading is the check; what is wrong with the settings is thrown with its place.
        try await Session.run(options) { session in
            try session.configuration.clientTLS().check()
            try session.configuration.serverTLS()?.check()
            let path = session.configuration.path
            let warnings = session.configuration.warnings
            try session.output.emit({
                .fields(
                    ("valid", .bool(true)), ("file", .string(path)), ("warnings", .array(warnings.map { .string($0) })))
            }) { "\(path): valid\n" }
        }
    }
}

struct ConfigSetService: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set-service", abstract: "Write a service's address and the API key into the configuration file.",
        discussion: """
            The API key is one for all services.

            Example:
              acp config set-service ingest --url http://localhost:8000
              acp config set-service ingest --url acps://documents.example.org:8000
              echo "$ACP_API_KEY" | acp config set-service ingest --api-key-stdin
            """)

    enum Name: String, ExpressibleByArgument, CaseIterable { case ingest, agents, gateway }

    @Argument(help: "Which service.")
    var name: Name

    @Option(name: .long, help: "Its address.")
    var url: String?

    @Flag(
        name: .customLong("api-key-stdin"),
        help: "Read the API key from standard input; on a terminal, ask for it without showing it.")
    var apiKeyFromInput = false

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        guard url != nil || options.apiKey != nil || apiKeyFromInput else {
            throw UsageProblem("nothing to set: give --url, --api-key-stdin or --api-key.")
        }
        let path = options.config.map(absolutePath) ?? Configuration.defaultPath()
        let console = Console(isQuiet: options.quiet)
        var values: [(key: String, value: String?)] = []
        if let url {
            if name != .gateway { _ = try Endpoint(url) }
            values.append(("\(name.rawValue).url", url))
        }
        if apiKeyFromInput {
            values.append(("api-key", try StandardInput.secret("API key")))
        } else if let key = options.apiKey {
            console.warning("--api-key can be seen by other users of this machine; --api-key-stdin cannot.")
            values.append(("api-key", key))
        }
        try Configuration.set(values, inFile: path)
        console.note("Written to \(path): \(values.map(\.key).joined(separator: ", "))")
    }
}
