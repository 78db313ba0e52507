internal import Core
internal import Platform
internal import RPC
internal import Synchronization

/// What a command works with: settings, output, and clients of the services, made when they are needed.
struct Session: Sendable {
    let configuration: Configuration
    let options: GlobalOptions
    let output: Output
    let console: Console
    private let connections = Connections()

    /// The services a command talks to, and the one event loop they share.
    private final class Connections: Sendable {
        struct State {
            var runtime: RPCRuntime?
            /// By address.
            var clients: [String: RPCClient] = [:]
            /// For errors: the last service that a client was asked for.
            var last = ""
        }

        let state = Mutex(State())
    }

    enum Service: String, CaseIterable {
        case ingest, agents, gateway

        var key: ConfigKey<String> {
            switch self {
            case .ingest: .ingestURL
            case .agents: .agentsURL
            case .gateway: .gatewayURL
            }
        }
    }

    /// Loads the settings, runs `body` as one call of the outside world, and adds to its failures where they happened.
    /// - Parameter isInterruptible: Ctrl-C cancels `body` and lets it clean up; otherwise it simply ends the process.
    static func run(
        _ options: GlobalOptions, isInterruptible: Bool = false,
        _ body: @escaping @Sendable (Session) async throws -> Void
    ) async throws {
        let session = Session(options: options, configuration: try options.loadConfiguration())
        session.warn()
        let credential = try session.configuration[.apiKey]?.reveal() ?? ""
        let context = CallContext(trace: .root(), requestID: UUIDv7().description, credential: credential)
        do {
            try await CallContext.$current.withValue(context) {
                if isInterruptible {
                    try await interruptible { try await body(session) }
                } else {
                    try await body(session)
                }
            }
            session.console.endProgress()
        } catch let failure as Failure {
            throw LocatedFailure(
                failure: failure, requestID: context.requestID, traceID: context.trace.traceID,
                service: session.connections.state.withLock { $0.last })
        }
    }

    private init(options: GlobalOptions, configuration: Configuration) {
        self.options = options
        self.configuration = configuration
        output = Output(format: OutputFormat(rawValue: configuration[.output]) ?? .table)
        console = Console(isQuiet: options.quiet)
    }

    private func warn() {
        for warning in configuration.warnings { console.warning(warning) }
    }

    private static func interruptible(_ body: @escaping @Sendable () async throws -> Void) async throws {
        ShutdownSignal.install()
        let work = Task { try await body() }
        let watcher = Task { () -> Int32? in
            let number = await ShutdownSignal.shared.wait()
            if number != nil { work.cancel() }
            return number
        }
        let result = await work.result
        watcher.cancel()
        if ShutdownSignal.shared.isRequested, let number = await watcher.value {
            Console.writeError("acp: interrupted\n")
            throw EndCommand(128 + number)
        }
        try result.get()
    }

    /// For calls that may be repeated while a service is busy.
    var busyRetry: BusyRetry { BusyRetry(timeout: configuration[.timeout], console: console) }

    /// Options of one call: the setting `timeout` bounds the wait.
    var callOptions: CallOptions { CallOptions(timeout: configuration[.timeout]) }

    /// A client of `service`; it connects at its first call.
    /// - Throws: `Failure` when the address cannot be used.
    func client(_ service: Service) throws -> RPCClient {
        try client(
            configuration[service.key], setting: service.key.entry.name, name: service.rawValue,
            called: service == .gateway ? "the gateway" : "the \(service.rawValue) service")
    }

    /// A client of the server that `--server` names: a service of the settings, or an address.
    /// - Throws: `UsageProblem` for a name that is neither, `Failure` when the address cannot be used.
    func client(at server: String) throws -> RPCClient {
        if let service = Service(rawValue: server) { return try client(service) }
        guard server.contains(":") else {
            let names = Service.allCases.map(\.rawValue).joined(separator: ", ")
            throw UsageProblem("--server takes \(names) or an address such as acp://127.0.0.1:8000, not \(server).")
        }
        return try client(server, setting: "--server", name: "server", called: "the server")
    }

    private func client(_ address: String, setting: String, name: String, called: String) throws -> RPCClient {
        let endpoint = try Self.endpoint(address, setting: setting, configuration)
        let settings = try configuration.clientSettings(of: called)
        return connections.state.withLock { state in
            state.last = "\(name) at \(endpoint.description)"
            if let client = state.clients[address] { return client }
            let runtime = state.runtime ?? RPCRuntime(threads: 1)
            state.runtime = runtime
            let client = RPCClient(runtime: runtime, endpoint: endpoint, configuration: settings)
            state.clients[address] = client
            return client
        }
    }

    func ingest() throws -> IngestClient { IngestClient(try client(.ingest)) }
    func search() throws -> SearchClient { SearchClient(try client(.ingest)) }
    func keys() throws -> KeysClient { KeysClient(try client(.ingest)) }
    func answers() throws -> AnswersClient { AnswersClient(try client(.agents)) }

    /// The address of a service. Without TLS the API key would go there unencrypted: then it has to be this machine unless that is allowed.
    /// The client checks the same once it is connected; this says so before.
    private static func endpoint(
        _ address: String, setting: String, _ configuration: Configuration
    ) throws -> Endpoint {
        let endpoint = try Endpoint(address)
        guard !endpoint.isEncrypted, !configuration[.rpcInsecureAllow] else { return endpoint }
        if let host = endpoint.hosts.map(\.name).first(where: { !Configuration.isLoopback(host: $0) }) {
            throw Failure(
                .failedPrecondition, reason: "INSECURE_ADDRESS",
                "\(setting) is \(host), which is not this machine, and the API key would travel unencrypted.",
                remedy:
                    "Write acps:// if the service has a certificate, or set rpc.insecure-allow = true if the network is trusted."
            )
        }
        return endpoint
    }

    /// Asks a question that needs a yes.
    /// - Throws: `EndCommand` 2 when the answer is no, `UsageProblem` when nobody can be asked.
    func confirm(_ question: String) throws {
        if options.yes { return }
        guard !options.noInput, Console.isTerminal, StandardInput.isTerminal else {
            throw UsageProblem("\(question) Nobody can be asked here: repeat the command with --yes.")
        }
        Console.writeError("\(question) [y/N] ")
        let answer = readLine()?.lowercased() ?? ""
        guard answer == "y" || answer == "yes" else {
            Console.writeError("acp: nothing was done\n")
            throw EndCommand(ExitStatus.cancelled)
        }
    }
}
