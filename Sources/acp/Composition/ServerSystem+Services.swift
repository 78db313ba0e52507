internal import Agents
internal import CLI
internal import Core
internal import Gateway
internal import Glibc
internal import Ingest
internal import Logging
internal import Platform
internal import RPC
internal import Storage
internal import Synchronization

extension ServerSystem {
    /// What the start has made; a part that is asked for before it exists is a mistake in the order of components.
    private func made<Part: Sendable>(_ part: (Parts) -> Part?) -> Part {
        guard let part = parts.withLock({ part($0) }) else {
            preconditionFailure("components start in the order of their dependencies")
        }
        return part
    }

    func makeIngest() throws -> IngestSystem {
        var settings = IngestConfiguration(dataDirectory: configuration[.dataDirectory])
        if services.contains(.worker) { settings.extractorPath = try Self.extractor(configuration) }
        settings.workers = configuration[.ingestWorkers]
        settings.uploadBytesMax = configuration[.ingestUploadBytesMax]
        settings.uploadsMax = configuration[.ingestUploadsMax]
        settings.freeBytesMin = configuration[.ingestFreeBytesMin]
        settings.version = BuildInformation.version
        if ownsDataDirectory {
            // Whoever holds the directory's lock is the only one with this name.
            settings.instance = ProcessIdentity.instance(of: configuration[.dataDirectory])
            settings.isOnlyInstance = true
        }
        return IngestSystem(
            configuration: settings, database: made { $0.database }, redis: made { $0.redis }, keys: made { $0.keys },
            logger: Logger(label: services.contains(.ingest) ? "ingest" : "worker"))
    }

    /// The parser program's path.
    /// - Throws: FAILED_PRECONDITION when it cannot be run.
    static func extractor(_ configuration: Configuration) throws -> String {
        let path = try configuration[.ingestExtractorPath] ?? ProcessIdentity.extractor()
        guard access(path, X_OK) == 0 else {
            throw Failure(
                .failedPrecondition, reason: "EXTRACTOR_NOT_FOUND", "The parser program \(path) is missing.",
                remedy: "Install acp-extract beside acp, or set ingest.extractor-path.")
        }
        return path
    }

    // MARK: Ports

    func ingestPort() throws -> ServicePort {
        let ingest = made { $0.ingest }
        let health = HealthRegistry(service: "ingest")
        registerStorage(health)
        for name in ["index", "extractor"] { health.register(Self.check(name, of: ingest)) }
        var router = ServiceRouter()
        ingest.register(in: &router)
        return try ServicePort(
            .ingest, runtime: runtime, router: router, health: health, keys: made { $0.keys },
            configuration: configuration, connectionsMax: connectionsMax)
    }

    /// Health and metrics of a worker that is a process of its own.
    func workerPort() throws -> ServicePort {
        let health = HealthRegistry(service: "worker")
        registerStorage(health)
        health.register(Self.check("extractor", of: made { $0.ingest }))
        return try ServicePort(
            .worker, runtime: runtime, router: ServiceRouter(), health: health, keys: made { $0.keys },
            configuration: configuration, connectionsMax: connectionsMax)
    }

    private static func check(_ name: String, of ingest: IngestSystem) -> HealthCheck {
        HealthCheck(name, timeout: .seconds(3)) {
            for dependency in await ingest.health() where dependency.name == name && !dependency.healthy {
                throw Failure(.unavailable, dependency.detail)
            }
        }
    }

    func agentsPort() throws -> ServicePort {
        let client = try client(of: .ingest)
        let health = HealthRegistry(service: "agents")
        let database = made { $0.database }
        health.register(HealthCheck("postgresql") { try await database.ping() })
        health.register(Self.upstream("ingest", client))
        let agents = AgentsSystem(database: database, ingest: client, logger: Logger(label: "agents"))
        parts.withLock { $0.agents = agents }
        var router = ServiceRouter()
        agents.register(in: &router)
        return try ServicePort(
            .agents, runtime: runtime, router: router, health: health, keys: made { $0.keys },
            configuration: configuration, connectionsMax: connectionsMax)
    }

