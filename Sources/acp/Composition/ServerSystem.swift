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

/// A server process: the services it runs and what they need, in the order in which they depend on each other.
///
/// Only here do modules meet: whatever a service needs is made here and handed to it.
final class ServerSystem: Sendable {
    /// Of the whole stop, what calls in flight on one port may take.
    static let portGrace = Duration.seconds(2)
    static let workerGrace = Duration.seconds(2)
    private static let loopsMax = 8

    let configuration: Configuration
    let services: Set<ServiceName>
    /// `acp up`: owns the data directory, and starts what nobody else provides.
    let ownsDataDirectory: Bool
    let makesAnotherKey: Bool
    let lifecycle: Lifecycle
    let runtime: RPCRuntime
    /// Sockets that each port may have.
    let connectionsMax: Int
    let parts = Mutex(Parts())

    /// What has been started.
    struct Parts {
        var embedded: EmbeddedServers?
        var databaseURL: String?
        var redisURL: String?
        var database: Database?
        var redis: RedisClient?
        var keys: KeyStore?
        var ingest: IngestSystem?
        var agents: AgentsSystem?
        var gateway: HTTPGateway?
        var clients: [RPCClient] = []
        var ports: [ServiceName: ServicePort] = [:]
        /// `host:port` of each port, once it listens.
        var addresses: [ServiceName: String] = [:]
        var adminKey: AdminKey.Made?
    }

