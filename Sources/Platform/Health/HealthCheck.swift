public import Core

/// One thing that a service needs and how to find out whether it is there.
public struct HealthCheck: Sendable {
    public enum Kind: Sendable, Hashable {
        /// The process itself works; when not, it should be restarted.
        case liveness
        /// Requests can be served now; when not, they should go elsewhere.
        case readiness
    }

    /// The dependency as people call it, e.g. `postgresql`.
    public let name: String
    public let kind: Kind
    /// How long one probe may take before it counts as failed.
    public let timeout: Duration
    /// How long an answer is reused, so that probes cannot become load.
    public let cacheFor: Duration
    /// Returns when all is well and throws the cause when not.
    public let probe: @Sendable () async throws -> Void

    public init(
        _ name: String, _ kind: Kind = .readiness, timeout: Duration = .seconds(2),
        cacheFor: Duration = .milliseconds(500), probe: @escaping @Sendable () async throws -> Void
    ) {
        self.name = name
        self.kind = kind
        self.timeout = timeout
        self.cacheFor = cacheFor
        self.probe = probe
    }
}

/// The answer of one check.
public struct HealthResult: Sendable, Hashable {
    public let name: String
    /// nil when all is well, otherwise why not; for people, without secrets.
    public let cause: String?
    /// Time the probe took.
    public let duration: Duration

    public var isHealthy: Bool { cause == nil }
}

/// The answers of all checks of one kind.
public struct HealthReport: Sendable, Hashable {
    public let service: String
    public let results: [HealthResult]
    /// The service is stopping: it still answers but should get nothing new.
    public let isDraining: Bool

    public var isHealthy: Bool { !isDraining && results.allSatisfy(\.isHealthy) }
    /// 200, or 503 when anything is wrong.
    public var httpStatus: Int { isHealthy ? 200 : 503 }

    /// `{"status":"ok","service":…,"checks":[{"name":…,"status":"ok","duration_ms":…},…]}`; a failing check has `cause`.
    public var json: String {
        var json = JSONText()
        json.object { json in
            json.field("status", isHealthy ? "ok" : isDraining ? "draining" : "failing")
            json.field("service", service)
            json.field("version", BuildInformation.version)
            json.key("checks")
            json.array { json in
                for result in results {
                    json.object { json in
                        json.field("name", result.name)
                        json.field("status", result.isHealthy ? "ok" : "failing")
                        if let cause = result.cause { json.field("cause", cause) }
                        json.key("duration_ms")
                        json.value((result.duration.inSeconds * 1e6).rounded() / 1000)
                    }
                }
            }
        }
        return json.string
    }

    /// UNAVAILABLE naming the first dependency that fails; nil when all is well.
    public var failure: Failure? {
        if isDraining {
            return Failure(.unavailable, reason: "DRAINING", "\(service) is stopping.", remedy: "Try another instance.")
        }
        guard let failing = results.first(where: { !$0.isHealthy }), let cause = failing.cause else { return nil }
        return Failure(.unavailable, reason: "DEPENDENCY", "\(service) is not ready: \(failing.name): \(cause)")
    }
}
