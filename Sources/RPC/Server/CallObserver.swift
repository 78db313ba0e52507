internal import Core
public import Logging
internal import Metrics
internal import Synchronization

/// Counts, times and logs every call: the metrics `acp_requests_total`, `acp_request_duration_seconds` and `acp_errors_total`, and one log line.
public struct CallObserver: ServerInterceptor {
    private let service: String
    private let logger: Logger
    private let handles = Handles()

    /// - Parameter service: value of the `service` label.
    public init(service: String, logger: Logger) {
        self.service = service
        self.logger = logger
    }

    public func intercept(
        _ context: ServerContext, next: @Sendable () async throws -> (any WireMessage)?
    ) async throws -> (any WireMessage)? {
        let start = MonotonicTime.now()
        do {
            let reply = try await next()
            finished(context, start, nil)
            return reply
        } catch {
            let failure = Failure(wrapping: error)
            if failure.reason == "UNEXPECTED" {
                // The caller learns nothing of an error nobody designed; the log must.
                logger.error("unexpected error", metadata: ["method": "\(context.method.path)", "error": "\(error)"])
            }
            finished(context, start, failure)
            throw failure
        }
    }

    private func finished(_ context: ServerContext, _ start: MonotonicTime, _ failure: Failure?) {
        let elapsed = start.duration(to: .now())
        let code = failure?.code ?? .ok
        let set = handles.of(service: service, method: context.method, code: code)
        set.requests.increment()
        set.duration.recordNanoseconds(elapsed.wholeNanoseconds)
        guard let failure else {
            logger.debug(
                "call finished",
                metadata: ["method": "\(context.method.path)", "duration_us": "\(elapsed.wholeNanoseconds / 1000)"])
            return
        }
        set.errors?.increment()
        logger.log(
            level: code == .internalError || code == .unknown || code == .dataLoss ? .error : .info, "call failed",
            metadata: [
                "method": "\(context.method.path)", "code": "\(code.name)", "reason": "\(failure.reason)",
                "duration_us": "\(elapsed.wholeNanoseconds / 1000)",
            ])
    }

    /// Metric handles by method and code: making one costs a lock and a dictionary of labels, a call should cost neither.
    private final class Handles: Sendable {
        struct HandleSet {
            let requests: Counter
            let duration: Timer
            let errors: Counter?
        }

        private struct Key: Hashable {
            let path: String
            let code: StatusCode
        }

        private let sets = Mutex<[Key: HandleSet]>([:])

        func of(service: String, method: MethodDescriptor, code: StatusCode) -> HandleSet {
            sets.withLock { sets in
                let key = Key(path: method.path, code: code)
                if let known = sets[key] { return known }
                let name = String(method.path.dropFirst())
                let made = HandleSet(
                    requests: Counter(
                        label: "acp_requests_total",
                        dimensions: [("service", service), ("method", name), ("code", code.name)]),
                    duration: Timer(
                        label: "acp_request_duration_seconds", dimensions: [("service", service), ("method", name)]),
                    errors: code == .ok
                        ? nil
                        : Counter(
                            label: "acp_errors_total",
                            dimensions: [("service", service), ("method", name), ("code", code.name)]))
                sets[key] = made
                return made
            }
        }
    }
}
