public import ArgumentParser
internal import Core
internal import Glibc
internal import Platform

/// Runs the command that the arguments name.
public enum CommandRunner {
    /// Runs it with the arguments of this process and ends the process with its status.
    public static func main(_ root: any ParsableCommand.Type) async -> Never {
        signal(SIGPIPE, SIG_IGN)
        let status = await run(root, Array(CommandLine.arguments.dropFirst()))
        // Everything is written; threads of event loops may still run, so no exit handlers.
        _exit(status)
    }

    /// - Returns: the exit status.
    public static func run(_ root: any ParsableCommand.Type, _ arguments: [String]) async -> Int32 {
        do {
            try checkNames(root, arguments)
            var command = try root.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return ExitStatus.success
        } catch {
            return ErrorPresenter.present(error, root: root)
        }
    }

    /// The argument parser names a misspelt subcommand "unexpected argument"; people need to hear what there is.
    private static func checkNames(_ root: any ParsableCommand.Type, _ arguments: [String]) throws {
        var current = root
        var path = name(of: root)
        for argument in arguments {
            let known = current.configuration.subcommands
            guard !known.isEmpty, !argument.hasPrefix("-"), argument != "help" else { return }
            guard let next = known.first(where: { name(of: $0) == argument }) else {
                let names = known.filter { $0.configuration.shouldDisplay }.map(name)
                let near = Spelling.nearest(to: argument, among: names)
                throw UsageProblem(
                    "there is no command `\(path) \(Terminal.oneLine(argument))`. "
                        + (near.map { "Did you mean `\(path) \($0)`?" }
                            ?? "Commands: \(names.joined(separator: ", ")).")
                        + "\n  next:  \(path) --help")
            }
            path += " \(argument)"
            current = next
        }
    }

    private static func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? String(describing: command).lowercased()
    }
}

/// The commands that talk to services; the executable adds those that run them.
public enum ClientCommands {
    public static let all: [any ParsableCommand.Type] = [
        StatusCommand.self, IngestCommand.self, SearchCommand.self, AskCommand.self, CiteCommand.self,
        ConfigCommand.self, KeysCommand.self, RpcCommand.self,
    ]
}
