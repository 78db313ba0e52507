internal import CLI
internal import Core
internal import Ingest
internal import Logging
internal import NIOCore
internal import Platform
internal import RPC
internal import Storage

/// The services that a process can run.
enum ServiceName: String, CaseIterable, Sendable {
    case ingest, agents, gateway, worker

    /// Where it listens; the worker for health and metrics alone.
    var address: (host: ConfigKey<String>, port: ConfigKey<Int>) {
        switch self {
        case .ingest: (.ingestHost, .ingestPort)
        case .agents: (.agentsHost, .agentsPort)
        case .gateway: (.gatewayHost, .gatewayPort)
        case .worker: (.workerHost, .workerPort)
        }
    }
}

/// One port of the process: ACP/1 by `router`, HTTP by `http`, health and metrics by both.
struct ServicePort: Sendable {
    let name: ServiceName
    let server: RPCServer
    let health: HealthRegistry
    private let healthServer: HealthServer

    /// - Parameters:
    ///   - connectionsMax: sockets that the port may have.
    ///   - http: takes over HTTP connections; nil for the operator surface alone.
    /// - Throws: `Failure` for settings that do not go together.
    init(
        _ name: ServiceName, runtime: RPCRuntime, router: ServiceRouter, health: HealthRegistry, keys: KeyStore?,
        configuration: Configuration, connectionsMax: Int, http: (@Sendable (any Channel) throws -> Void)? = nil
    ) throws {
        self.name = name
        self.health = health
        var router = router
        let services = Set(router.services)
        healthServer = OperatorRoutes.healthServer(health, services: services)
        healthServer.register(in: &router)
        let debug = DebugServer()
        debug.register(in: &router)
        ReflectionServer.add(to: &router)
        var settings = RPCServer.Configuration()
        settings.limits = configuration.connectionLimits()
        settings.connectionsMax = connectionsMax
        let callsMax = configuration[.rpcCallsPerMethodMax]
        if callsMax > 0 { settings.unaryConcurrency = ConcurrencyLimit(runningMax: callsMax) }
        settings.instance = name.rawValue
        settings.build = BuildInformation.version
        settings.allowsInsecure = configuration[.rpcInsecureAllow]
        settings.tls = try configuration.serverTLS()
        settings.authenticator = keys.map { KeyAuthenticator(keys: $0) }
        settings.observer = CallObserver(
            service: name.rawValue, logger: Logger(label: "\(name.rawValue).rpc"))
        let operators = OperatorSurface(routes: OperatorRoutes.all(health))
        settings.httpFallback = http ?? { try operators.configure($0) }
        server = RPCServer(runtime: runtime, router: router, configuration: settings)
        debug.add(server)
    }

    /// Says to everybody who asks or watches that the port is going, before it goes.
    func beginDraining() async {
        health.beginDraining()
        await healthServer.announceDraining()
    }

    /// Listens and returns `host:port` as clients reach it.
    /// - Throws: `Failure` PORT_TAKEN naming the port and what to do.
    func listen(_ configuration: Configuration) async throws -> String {
        let host = configuration[name.address.host]
        let port = configuration[name.address.port]
        do {
            let bound = try await server.start(host: host, port: port)
            let shown = host.contains(":") ? "[\(host)]" : host
            return "\(shown):\(bound.port ?? port)"
        } catch let failure as Failure where failure.reason == "CANNOT_LISTEN" {
            throw Failure(
                .failedPrecondition, reason: "PORT_TAKEN",
                "Port \(port) of the \(name.rawValue) service cannot be used. \(failure.message)",
                remedy:
                    "Stop what uses it, choose another with --\(name.rawValue)-port, or move all with --port-offset.")
        }
    }
}
