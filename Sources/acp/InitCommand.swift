internal import ArgumentParser
internal import CLI
internal import Core
internal import Platform
internal import Storage

struct InitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Prepare this machine: check what is needed, make the data directory and the database.",
        discussion: """
            `acp up` does the same when it has to; this shows problems before.

            Example:
              acp init --data-dir ~/acp-data
            """)

    @OptionGroup var server: ServerOptions
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let configuration = try server.configuration(options)
        let console = Console(isQuiet: options.quiet)
        for warning in configuration.warnings { console.warning(warning) }
        _ = try ServerSystem.extractor(configuration)
        // Starting the embedded servers checks their programs, the user, the directory and its permissions.
        let telemetry = try Telemetry.start(configuration, service: "acp", standardError: false)
        defer { telemetry.logs.close() }
        ShutdownSignal.install()
        let system = try ServerSystem(configuration: configuration, services: [], ownsDataDirectory: true)
        do {
            try await system.lifecycle.start()
        } catch is CancellationError {
            throw EndCommand(ExitStatus.interrupted)
        }
        let problems = await system.lifecycle.stop()
        for problem in problems { console.warning("\(problem.component): \(problem.cause)") }
        if options.dataDirectory != nil {
            try Configuration.set([("data-dir", configuration[.dataDirectory])], inFile: configuration.path)
            console.note("Written to \(configuration.path): data-dir")
        }
        StandardOutput.write("data     \(configuration[.dataDirectory])\n")
        console.note("Ready: run `acp up`.")
    }
}
