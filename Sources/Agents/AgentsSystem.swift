internal import Core
public import Logging
public import RPC
public import Storage

/// The agents service as one piece: what the composition root makes, registers and stops.
public struct AgentsSystem: Sendable {
    public struct Configuration: Sendable {
        /// Passages that an answer is made from, 1 to 100.
        public var passagesRetrieved = 24
        /// Of these from one document, 1 to 100.
        public var passagesPerDocument = 5
        /// Questions answered at the same time; more are refused with RESOURCE_EXHAUSTED.
        public var asksMax = 64
        /// How long one call of the ingest service may take, in milliseconds. The caller's deadline applies besides.
        public var upstreamTimeoutMs = 30_000

        public init() {}
    }

    private let database: Database
    private let ingest: RPCClient
    private let answers: AnswersServer

    /// - Parameters:
    ///   - database: migrated; stays the caller's to close.
    ///   - ingest: a client of the ingest service; stays the caller's to shut down. Calls carry the credential of
    ///     whoever asks.
    public init(
        database: Database, ingest: RPCClient, configuration: Configuration = Configuration(), logger: Logger
    ) {
        self.database = database
        self.ingest = ingest
        var configuration = configuration
        configuration.passagesRetrieved = min(max(configuration.passagesRetrieved, 1), Limits.hitsMax)
        configuration.passagesPerDocument = min(max(configuration.passagesPerDocument, 1), Limits.hitsMax)
        configuration.asksMax = max(configuration.asksMax, 1)
        configuration.upstreamTimeoutMs = max(configuration.upstreamTimeoutMs, 1)
        answers = AnswersServer(database: database, ingest: ingest, configuration: configuration, logger: logger)
    }

    /// Makes `router` answer the service's methods.
    public func register(in router: inout ServiceRouter) { answers.register(in: &router) }

    /// The state of what the service needs, in the order to look at it.
    public func health() async -> [DependencyHealth] {
        async let postgres = Self.state(of: "postgresql") { [database] in try await database.ping() }
        async let upstream = Self.state(of: "ingest") { [ingest] in
            let answer = try await HealthClient(ingest).check(
                HealthCheckRequest(), options: CallOptions(timeout: .seconds(2)))
            guard answer.status == .serving else {
                throw Failure(.unavailable, "The ingest service is \(answer.status.protoName).")
            }
        }
        return await [postgres, upstream]
    }

    /// Refuses further questions; those in flight are the server's to drain.
    public func stop() { answers.stop() }

    private static func state(of name: String, _ probe: @Sendable () async throws -> Void) async -> DependencyHealth {
        do {
            try await probe()
            return DependencyHealth(name: name, healthy: true)
        } catch {
            return DependencyHealth(name: name, healthy: false, detail: Failure(wrapping: error).message)
        }
    }
}
