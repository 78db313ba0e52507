internal import Core
internal import Platform
internal import RPC

/// What operators read over HTTP on every port, and the health service behind ACP/1 on the same port.
enum OperatorRoutes {
    static func all(_ health: HealthRegistry) -> [String: @Sendable () async -> OperatorSurface.Response] {
        [
            "/metrics": {
                OperatorSurface.Response(
                    status: 200, contentType: MetricsFormat.text.contentType,
                    body: Array(MetricsRegistry.shared.render(.text).utf8))
            },
            "/healthz": { json(await health.liveness()) },
            "/readyz": { json(await health.readiness()) },
            "/version": {
                let text = #"{"version":"\#(BuildInformation.version)","swift":"\#(BuildInformation.swift)"}"#
                return OperatorSurface.Response(
                    status: 200, contentType: "application/json", body: Array("\(text)\n".utf8))
            },
        ]
    }

    private static func json(_ report: HealthReport) -> OperatorSurface.Response {
        OperatorSurface.Response(
            status: report.httpStatus, contentType: "application/json", body: Array("\(report.json)\n".utf8))
    }

    /// Answers for the process as a whole and for the services that the port has.
    static func healthServer(_ health: HealthRegistry, services: Set<String>) -> HealthServer {
        HealthServer { service in
            guard service.isEmpty || services.contains(service) else { return nil }
            let report = await health.readiness()
            let failing = report.results.filter { !$0.isHealthy }
            let dependencies = (failing + report.results.filter(\.isHealthy)).map {
                DependencyHealth(name: $0.name, healthy: $0.isHealthy, detail: $0.cause ?? "")
            }
            return HealthCheckResponse(status: report.isHealthy ? .serving : .notServing, dependencies: dependencies)
        }
    }
}