    func gatewayPort() throws -> ServicePort {
        let ingest = try client(of: .ingest)
        let agents = try client(of: .agents)
        let health = HealthRegistry(service: "gateway")
        health.register(Self.upstream("ingest", ingest))
        health.register(Self.upstream("agents", agents))
        // `GET /v1/health` asks the gateway about itself, which looks at the services behind it; `GET /v1/reflection/…` tells of them all.
        var own = ServiceRouter()
        OperatorRoutes.healthServer(health, services: []).register(in: &own)
        ReflectionServer(methods: Catalogue.methods).register(in: &own)
        let ownClient = RPCClient(
            runtime: runtime, endpoint: .inProcess(RPCServer(runtime: runtime, router: own)))
        parts.withLock { $0.clients.append(ownClient) }
        var settings = HTTPGateway.Configuration()
        settings.headerProfile = configuration[.gatewayHeadersProfile] == "owasp" ? .owasp : .seed
        settings.uploadBytesMax = configuration[.ingestUploadBytesMax]
        settings.batchBytesMax = configuration[.gatewayBodyBytesMax]
        settings.batchFilesMax = configuration[.ingestBatchFilesMax]
        let gateway = try HTTPGateway(
            configuration: settings, runtime: runtime,
            clients: [
                "acp.v1.Ingest": ingest, "acp.v1.Search": ingest, "acp.v1.Keys": ingest, "acp.v1.Answers": agents,
                // Through the gateway the ingest port is looked into; every port answers for itself.
                "acp.v1.Health": ownClient, "acp.v1.Debug": ingest, "acp.v1.Reflection": ownClient,
            ],
            operatorRoutes: OperatorRoutes.all(health), logger: Logger(label: "gateway"))
        parts.withLock { $0.gateway = gateway }
        return try ServicePort(
            .gateway, runtime: runtime, router: ServiceRouter(), health: health, keys: nil,
            configuration: configuration, connectionsMax: connectionsMax, http: { try gateway.configure($0) })
    }

    /// Lets no new work in before the port is closed.
    func stopServing(_ name: ServiceName) async {
        let (agents, gateway) = parts.withLock { ($0.agents, $0.gateway) }
        switch name {
        case .agents: agents?.stop()
        case .gateway: await gateway?.shutdown(grace: Self.portGrace)
        case .ingest, .worker: break
        }
    }

    /// A client of another service: through memory when this process runs it, otherwise at the configured address.
    private func client(of name: ServiceName) throws -> RPCClient {
        let endpoint: Endpoint
        if let port = parts.withLock({ $0.ports[name] }) {
            endpoint = .inProcess(port.server)
        } else {
            endpoint = try Endpoint(configuration[name == .ingest ? .ingestURL : .agentsURL])
        }
        let settings = try configuration.clientSettings(of: "the \(name.rawValue) service")
        let client = RPCClient(runtime: runtime, endpoint: endpoint, configuration: settings)
        parts.withLock { $0.clients.append(client) }
        return client
    }

    // MARK: Health

    private func registerStorage(_ health: HealthRegistry) {
        let (database, redis) = (made { $0.database }, made { $0.redis })
        health.register(HealthCheck("postgresql") { try await database.ping() })
        health.register(HealthCheck("redis") { _ = try await redis.command(["PING"]) })
    }

    /// Whether a service that this one calls can do its work.
    private static func upstream(_ name: String, _ client: RPCClient) -> HealthCheck {
        HealthCheck(name, timeout: .seconds(3)) {
            let answer = try await HealthClient(client).check(
                HealthCheckRequest(), options: CallOptions(timeout: .seconds(2)))
            guard answer.status != .serving else { return }
            let causes = answer.dependencies.filter { !$0.healthy }.map { "\($0.name): \($0.detail)" }
            throw Failure(.unavailable, "it is not ready: \(causes.joined(separator: "; "))")
        }
    }
}
