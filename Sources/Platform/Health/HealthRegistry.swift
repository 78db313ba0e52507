internal import Core
internal import Synchronization

/// The health checks of one service. Answers are cached briefly, and callers that come while a probe runs share its answer.
public final class HealthRegistry: Sendable {
    public let service: String
    private let state = Mutex(State())

    private struct State {
        var isDraining = false
        var entries: [Entry] = []
    }

    private struct Entry {
        let check: HealthCheck
        var phase = Phase.idle
        /// A probe that was given up on has not returned yet; another one would only pile up behind it.
        var isStuck = false
    }

    private enum Phase {
        /// Never probed. → running
        case idle
        /// A probe is on its way; its callers share the answer. → known
        case running(Task<HealthResult, Never>)
        /// The answer and when it was given. → running, when it is too old
        case known(HealthResult, at: MonotonicTime)
    }

    public init(service: String) { self.service = service }

    /// Adds a check; checks are reported in the order in which they were added.
    public func register(_ check: HealthCheck) {
        state.withLock { $0.entries.append(Entry(check: check)) }
    }

    /// From now on the service reports that it is stopping, whatever its checks say.
    public func beginDraining() {
        state.withLock { $0.isDraining = true }
    }

    /// `/healthz`: whether the process works. Draining does not change it.
    public func liveness() async -> HealthReport { await report(.liveness) }

    /// `/readyz`: whether requests can be served now; the liveness checks count too.
    public func readiness() async -> HealthReport { await report(.readiness) }

    private func report(_ kind: HealthCheck.Kind) async -> HealthReport {
        let indices = state.withLock { state in
            state.entries.indices.filter { kind == .readiness || state.entries[$0].check.kind == .liveness }
        }
        // All probes run at the same time: the report takes as long as the slowest.
        let pending = indices.map(answer)
        var results: [HealthResult] = []
        for answer in pending {
            switch answer {
            case .known(let result): results.append(result)
            case .running(let task): results.append(await task.value)
            }
        }
        let isDraining = kind == .readiness && state.withLock { $0.isDraining }
        return HealthReport(service: service, results: results, isDraining: isDraining)
    }

    private enum Answer {
        case known(HealthResult)
        case running(Task<HealthResult, Never>)
    }

    private func answer(at index: Int) -> Answer {
        state.withLock { state in
            let entry = state.entries[index]
            switch entry.phase {
            case .running(let task): return .running(task)
            case .known(let result, let time) where time.duration(to: .now()) < entry.check.cacheFor:
                return .known(result)
            case .idle, .known: break
            }
            if entry.isStuck {
                return .known(
                    HealthResult(
                        name: entry.check.name, cause: "an earlier probe still gets no answer", duration: .zero))
            }
            // The probe belongs to no caller: it must survive the one that happened to start it.
            let task = Task.detached { await self.probe(entry.check, at: index) }
            state.entries[index].phase = .running(task)
            return .running(task)
        }
    }

    private func probe(_ check: HealthCheck, at index: Int) async -> HealthResult {
        let start = MonotonicTime.now()
        let outcome = await bounded(check.timeout) {
            self.state.withLock { $0.entries[index].isStuck = true }
            defer { self.state.withLock { $0.entries[index].isStuck = false } }
            try await check.probe()
        }
        let cause: String? =
            switch outcome {
            case .finished: nil
            case .failed(let failure as Failure):
                failure.remedy.isEmpty ? failure.message : "\(failure.message) \(failure.remedy)"
            // An error that nobody designed may carry data in its text: its type has to do.
            case .failed(let error): "unexpected \(type(of: error))"
            case .timedOut: "no answer within \(check.timeout)"
            }
        let result = HealthResult(name: check.name, cause: cause, duration: start.duration(to: .now()))
        state.withLock { $0.entries[index].phase = .known(result, at: .now()) }
        return result
    }
}
