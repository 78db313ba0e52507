internal import CLI
internal import Core
internal import Logging
internal import Platform

/// Logs and metrics of a server process. Nothing else in the program installs a backend.
struct Telemetry: Sendable {
    let logs: LogWriter

    /// - Parameter standardError: also write records to standard error, for a service that a supervisor watches.
    static func start(_ configuration: Configuration, service: String, standardError: Bool) throws -> Telemetry {
        let writer = try LogWriter(
            options: LogWriter.Options(
                directory: "\(configuration[.dataDirectory])/logs", standardError: standardError,
                standardErrorIsText: configuration[.logFormat] == "text",
                fileBytesMax: configuration[.logFileBytesMax], filesMax: configuration[.logFilesMax]))
        Logs.bootstrap(service: service, level: Logs.level(named: configuration[.logLevel]), writer: writer)
        MetricsRegistry.bootstrap()
        return Telemetry(logs: writer)
    }
}
