internal import ArgumentParser
internal import Core
internal import Platform
internal import RPC

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show what runs, how healthy it is, and how much is stored and searchable.",
        discussion: """
            Exit status: 0 all is well, 1 a service is not ready, 6 a service is unreachable.

            Example:
              acp status
            """)

    @OptionGroup var options: GlobalOptions

    /// What one service said about itself, or why it said nothing.
    private struct ServiceState: Sendable {
        var service: Session.Service
        var address: String
        var health: Result<HealthCheckResponse, Failure>

        var word: String {
            switch health {
            case .failure: "unreachable"
            case .success(let response): response.status == .serving ? "ready" : "not ready"
            }
        }

        var detail: String {
            switch health {
            case .failure(let failure): return failure.message
            case .success(let response):
                let failing = response.dependencies.filter { !$0.healthy }
                return failing.map { "\($0.name): \($0.detail)" }.joined(separator: "; ")
            }
        }

        var json: JSONValue {
            let dependencies: [DependencyHealth] = (try? health.get().dependencies) ?? []
            return .fields(
                ("service", .string(service.rawValue)), ("address", .string(address)), ("state", .string(word)),
                ("detail", .string(detail)),
                (
                    "dependencies",
                    .array(
                        dependencies.map {
                            .fields(
                                ("name", .string($0.name)), ("healthy", .bool($0.healthy)),
                                ("detail", .string($0.detail)))
                        })
                ))
        }
    }

    func run() async throws {
        try await Session.run(options) { session in
            let states = try await Self.states(session)
            var store: Result<GetStatusResponse, Failure>?
            if let ingest = states.first(where: { $0.service == .ingest }), case .success = ingest.health {
                store = await Self.outcome {
                    try await session.ingest().getStatus(GetStatusRequest(), options: session.callOptions)
                }
            }
            let status = try? store?.get()
            try session.output.emit({
                .fields(
                    ("services", .array(states.map(\.json))),
                    ("store", try status.map { try JSONValue($0) } ?? .null))
            }) { Self.text(states, status, session) }
            // A key that does not fit, or a store that cannot be read, is an error of its own.
            if case .failure(let failure)? = store { throw failure }
            if let bad = states.first(where: { $0.word != "ready" }) {
                throw EndCommand(
                    states.contains { $0.word == "unreachable" } || bad.word == "unreachable"
                        ? ExitStatus.unreachable : ExitStatus.failure)
            }
        }
    }

    /// Asks all services at the same time.
    private static func states(_ session: Session) async throws -> [ServiceState] {
        try await withThrowingTaskGroup(of: ServiceState.self) { group in
            for service in Session.Service.allCases {
                let address = session.configuration[service.key]
                let client = HealthClient(try session.client(service))
                group.addTask {
                    let health = await outcome {
                        try await client.check(
                            HealthCheckRequest(),
                            options: CallOptions(timeout: min(session.configuration[.timeout], .seconds(10))))
                    }
                    return ServiceState(service: service, address: address, health: health)
                }
            }
            var states: [ServiceState] = []
            for try await state in group { states.append(state) }
            return Session.Service.allCases.compactMap { service in states.first { $0.service == service } }
        }
    }

    private static func outcome<T: Sendable>(_ body: () async throws -> T) async -> Result<T, Failure> {
        do { return .success(try await body()) } catch { return .failure(Failure(wrapping: error)) }
    }

    private static func text(_ states: [ServiceState], _ status: GetStatusResponse?, _ session: Session) -> String {
        var services = Table("SERVICE", "STATE", "ADDRESS", "DETAIL")
        for state in states { services.add(state.service.rawValue, state.word, state.address, state.detail) }
        var text = session.output.render(services)
        guard let status else { return text }
        let behind = status.logSequence > status.indexSequence ? status.logSequence - status.indexSequence : 0
        text += """

            documents   \(status.documents)
            chunks      \(status.chunks)
            jobs        \(status.jobsQueued) queued, \(status.jobsRunning) running, \(status.jobsDead) dead
            index       at \(status.indexSequence) of \(status.logSequence)\(behind == 0 ? ", everything is searchable" : "")
            version     \(status.version)

            """
        return text
    }
}
