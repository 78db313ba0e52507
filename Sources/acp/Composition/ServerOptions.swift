internal import ArgumentParser
internal import CLI
internal import Core
internal import Platform

/// What a server process can be told on its command line, besides what every command takes.
struct ServerOptions: ParsableArguments {
    @Option(
        name: .customLong("database-url"),
        help: ArgumentHelp("PostgreSQL to use instead of the embedded one.", valueName: "url"))
    var databaseURL: String?

    @Option(
        name: .customLong("redis-url"),
        help: ArgumentHelp("Redis to use instead of the embedded one.", valueName: "url"))
    var redisURL: String?

    @Option(name: .long, help: ArgumentHelp("Address that all services listen on.", valueName: "address"))
    var host: String?

    @Option(name: .customLong("ingest-port"), help: "Port of the ingest service; 8000 otherwise.")
    var ingestPort: Int?

    @Option(name: .customLong("agents-port"), help: "Port of the agents service; 8001 otherwise.")
    var agentsPort: Int?

    @Option(name: .customLong("gateway-port"), help: "Port of the gateway; 8080 otherwise.")
    var gatewayPort: Int?

    @Option(name: .customLong("worker-port"), help: "Port of `serve worker` for health and metrics; 8002 otherwise.")
    var workerPort: Int?

    @Option(name: .customLong("port-offset"), help: "Added to every port that is not given here.")
    var portOffset = 0

    @Option(
        name: .customLong("extractor"),
        help: ArgumentHelp("The parser program; acp-extract beside acp otherwise.", valueName: "file"))
    var extractor: String?

    @Option(name: .customLong("log-level"), help: "debug, info, warning or error.")
    var logLevel: String?

    /// The settings of this process.
    func configuration(_ options: GlobalOptions) throws -> Configuration {
        var flags: [String: String] = [:]
        flags["database.url"] = databaseURL
        flags["redis.url"] = redisURL
        flags["ingest.extractor-path"] = extractor.map(absolutePath)
        flags["log.level"] = logLevel
        if let host {
            for service in ["ingest", "agents", "gateway", "worker"] { flags["\(service).host"] = host }
        }
        flags["ingest.port"] = ingestPort.map(String.init)
        flags["agents.port"] = agentsPort.map(String.init)
        flags["gateway.port"] = gatewayPort.map(String.init)
        flags["worker.port"] = workerPort.map(String.init)
        let configuration = try options.loadConfiguration(extra: flags)
        guard portOffset != 0 else { return configuration }
        // Port 0 means any free port, with an offset too.
        for (name, key) in [
            ("ingest.port", ConfigKey.ingestPort), ("agents.port", .agentsPort), ("gateway.port", .gatewayPort),
            ("worker.port", .workerPort),
        ] where flags[name] == nil && !options.sets(name) && configuration[key] != 0 {
            flags[name] = String(configuration[key] + portOffset)
        }
        return try options.loadConfiguration(extra: flags)
    }
}