    /// - Throws: FAILED_PRECONDITION when the process may not open the files that its services need.
    init(
        configuration: Configuration, services: Set<ServiceName>, ownsDataDirectory: Bool, makesAnotherKey: Bool = false
    ) throws {
        self.configuration = configuration
        self.services = services
        self.ownsDataDirectory = ownsDataDirectory
        self.makesAnotherKey = makesAnotherKey
        lifecycle = Lifecycle(stopLimit: .seconds(configuration[.drainSeconds]))
        let openFiles = OpenFiles(filesMax: OpenFiles.raiseLimit())
        connectionsMax = try openFiles.connectionsMax(wanted: configuration[.rpcConnectionsMax], ports: services.count)
        runtime = RPCRuntime(threads: min(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), Self.loopsMax))
        parts.withLock { parts in
            parts.databaseURL = configuration[.databaseURL]
            parts.redisURL = configuration[.redisURL]
        }
        addComponents()
    }

    var adminKey: AdminKey.Made? { parts.withLock { $0.adminKey } }
    var addresses: [ServiceName: String] { parts.withLock { $0.addresses } }

    private func addComponents() {
        if ownsDataDirectory { lifecycle.add(dataDirectoryComponent()) }
        if services != [.gateway] { lifecycle.add(storageComponent()) }
        if services.contains(.ingest) || services.contains(.worker) { lifecycle.add(ingestComponent()) }
        if services.contains(.ingest) { lifecycle.add(portComponent(.ingest)) }
        if services.contains(.agents) { lifecycle.add(portComponent(.agents)) }
        if services.contains(.gateway) { lifecycle.add(portComponent(.gateway)) }
        // Beside the ingest service it is seen at that one's port.
        if services == [.worker] { lifecycle.add(portComponent(.worker)) }
        // One process of a system makes the first key: the one that also has the keys' service. Last, for it is shown once: a start that
        // fails must not have made one.
        if services.contains(.ingest) { lifecycle.add(adminKeyComponent()) }
    }

    // MARK: Components

    private func dataDirectoryComponent() -> Lifecycle.Component {
        let directory = configuration[.dataDirectory]
        guard configuration[.databaseURL] == nil || configuration[.redisURL] == nil else {
            let hold = Mutex<DataDirectoryHold?>(nil)
            return Lifecycle.Component("data directory") {
                let held = try DataDirectoryHold(directory)
                hold.withLock { $0 = held }
            } stop: {
                hold.withLock { $0?.release() }
            }
        }
        let logger = Logger(label: "acp.embedded")
        var options = EmbeddedOptions()
        options.startSeconds = 60
        options.startsPostgres = configuration[.databaseURL] == nil
        options.startsRedis = configuration[.redisURL] == nil
        let servers = EmbeddedServers(dataDirectory: directory, options: options) { text in
            logger.info("embedded servers", metadata: ["event": .string(text)])
        }
        return Lifecycle.Component("embedded servers") { [self] in
            let endpoints = try await servers.start()
            parts.withLock { parts in
                parts.embedded = servers
                parts.databaseURL = parts.databaseURL ?? endpoints.databaseURL
                parts.redisURL = parts.redisURL ?? endpoints.redisURL
            }
        } stop: {
            await servers.stop()
        }
    }

    private func storageComponent() -> Lifecycle.Component {
        Lifecycle.Component("storage") { [self] in
            try await startStorage()
        } stop: { [self] in
            let (database, redis) = parts.withLock { ($0.database, $0.redis) }
            redis?.close()
            database?.close()
        }
    }

    private func startStorage() async throws {
        let (databaseURL, redisURL, embedded) = parts.withLock { ($0.databaseURL, $0.redisURL, $0.embedded) }
        guard let databaseURL else { throw Self.missing("PostgreSQL", "--database-url", "database.url") }
        // Only documents and their jobs need it.
        let needsRedis = services != [.agents]
        guard redisURL != nil || !needsRedis else { throw Self.missing("Redis", "--redis-url", "redis.url") }
        var settings = Database.Configuration(url: databaseURL)
        settings.poolMax = configuration[.databasePoolMax]
        settings.acquireTimeoutMs = Int(configuration[.databaseAcquireTimeout].wholeNanoseconds / 1_000_000)
        settings.outage = { embedded?.databaseOutage }
        let database = Database(settings)
        let redis = try needsRedis ? redisURL.map { try RedisClient(.init(address: RedisAddress(url: $0))) } : nil
        parts.withLock { parts in
            parts.database = database
            parts.redis = redis
        }
        do {
            try await Migrator.migrate(database)
        } catch let failure as Failure where failure.code == .unavailable && configuration[.databaseURL] != nil {
            // Later it is waited for; a process that never reached it has most likely been told the wrong address.
            var failure = failure
            failure.remedy = "Start PostgreSQL, or correct --database-url (database.url), then start this again."
            throw failure
        }
        try DataDirectoryHold.make(configuration[.dataDirectory])
        let keys = try await KeyStore.open(
            database: database, pepperPath: "\(configuration[.dataDirectory])/pepper", mayReplace: makesAnotherKey)
        parts.withLock { $0.keys = keys }
    }

    private func adminKeyComponent() -> Lifecycle.Component {
        Lifecycle.Component("first key") { [self] in
            guard let keys = parts.withLock({ $0.keys }) else { return }
            let made = try await AdminKey.make(keys, configurationPath: configuration.path, isForced: makesAnotherKey)
            parts.withLock { $0.adminKey = made }
        }
    }

    private static func missing(_ what: String, _ flag: String, _ key: String) -> Failure {
        Failure(
            .failedPrecondition, reason: "NOT_CONFIGURED", "This service needs \(what), and no address is set.",
            remedy: "Give \(flag) or set \(key); `acp up` starts one by itself.")
    }

    private func ingestComponent() -> Lifecycle.Component {
        Lifecycle.Component(services.contains(.worker) ? "worker" : "index") { [self] in
            let system = try makeIngest()
            parts.withLock { $0.ingest = system }
            if services.contains(.ingest) { try await system.startIndex() }
            if services.contains(.worker) { try await system.startWorker() }
        } stop: { [self] in
            if let ingest = parts.withLock({ $0.ingest }) { await ingest.stop(grace: Self.workerGrace) }
        }
    }

    private func portComponent(_ name: ServiceName) -> Lifecycle.Component {
        Lifecycle.Component(name.rawValue) { [self] in
            let port =
                switch name {
                case .ingest: try ingestPort()
                case .agents: try agentsPort()
                case .gateway: try gatewayPort()
                case .worker: try workerPort()
                }
            parts.withLock { $0.ports[name] = port }
            let address = try await port.listen(configuration)
            parts.withLock { $0.addresses[name] = address }
            // Not before: the first record makes the directory of the logs, and the data directory around it is made with care.
            if connectionsMax < configuration[.rpcConnectionsMax] {
                Logger(label: "\(name.rawValue).rpc").notice(
                    "fewer connections than rpc.connections-max: this process may open too few files",
                    metadata: ["connections_max": "\(connectionsMax)"])
            }
        } stop: { [self] in
            guard let port = parts.withLock({ $0.ports[name] }) else { return }
            await port.beginDraining()
            await stopServing(name)
            await port.server.shutdown(grace: Self.portGrace)
        }
    }
}
