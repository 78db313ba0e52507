internal import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// Every setting there is, in the order in which the documentation lists them.
public enum ConfigTable {
    public static let entries: [ConfigEntry] = [
        ConfigKey.dataDirectory.entry, ConfigKey.apiKey.entry, ConfigKey.output.entry, ConfigKey.timeout.entry,
        ConfigKey.databaseURL.entry, ConfigKey.databasePoolMax.entry, ConfigKey.databaseAcquireTimeout.entry,
        ConfigKey.redisURL.entry,
        ConfigKey.ingestHost.entry, ConfigKey.ingestPort.entry, ConfigKey.ingestURL.entry,
        ConfigKey.ingestUploadBytesMax.entry, ConfigKey.ingestFreeBytesMin.entry, ConfigKey.ingestBatchFilesMax.entry,
        ConfigKey.ingestUploadsMax.entry,
        ConfigKey.ingestWorkers.entry, ConfigKey.ingestExtractorPath.entry,
        ConfigKey.workerHost.entry, ConfigKey.workerPort.entry,
        ConfigKey.agentsHost.entry, ConfigKey.agentsPort.entry, ConfigKey.agentsURL.entry,
        ConfigKey.gatewayHost.entry, ConfigKey.gatewayPort.entry, ConfigKey.gatewayURL.entry,
        ConfigKey.gatewayHeadersProfile.entry, ConfigKey.gatewayBodyBytesMax.entry,
        ConfigKey.rpcFrameBytesMax.entry, ConfigKey.rpcMessageBytesMax.entry, ConfigKey.rpcStreamsMax.entry,
        ConfigKey.rpcStreamWindowBytes.entry, ConfigKey.rpcConnectionWindowBytes.entry,
        ConfigKey.rpcUnsentBytesMax.entry, ConfigKey.rpcConnectionsMax.entry, ConfigKey.rpcCallsPerMethodMax.entry,
        ConfigKey.rpcKeepalive.entry, ConfigKey.rpcInsecureAllow.entry,
        ConfigKey.rpcTLSCertificate.entry, ConfigKey.rpcTLSKey.entry, ConfigKey.rpcTLSClientCA.entry,
        ConfigKey.rpcTLSRequireClientCertificate.entry,
        ConfigKey.rpcTLSCA.entry, ConfigKey.rpcTLSServerName.entry, ConfigKey.rpcTLSClientCertificate.entry,
        ConfigKey.rpcTLSClientKey.entry,
        ConfigKey.logLevel.entry, ConfigKey.logFormat.entry, ConfigKey.logFileBytesMax.entry,
        ConfigKey.logFilesMax.entry,
        ConfigKey.drainSeconds.entry,
    ]

    private static let byName = Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0) })

    /// The entry called `name`, or nil.
    public static func entry(named name: String) -> ConfigEntry? { byName[name] }

    /// The closest known name to a misspelt one, or nil when nothing is close.
    public static func suggestion(for name: String) -> String? {
        Spelling.nearest(to: name, among: entries.map(\.name))
    }
}

private let portRange = 0...65_535
private let serviceSchemes = ["acp", "acps", "http", "https"]

/// `acp://host:port` of a service from its own host and port settings; an address that means "all interfaces" becomes loopback.
private func serviceURL(_ service: String, scheme: String) -> ConfigDefault {
    .computed(
        "`\(scheme)://` and the service's host and port; `\(scheme)s://` where it takes only encrypted connections"
    ) { _, other in
        guard let host = other("\(service).host"), let port = other("\(service).port") else { return nil }
        let reachable =
            switch host {
            case "0.0.0.0": "127.0.0.1"
            case "::": "[::1]"
            default: host.contains(":") ? "[\(host)]" : host
            }
        let isEncrypted = Configuration.encryptsByDefault(
            host: reachable, hasCertificate: other("rpc.tls-certificate")?.isEmpty == false,
            requiresClientCertificate: other("rpc.tls-require-client-certificate") == "true")
        return "\(scheme)\(isEncrypted ? "s" : "")://\(reachable):\(port)"
    }
}

