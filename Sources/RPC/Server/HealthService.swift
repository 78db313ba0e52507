internal import Core

/// `acp.v1.Health` over whatever the process knows of its dependencies.
public struct HealthServer: HealthService {
    /// The state of one service, or of the process for an empty name; nil for a service that is not here.
    public typealias Probe = @Sendable (_ service: String) async -> HealthCheckResponse?

    private let probe: Probe
    private let pollInterval: Duration

    /// - Parameter pollInterval: how often `watch` looks for a change.
    public init(pollInterval: Duration = .seconds(1), probe: @escaping Probe) {
        self.probe = probe
        self.pollInterval = pollInterval
    }

    public func check(_ request: HealthCheckRequest, _ context: ServerContext) async throws -> HealthCheckResponse {
        guard let response = await probe(request.service) else {
            throw Failure(
                .notFound, reason: "UNKNOWN_SERVICE", "There is no service \"\(request.service)\" in this process.")
        }
        return response
    }

    public func watch(
        _ request: HealthCheckRequest, _ responses: ResponseWriter<HealthCheckResponse>, _ context: ServerContext
    ) async throws {
        var last: HealthCheckResponse?
        while true {
            var current = HealthCheckResponse(status: .serviceUnknown)
            if let known = await probe(request.service) { current = known }
            if current != last {
                try await responses.write(current)
                last = current
            }
            // The caller asks again, elsewhere or when this process is back; it must not hold up the end.
            if await context.isDraining() { return }
            try await Task.sleep(for: pollInterval)
        }
    }
}
