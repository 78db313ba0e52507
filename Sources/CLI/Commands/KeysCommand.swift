internal import ArgumentParser
internal import Core
internal import RPC

struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Manage API keys; needs an admin key.",
        discussion: """
            Example:
              acp keys create reporting --role viewer
            """,
        subcommands: [KeysCreate.self, KeysList.self, KeysRevoke.self])
}

struct KeysCreate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a key. It is shown this once.",
        discussion: """
            Example:
              acp keys create reporting --role viewer
            """)

    enum RoleName: String, ExpressibleByArgument, CaseIterable { case viewer, analyst, admin }

    @Argument(help: "Who or what will use the key.")
    var name: String

    @Option(name: .long, help: "What the key allows.")
    var role: RoleName = .viewer

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let request = CreateKeyRequest(name: name, role: role.rawValue)
        try await Session.run(options) { session in
            let response = try await session.keys().createKey(request, options: session.callOptions)
            try session.output.emit(response) { "\(response.secret)\n" }
            session.console.note("The key is not shown again: store it now.")
        }
    }
}

struct KeysList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List all keys, revoked ones included.",
        discussion: """
            Example:
              acp keys list
            """)

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        try await Session.run(options) { session in
            let response = try await session.keys().listKeys(ListKeysRequest(), options: session.callOptions)
            try session.output.emit(response, items: { try response.keys.map { try JSONValue($0) } }) {
                var table = Table("ID", "NAME", "ROLE", "CREATED", "LAST USED", "STATE")
                for key in response.keys {
                    table.add(
                        key.id, key.name, key.role, shortTime(key.createdAt), shortTime(key.lastUsedAt),
                        key.revoked ? "revoked" : "active")
                }
                return session.output.render(table)
            }
        }
    }
}

struct KeysRevoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Revoke a key; effective everywhere within a second.",
        discussion: """
            Example:
              acp keys revoke acp_live_4fK2x9Qa --yes
            """)

    @Argument(help: "The key's id, as `acp keys list` shows it.")
    var id: String

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let id = self.id
        try await Session.run(options) { session in
            try session.confirm("Revoke the key \(Terminal.oneLine(id))?")
            let key = try await session.keys().revokeKey(RevokeKeyRequest(id: id), options: session.callOptions)
            try session.output.emit(key) { "revoked \(key.id)\n" }
        }
    }
}
