internal import Core
public import Logging
internal import Metrics
internal import Synchronization

/// Counts, times and logs every call: the metrics `acp_requests_total`, `acp_request_duration_seconds`, `acp_request_queue_seconds` and
/// `acp_errors_total`, and one log line; and the connections of the port.
public struct CallObserver: ServerObserver {
    private let service: String
    private let logger: Logger
    private let connections: Meter
    private let refusedConnections: Counter
    private let encryption: TLSLog

    /// - Parameter service: value of the `service` label.
    public init(service: String, logger: Logger) {
        self.service = service
        self.logger = logger
        encryption = TLSLog(logger: logger)
        connections = Meter(label: "acp_active_connections", dimensions: [("service", service), ("protocol", "acp")])
        refusedConnections = Counter(label: "acp_refused_connections_total", dimensions: [("service", service)])
    }

    public func observe(_ method: MethodDescriptor) -> any MethodObserver {
        Observation(service: service, path: method.path, logger: logger)
    }

    public func connectionsChanged(_ count: Int) { connections.set(count) }
    public func connectionRefused() { refusedConnections.increment() }

    public func tlsChanged(_ event: TLSEvent) { encryption.log(event) }

    /// Handles are made once: making one costs a lock and a dictionary of labels, a call should cost neither.
    private final class Observation: MethodObserver {
        private struct ErrorHandles {
            let requests: Counter
            let errors: Counter
        }

        private let service: String
        private let path: String
        private let name: String
        private let logger: Logger
        private let debugs: Bool
        private let succeeded: Counter
        private let duration: Timer
        private let queue: Timer
        private let failed = Mutex<[StatusCode: ErrorHandles]>([:])

        init(service: String, path: String, logger: Logger) {
            self.service = service
            self.path = path
            name = String(path.dropFirst())
            self.logger = logger
            debugs = logger.logLevel <= .debug
            succeeded = Self.requests(service, name, .ok)
            duration = Timer(
                label: "acp_request_duration_seconds", dimensions: [("service", service), ("method", name)])
            queue = Timer(label: "acp_request_queue_seconds", dimensions: [("service", service), ("method", name)])
        }

        private static func requests(_ service: String, _ name: String, _ code: StatusCode) -> Counter {
            Counter(
                label: "acp_requests_total", dimensions: [("service", service), ("method", name), ("code", code.name)])
        }

        private func handles(_ code: StatusCode) -> ErrorHandles {
            failed.withLock { failed in
                if let known = failed[code] { return known }
                let made = ErrorHandles(
                    requests: Self.requests(service, name, code),
                    errors: Counter(
                        label: "acp_errors_total",
                        dimensions: [("service", service), ("method", name), ("code", code.name)]))
                failed[code] = made
                return made
            }
        }

        func callEnded(_ call: CallContext, failure: Failure?, nanoseconds: Int64, queuedNanoseconds: Int64) {
            duration.recordNanoseconds(nanoseconds)
            // Most have not waited; those that have are what tells of load.
            if queuedNanoseconds > 0 { queue.recordNanoseconds(queuedNanoseconds) }
            guard let failure else {
                succeeded.increment()
                if debugs {
                    CallContext.$current.withValue(call) {
                        logger.debug(
                            "call finished", metadata: ["method": "\(path)", "duration_us": "\(nanoseconds / 1000)"])
                    }
                }
                return
            }
            let code = failure.code
            let handles = handles(code)
            handles.requests.increment()
            handles.errors.increment()
            CallContext.$current.withValue(call) {
                logger.log(
                    level: code == .internalError || code == .unknown || code == .dataLoss ? .error : .info,
                    "call failed",
                    metadata: [
                        "method": "\(path)", "code": "\(code.name)", "reason": "\(failure.reason)",
                        "duration_us": "\(nanoseconds / 1000)",
                    ])
            }
        }
    }
}
