internal import Core
internal import Synchronization

/// Runs the copies of a hedged call until one answers: the tasks and timers of a `HedgedCall`.
struct HedgedRun: Sendable {
    private enum Event: Sendable {
        case timer
        case answered(Int, ClientStream)
        case failed(Int, Failure, AttemptProgress)
    }

    private let plan: CallPlan
    private let policy: HedgingPolicy
    private let pushbackMsMax: Int64
    private let tried = Tried()

    /// Where copies have gone.
    private final class Tried: Sendable {
        let peers = Mutex<[PeerID]>([])
        var all: [PeerID] { peers.withLock { $0 } }
    }

    init(_ plan: CallPlan, _ policy: HedgingPolicy, pushbackMsMax: Int64) {
        self.plan = plan
        self.policy = policy
        self.pushbackMsMax = pushbackMsMax
    }

    /// The stream of the copy that answered first; the others are cancelled.
    /// - Throws: the call's `Failure`.
    func winner() async throws -> ClientStream {
        var call = HedgedCall(policy: policy, pushbackMsMax: pushbackMsMax, deadline: plan.deadline)
        let result = await withTaskGroup(of: Event.self) { group -> Result<ClientStream, Failure> in
            var answered: [Int: ClientStream] = [:]
            var action = call.start(now: .now())
            var decision: Result<ClientStream, Failure>?
            while decision == nil {
                switch action {
                case .send(let attempt, let timer):
                    group.addTask { await send(attempt) }
                    if let timer { group.addTask { await Self.wait(until: timer) } }
                case .wait(let timer):
                    if let timer { group.addTask { await Self.wait(until: timer) } }
                case .won(let attempt, _):
                    decision = answered.removeValue(forKey: attempt).map { .success($0) }
                case .failed(let failure, _): decision = .failure(failure)
                case .ignore: break
                }
                guard decision == nil, let event = await group.next() else { break }
                switch event {
                case .timer: action = plan.pool.timerFired(&call)
                case .answered(let attempt, let stream):
                    answered[attempt] = stream
                    action = call.attemptAnswered(attempt)
                case .failed(let attempt, let failure, let progress):
                    action = plan.pool.copyFailed(&call, attempt, failure, progress, tried: tried.all)
                }
            }
            // Copies in flight end by cancellation; one that has just been answered must be told.
            group.cancelAll()
            for await case .answered(_, let stream) in group { stream.cancel() }
            return decision ?? .failure(Failure(.cancelled, "The call was cancelled."))
        }
        return try result.get()
    }

    private static func wait(until time: MonotonicTime) async -> Event {
        try? await Task.sleep(for: .nanoseconds(MonotonicTime.now().nanosecondsElapsed(to: time)))
        return .timer
    }

    private func send(_ attempt: Int) async -> Event {
        let answer = await plan.pool.acquire(
            plan.kind, avoiding: tried.all, waitsForReady: plan.waitsForReady, deadline: plan.deadline)
        switch answer {
        case .use(let lease):
            tried.peers.withLock { $0.append(lease.peer) }
            let stream = ClientStream(connection: lease.connection)
            stream.settlement = Settlement(pool: plan.pool, lease: lease)
            do {
                let opening = try plan.opening(attempt: UInt32(attempt))
                switch await stream.open(opening, first: plan.first, until: .answered) {
                case .reached: return .answered(attempt, stream)
                case .failed(let failure, let progress): return .failed(attempt, failure, progress)
                }
            } catch {
                stream.end(Failure(wrapping: error))
                return .failed(attempt, Failure(wrapping: error), .endedHere)
            }
        case .failed(let failure, let progress, let peer):
            if let peer {
                tried.peers.withLock { $0.append(peer) }
                plan.pool.finished(peer, failure, progress)
            }
            return .failed(attempt, failure, progress)
        case .again: preconditionFailure("the pool chooses again itself")
        }
    }
}
