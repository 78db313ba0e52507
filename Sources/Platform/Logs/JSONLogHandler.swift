internal import Core
public import Logging

/// The swift-log backend: one JSON object a line, its first fields taken from the running call.
public struct JSONLogHandler: LogHandler {
    /// What the record's `service` field says.
    public let service: String
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let writer: LogWriter

    public init(service: String, logLevel: Logger.Level, writer: LogWriter) {
        self.service = service
        self.logLevel = logLevel
        self.writer = writer
    }

    public subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        // The record is made on the caller's thread: only there is the call's context known.
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { _, new in new } }
        if let given = event.metadata { fields.merge(given) { _, new in new } }
        writer.write(
            LogRecord(
                time: .now(), level: event.level, service: service, context: .current,
                message: event.message.description, metadata: fields, error: event.error))
    }
}

/// Starts logging for a process.
public enum Logs {
    /// Services whose label decides the `service` field and the file; `ingest.jobs` belongs to `ingest`. Labels such as `acp.storage` name what
    /// every process has, and belong to whichever process it is.
    public static let services: Set<String> = ["ingest", "agents", "gateway", "worker"]

    /// Makes this process log through `writer`. Call once, first thing, before any logger exists.
    /// - Parameter service: the service of loggers whose label names none, e.g. those of libraries.
    public static func bootstrap(service: String, level: Logger.Level, writer: LogWriter) {
        LoggingSystem.bootstrap { label in
            JSONLogHandler(service: Logs.service(ofLabel: label) ?? service, logLevel: level, writer: writer)
        }
    }

    /// The level called by a value of `log.level`.
    public static func level(named name: String) -> Logger.Level { Logger.Level(rawValue: name) ?? .info }

    static func service(ofLabel label: String) -> String? {
        let first = String(label.prefix { $0 != "." })
        return services.contains(first) ? first : nil
    }
}