extension ConfigKey where Value == String {
    public static var dataDirectory: Self {
        .string(
            "data-dir", .path,
            .computed("`/var/lib/acp` for root, otherwise `$XDG_DATA_HOME/acp` or `~/.local/share/acp`") {
                environment, _ in
                if geteuid() == 0 { return "/var/lib/acp" }
                if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return data + "/acp" }
                return environment["HOME"].map { $0 + "/.local/share/acp" }
            }, "Directory of the embedded database, originals, index segments and logs.")
    }
    public static var ingestHost: Self {
        .string("ingest.host", .string, .text("127.0.0.1"), "Address the ingest service listens on.")
    }
    public static var ingestURL: Self {
        .string(
            "ingest.url", .url(schemes: serviceSchemes), serviceURL("ingest", scheme: "acp"),
            "Where other services and the command line reach ingest.")
    }
    public static var workerHost: Self {
        .string(
            "worker.host", .string, .text("127.0.0.1"),
            "Address of `acp serve worker` for health and metrics; nobody calls it for anything else.")
    }
    public static var agentsHost: Self {
        .string("agents.host", .string, .text("127.0.0.1"), "Address the agents service listens on.")
    }
    public static var agentsURL: Self {
        .string(
            "agents.url", .url(schemes: serviceSchemes), serviceURL("agents", scheme: "acp"),
            "Where other services and the command line reach agents.")
    }
    public static var gatewayHost: Self {
        .string("gateway.host", .string, .text("127.0.0.1"), "Address the gateway listens on.")
    }
    public static var gatewayURL: Self {
        .string(
            "gateway.url", .url(schemes: ["http", "https"]), serviceURL("gateway", scheme: "http"),
            "Where browsers and the command line reach the gateway.")
    }
    public static var gatewayHeadersProfile: Self {
        .string(
            "gateway.headers-profile", .choice(["seed", "owasp"]), .text("seed"),
            "Which security headers go on every response; `owasp` leaves out X-XSS-Protection.")
    }
    public static var logLevel: Self {
        .string(
            "log.level", .choice(["debug", "info", "warning", "error"]), .text("info"),
            "The least severe log records that are kept.")
    }
    public static var logFormat: Self {
        .string(
            "log.format", .choice(["json", "text"]), .text("json"),
            "How log records are written to standard error; files are always JSON lines.")
    }
    public static var output: Self {
        .string(
            "output", .choice(["table", "wide", "json", "jsonl", "yaml"]), .text("table"),
            "How commands print their results.")
    }
}

extension ConfigKey where Value == String? {
    public static var databaseURL: Self {
        .optional(
            "database.url", .url(schemes: ["postgresql", "postgres"]), unset: "an embedded PostgreSQL",
            "PostgreSQL to use instead of the embedded one.")
    }
    public static var redisURL: Self {
        .optional(
            "redis.url", .url(schemes: ["redis", "unix"]), unset: "an embedded Redis",
            "Redis to use instead of the embedded one.")
    }
    public static var ingestExtractorPath: Self {
        .optional(
            "ingest.extractor-path", .path, unset: "`acp-extract` beside the `acp` executable",
            "The sandboxed parser program.")
    }
}

extension ConfigKey where Value == Secret? {
    public static var apiKey: Self {
        .secret("api-key", unset: "none", "API key that the command line sends; better as a reference than as text.")
    }
}

extension ConfigKey where Value == Bool {
    public static var rpcInsecureAllow: Self {
        .boolean(
            "rpc.insecure-allow", false,
            "Allow unencrypted connections to and from addresses other than loopback.")
    }
}

