internal import ArgumentParser
internal import CLI
internal import Core
internal import Platform

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run one service, with a PostgreSQL and Redis that run elsewhere.",
        discussion: """
            Logs go to standard error and to logs/ of the data directory. Stops on SIGTERM.

            Example:
              acp serve ingest --database-url postgresql://acp@localhost/acp \\
                --redis-url redis://localhost:6379
            """)

    enum Name: String, ExpressibleByArgument, CaseIterable { case ingest, agents, gateway, worker }

    @Argument(help: "Which service.")
    var service: Name

    @OptionGroup var server: ServerOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let configuration = try server.configuration(options)
        let console = Console(isQuiet: options.quiet)
        for warning in configuration.warnings { console.warning(warning) }
        ShutdownSignal.install()
        let telemetry = try Telemetry.start(configuration, service: service.rawValue, standardError: !options.quiet)
        defer { telemetry.logs.close() }
        guard let name = ServiceName(rawValue: service.rawValue) else { return }
        let system = try ServerSystem(configuration: configuration, services: [name], ownsDataDirectory: false)
        let format = options.output ?? OutputFormat(rawValue: configuration[.output]) ?? .table
        let problems = try await system.lifecycle.run {
            StandardOutput.write(ReadyMessage(system).text(format))
        }
        for problem in problems { console.warning("\(problem.component): \(problem.cause)") }
        if !problems.isEmpty { throw EndCommand(ExitStatus.failure) }
    }
}
