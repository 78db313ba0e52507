internal import ArgumentParser
internal import Core
internal import RPC

struct RpcDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show a service, method, message or enum as its proto file declares it.",
        discussion: """
            Comments, HTTP routes and access rules are shown with it; a method comes with its messages.

            Example:
              acp rpc describe acp.v1.Search.Search
            """)

    @Argument(help: "Full name, such as acp.v1.Job; of a service or method the last part is enough.")
    var symbol: String

    @OptionGroup var server: ServerOption
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let (symbol, server) = (symbol, server.server)
        try await Session.run(options) { session in
            let found = try await RpcServers(session, server).find(symbol)
            guard let declared = found.pool.symbol(found.name), let file = found.pool.file(declaring: found.name) else {
                preconditionFailure("what was found is declared")
            }
            let text = Terminal.lines(ProtoPrinter(found.pool).text(declared))
            try session.output.emit({
                .fields(
                    ("name", .string(found.name)), ("kind", .string(declared.kind)), ("server", .string(found.server)),
                    ("file", .string(file.name)), ("text", .string(text)))
            }) { "// \(declared.kind) \(found.name), from \(Terminal.oneLine(file.name))\n\n\(text)" }
        }
    }
}

extension DescriptorPool.Symbol {
    fileprivate var kind: String {
        switch self {
        case .message: "message"
        case .enumeration: "enum"
        case .value: "enum value"
        case .field: "field"
        case .extension: "extension"
        case .service: "service"
        case .method: "method"
        }
    }
}
