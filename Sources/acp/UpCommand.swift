internal import ArgumentParser
internal import CLI
internal import Core
internal import Glibc
internal import Platform

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Run everything on this machine: services, worker, and an embedded PostgreSQL and Redis.",
        discussion: """
            The first start prints an administrator's API key and stores it for this user's command line.
            Stops on Ctrl-C or `acp down`.

            Example:
              acp up --detach
            """)

    @Flag(help: "Return once everything is ready and keep running in the background.")
    var detach = false

    @Flag(name: .customLong("new-admin-key"), help: "Make another administrator's key, e.g. when the first was lost.")
    var newAdminKey = false

    /// Set in the process that `--detach` starts.
    @Flag(name: .customLong("detached"), help: .hidden)
    var isDetached = false

    @OptionGroup var server: ServerOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let configuration = try server.configuration(options)
        let console = Console(isQuiet: options.quiet)
        if detach {
            try await Detached.start(configuration, console)
            return
        }
        for warning in configuration.warnings { console.warning(warning) }
        let announcement = isDetached ? try Detached.Announcement(configuration) : nil
        ShutdownSignal.install()
        let telemetry = try Telemetry.start(configuration, service: "acp", standardError: false)
        let system = try ServerSystem(
            configuration: configuration, services: Set(ServiceName.allCases), ownsDataDirectory: true,
            makesAnotherKey: newAdminKey)
        let format = options.output ?? OutputFormat(rawValue: configuration[.output]) ?? .table
        defer { telemetry.logs.close() }
        let problems = try await system.lifecycle.run {
            let text = ReadyMessage(system).text(format)
            guard let announcement else {
                StandardOutput.write(text)
                if let key = system.adminKey { console.note(key.advice) }
                if let hint = ReadyMessage.hint(system) { console.note(hint) }
                return
            }
            announcement.ready(text, hint: ReadyMessage.hint(system))
        }
        for problem in problems { console.warning("\(problem.component): \(problem.cause)") }
        if !problems.isEmpty { throw EndCommand(ExitStatus.failure) }
    }
}

/// What `acp up` and `acp serve` print once everything answers.
struct ReadyMessage {
    private var lines: [(name: String, value: String)] = []

    init(_ system: ServerSystem) {
        func add(_ name: String, _ service: ServiceName) {
            if let url = Self.url(of: service, system) { lines.append((name, url)) }
        }
        add("url", .gateway)
        add("ingest", .ingest)
        add("agents", .agents)
        add("worker", .worker)
        lines.append(("data", system.configuration[.dataDirectory]))
        if let key = system.adminKey { lines.append(("api key", key.text)) }
    }

    func text(_ format: OutputFormat) -> String {
        switch format {
        case .table, .wide:
            return lines.map { name, value in
                name + String(repeating: " ", count: 9 - name.utf8.count) + value + "\n"
            }.joined()
        case .json, .jsonl:
            let fields = lines.map { "\"\(Self.key($0.name))\":\"\(Self.escaped($0.value))\"" }
            return "{\(fields.joined(separator: ","))}\n"
        case .yaml: return lines.map { "\(Self.key($0.name)): \"\(Self.escaped($0.value))\"\n" }.joined()
        }
    }

    /// How a service that listens is reached.
    private static func url(of service: ServiceName, _ system: ServerSystem) -> String? {
        guard let address = system.addresses[service] else { return nil }
        let scheme = service == .gateway || service == .worker ? "http" : "acp"
        let isEncrypted = system.configuration.encryptsByDefault(host: system.configuration[service.address.host])
        return "\(scheme)\(isEncrypted ? "s" : "")://\(address)"
    }

    /// How other commands find services whose ports only this command line knows; nil when they find them anyway.
    static func hint(_ system: ServerSystem) -> String? {
        let commands = [ServiceName.ingest, .agents, .gateway].compactMap { name -> String? in
            guard let url = url(of: name, system),
                case .flag? = try? system.configuration.setting(name.address.port.entry.name).origin
            else { return nil }
            return "acp config set-service \(name.rawValue) --url \(url)"
        }
        guard !commands.isEmpty else { return nil }
        return "Other commands look at the usual ports. To point them here:\n  " + commands.joined(separator: "\n  ")
    }

    private static func key(_ name: String) -> String { name == "api key" ? "apiKey" : name }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text {
            if character == "\"" || character == "\\" { escaped.append("\\") }
            escaped.append(character)
        }
        return escaped
    }
}
