internal import ArgumentParser

struct RpcCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rpc", abstract: "Call any method of any ACP/1 server, with JSON in and out.",
        discussion: """
            The server says itself what it answers (acp.v1.Reflection): nothing needs to be known in advance.

            Example:
              acp rpc call acp.v1.Health/Check --server ingest
            """,
        subcommands: [RpcList.self, RpcDescribe.self, RpcCall.self])
}

/// Which server a command talks to.
struct ServerOption: ParsableArguments, Sendable {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "ingest, agents, gateway, or an address such as acp://127.0.0.1:8000. Without it ingest and agents are asked. "
                + "The API key is sent to it.", valueName: "server"))
    var server: String?
}
