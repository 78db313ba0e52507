internal import ArgumentParser
internal import CLI
internal import Platform

@main
struct AcpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acp",
        abstract: "Analyst Copilot: documents in, cited answers out, all on this machine.",
        discussion: """
            Example:
              acp up --detach
              acp ingest upload docs/
              acp ask "How long are backups kept?"
            """,
        version: "acp \(BuildInformation.version)",
        subcommands: [UpCommand.self, DownCommand.self, ServeCommand.self, InitCommand.self] + ClientCommands.all)

    static func main() async { await CommandRunner.main(AcpCommand.self) }
}
