internal import Core
internal import Logging
internal import Metrics
internal import Synchronization

/// Counts, times and logs every HTTP request: `acp_requests_total`, `acp_request_duration_seconds`, `acp_errors_total` with the route
/// pattern as method, and one line of access log.
final class RequestObserver: Sendable {
    private let logger: Logger
    private let handles = Mutex<[Key: Handles]>([:])

    init(logger: Logger) { self.logger = logger }

    static func connectionsGauge() -> Meter {
        Meter(label: "acp_active_connections", dimensions: [("service", "gateway"), ("protocol", "http")])
    }

    /// The answer is out, or nobody is there to take it.
    func finished(_ exchange: Exchange) {
        let elapsed = exchange.startedAt.duration(to: .now())
        let code = exchange.failure?.code ?? .ok
        let handles = handles(Key(pattern: exchange.pattern, code: code))
        handles.requests.increment()
        handles.duration.recordNanoseconds(elapsed.wholeNanoseconds)
        handles.errors?.increment()
        guard logger.logLevel <= .info else { return }
        var metadata: Logger.Metadata = [
            "method": .string(exchange.verb), "route": .string(exchange.pattern),
            "status": .stringConvertible(exchange.status),
            "duration_us": .stringConvertible(elapsed.wholeNanoseconds / 1000),
            "bytes_out": .stringConvertible(exchange.bytesOut),
        ]
        if let failure = exchange.failure {
            metadata["code"] = .string(failure.code.name)
            metadata["reason"] = .string(failure.reason)
        }
        CallContext.$current.withValue(exchange.identity.callContext(deadline: nil)) {
            logger.log(level: exchange.status >= 500 ? .error : .info, "http request", metadata: metadata)
        }
    }

    private struct Key: Hashable {
        let pattern: String
        let code: StatusCode
    }

    private struct Handles {
        let requests: Counter
        let duration: Timer
        let errors: Counter?
    }

    /// Patterns and codes are closed sets, so is this table.
    private func handles(_ key: Key) -> Handles {
        handles.withLock { handles in
            if let known = handles[key] { return known }
            let labels = [("service", "gateway"), ("method", key.pattern)]
            let made = Handles(
                requests: Counter(label: "acp_requests_total", dimensions: labels + [("code", key.code.name)]),
                duration: Timer(label: "acp_request_duration_seconds", dimensions: labels),
                errors: key.code == .ok
                    ? nil : Counter(label: "acp_errors_total", dimensions: labels + [("code", key.code.name)]))
            handles[key] = made
            return made
        }
    }
}
