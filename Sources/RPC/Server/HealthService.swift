internal import Core
internal import Synchronization

/// `acp.v1.Health` over whatever the process knows of its dependencies.
public struct HealthServer: HealthService {
    /// The state of one service, or of the process for an empty name; nil for a service that is not here.
    public typealias Probe = @Sendable (_ service: String) async -> HealthCheckResponse?

    private let probe: Probe
    private let pollInterval: Duration
    private let bell = WatchBell()

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
        let watcher = bell.enter()
        defer { bell.leave(watcher) }
        while true {
            let hasRung = bell.hasRung
            var current = HealthCheckResponse(status: .serviceUnknown)
            if let known = await probe(request.service) { current = known }
            if current != last {
                try await responses.write(current)
                last = current
            }
            if hasRung { bell.leave(watcher) }
            // The caller asks again, elsewhere or when this process is back; it must not hold up the end.
            if await context.isDraining() { return }
            try await pause(isAlert: !hasRung)
        }
    }

    /// Waits for the next look; an alert one ends when the bell rings.
    private func pause(isAlert: Bool) async throws {
        let (bell, pollInterval) = (bell, pollInterval)
        guard isAlert else { return try await Task.sleep(for: pollInterval) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await Task.sleep(for: pollInterval) }
            group.addTask { await bell.rings() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Tells everybody who watches what the probe says now, without waiting for the next look: before a port is drained, so that callers hear
    /// NOT_SERVING before GOAWAY. Once; returns when all have been told, or after `limit`, because one that does not read may hold up nobody.
    public func announceDraining(limit: Duration = .milliseconds(500)) async {
        bell.ring()
        let deadline = MonotonicTime.now().advanced(by: limit)
        while !bell.allKnow, MonotonicTime.now() < deadline {
            do { try await Task.sleep(for: .milliseconds(2)) } catch { return }
        }
    }
}

/// Wakes those who watch, once, and knows who has not looked since.
private final class WatchBell: Sendable {
    private struct State {
        var hasRung = false
        var nextWatcher: UInt64 = 0
        /// Have not looked since the bell rang, or will have to.
        var watchers: Set<UInt64> = []
        var nextWait: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    var hasRung: Bool { state.withLock { $0.hasRung } }
    var allKnow: Bool { state.withLock { $0.watchers.isEmpty } }

    func enter() -> UInt64 {
        state.withLock { state in
            state.nextWatcher += 1
            state.watchers.insert(state.nextWatcher)
            return state.nextWatcher
        }
    }

    func leave(_ watcher: UInt64) { state.withLock { _ = $0.watchers.remove(watcher) } }

    func ring() {
        let waiting = state.withLock { state in
            state.hasRung = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when the bell has rung, or the task is cancelled.
    func rings() async {
        let wait = state.withLock { state in
            state.nextWait += 1
            return state.nextWait
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    // A cancellation before this has found nobody to wake.
                    if state.hasRung || Task.isCancelled { return true }
                    state.waiting[wait] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: wait) }?.resume()
        }
    }
}