extension ConfigKey where Value == Int {
    public static var databasePoolMax: Self {
        .integer("database.pool-max", 1...256, 8, "Most connections to PostgreSQL that one process opens.")
    }
    public static var ingestPort: Self {
        .integer("ingest.port", portRange, 8000, "Port of the ingest service; 0 takes any free port.")
    }
    public static var ingestUploadBytesMax: Self {
        .bytes(
            "ingest.upload-bytes-max", 1...10_000_000_000, "100MB", "The largest original that is accepted.")
    }
    public static var ingestFreeBytesMin: Self {
        .bytes(
            "ingest.free-bytes-min", 0...1_000_000_000_000, "64MiB",
            "Free space on the volume of the data directory below which no document is taken in; 0 turns this off.")
    }
    public static var ingestBatchFilesMax: Self {
        .integer("ingest.batch-files-max", 1...10_000, Limits.batchFilesMax, "Most files in one batch.")
    }
    public static var ingestUploadsMax: Self {
        .integer(
            "ingest.uploads-max", 1...4096, 128,
            "Uploads that one process receives at the same time; more are told when to try again.")
    }
    public static var ingestWorkers: Self {
        .integer("ingest.workers", 1...64, 2, "Documents that one process works on at the same time.")
    }
    public static var workerPort: Self {
        .integer(
            "worker.port", portRange, 8002,
            "Port of `acp serve worker`; 0 takes any free port. In `acp up` the worker is seen at the ingest service's port."
        )
    }
    public static var agentsPort: Self {
        .integer("agents.port", portRange, 8001, "Port of the agents service; 0 takes any free port.")
    }
    public static var gatewayPort: Self {
        .integer("gateway.port", portRange, 8080, "Port of the gateway; 0 takes any free port.")
    }
    public static var gatewayBodyBytesMax: Self {
        .bytes(
            "gateway.body-bytes-max", 1024...10_000_000_000, "101MB",
            "The largest HTTP request body, an upload and its multipart framing included.")
    }
    public static var rpcFrameBytesMax: Self {
        .bytes(
            "rpc.frame-bytes-max", 16_384...1_048_576, "64KiB", "The largest ACP/1 frame that is sent or accepted.")
    }
    public static var rpcMessageBytesMax: Self {
        .bytes(
            "rpc.message-bytes-max", 65_536...67_108_864, "4MiB",
            "The largest ACP/1 message; larger things are streams.")
    }
    public static var rpcStreamsMax: Self {
        .integer("rpc.streams-max", 1...65_535, 1024, "Most calls in flight on one ACP/1 connection.")
    }
    public static var rpcStreamWindowBytes: Self {
        .bytes(
            "rpc.stream-window-bytes", 16_384...67_108_864, "256KiB",
            "What the other end of one call may send before what it sent is taken.")
    }
    public static var rpcConnectionWindowBytes: Self {
        .bytes(
            "rpc.connection-window-bytes", 65_536...268_435_456, "4MiB",
            "The same for all calls of one ACP/1 connection together.")
    }
    public static var rpcUnsentBytesMax: Self {
        .bytes(
            "rpc.unsent-bytes-max", 65_536...268_435_456, "1MiB",
            "Bytes of one ACP/1 connection that may wait for its socket before who writes them waits.")
    }
    public static var rpcConnectionsMax: Self {
        .integer(
            "rpc.connections-max", 1...1_000_000, 20_000,
            "Most connections to one port, whatever they speak; less where the process may not open so many files.")
    }
    public static var rpcCallsPerMethodMax: Self {
        .integer(
            "rpc.calls-per-method-max", 0...65_535, 256,
            "Calls of one unary method that a port runs at once; more wait, and are refused when waiting gets long. 0 for no limit."
        )
    }
    public static var logFileBytesMax: Self {
        .bytes(
            "log.file-bytes-max", 4096...10_000_000_000, "64MB",
            "Size at which a log file is rotated.")
    }
    public static var logFilesMax: Self {
        .integer("log.files-max", 1...1000, 8, "Rotated log files kept for each service.")
    }
    public static var drainSeconds: Self {
        .integer("drain.seconds", 0...3600, 10, "Most seconds that stopping may take before work is cut off.")
    }
}

extension ConfigKey where Value == Duration {
    public static var databaseAcquireTimeout: Self {
        .duration(
            "database.acquire-timeout", milliseconds: 1...600_000, "5s",
            "How long a call waits for a free connection to PostgreSQL.")
    }
    public static var rpcKeepalive: Self {
        .duration(
            "rpc.keepalive", milliseconds: 1000...3_600_000, "30s",
            "How long an ACP/1 connection may be idle before it is probed.")
    }
    public static var timeout: Self {
        .duration(
            "timeout", milliseconds: 1...86_400_000, "60s", "How long a command waits for one answer of a service.")
    }
}
