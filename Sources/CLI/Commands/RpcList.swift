internal import ArgumentParser
internal import Core
internal import RPC

struct RpcList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the services of a server, or the methods of a service.",
        discussion: """
            Example:
              acp rpc list acp.v1.Ingest
            """)

    @Argument(help: "A service, in full or its last part: acp.v1.Ingest or Ingest.")
    var service: String?

    @OptionGroup var server: ServerOption
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let (service, server) = (service, server.server)
        try await Session.run(options) { session in
            let listing = try await RpcServers(session, server).list()
            if let service {
                try Self.emit(try listing.service(named: service), session.output)
            } else {
                try Self.emit(listing, session.output)
            }
            // What was reached is shown all the same.
            if let problem = listing.problem { throw problem }
        }
    }

    private static func emit(_ listing: RpcServers.Listing, _ output: Output) throws {
        let rows = try listing.services.map { entry in
            JSONValue.object([.init("server", .string(entry.server))] + (try members(of: entry.service)))
        }
        try output.emit({ .fields(("services", .array(rows))) }, items: { rows }) {
            var table = Table("SERVICE", "METHODS", "SERVER", "FILE")
            for entry in listing.services {
                table.add(entry.service.name, "\(entry.service.methods.count)", entry.server, entry.service.fileName)
            }
            return output.render(table)
        }
    }

    private static func emit(_ service: ReflectedService, _ output: Output) throws {
        try output.emit(service, items: { try service.methods.map { try JSONValue($0) } }) {
            var table = Table("METHOD", "KIND", "REQUEST", "RESPONSE")
            for method in service.methods {
                table.add("\(service.name)/\(method.name)", method.kind.words, method.requestType, method.responseType)
            }
            return output.render(table)
        }
    }

    private static func members(of service: ReflectedService) throws -> [JSONValue.Member] {
        guard case .object(let members) = try JSONValue(service) else { return [] }
        return members
    }
}

extension CallKind {
    /// For people: `server streaming`.
    var words: String {
        switch self {
        case .unary: "unary"
        case .serverStreaming: "server streaming"
        case .clientStreaming: "client streaming"
        case .bidirectional: "bidirectional"
        case .unspecified, .unrecognized: protoName
        }
    }
}
