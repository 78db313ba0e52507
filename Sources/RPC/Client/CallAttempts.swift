internal import Core

/// What all attempts of a call have in common.
struct CallPlan: Sendable {
    let pool: ClientPool
    let method: MethodDescriptor
    /// Of the first attempt.
    let meta: RequestMeta
    let deadline: MonotonicTime?
    let kind: ConnectionKind
    let waitsForReady: Bool
    /// The one request message of calls that have one.
    let first: RawMessage?

    /// The first frame of attempt number `attempt`, sent now.
    /// - Throws: `Failure` DEADLINE_EXCEEDED when no time is left.
    func opening(attempt: UInt32) throws -> ClientConnection.Opening {
        var meta = meta
        meta.attempt = attempt
        if let deadline {
            let left = MonotonicTime.now().nanosecondsElapsed(to: deadline) / 1000
            guard left > 0 else { throw Failure(.deadlineExceeded, "No time was left to make the call.") }
            meta.timeoutMicroseconds = UInt64(left)
        }
        return ClientConnection.Opening(
            method: method, meta: meta, deadline: deadline, endStream: !method.clientStreaming)
    }
}

/// The attempts of one call: where the next goes, and whether there is a next.
struct CallAttempts: Sendable {
    let plan: CallPlan
    private var retry: RetryState
    private var tried: [PeerID] = []
    /// Why no connection could be made, where that is for people to change: it says more than that another address cannot be reached.
    private var telling: Failure?

    init(_ plan: CallPlan, _ policy: RetryPolicy) {
        self.plan = plan
        retry = RetryState(
            policy: policy, traits: CallTraits(plan.method, idempotencyKey: plan.meta.idempotencyKey),
            deadline: plan.deadline)
    }

    /// The application of a streaming call has produced a message that nobody keeps.
    mutating func requestIsGone() { retry.traits.isReplayable = false }

    /// A stream on a ready connection, and what opens it. Attempts that find no connection are repeated here.
    /// - Throws: the call's `Failure`.
    mutating func stream() async throws -> (ClientStream, ClientConnection.Opening) {
        while true {
            let answer = await plan.pool.acquire(
                plan.kind, avoiding: tried, waitsForReady: plan.waitsForReady, deadline: plan.deadline)
            switch answer {
            case .use(let lease):
                let stream = ClientStream(connection: lease.connection)
                stream.settlement = Settlement(pool: plan.pool, lease: lease)
                do {
                    return (stream, try plan.opening(attempt: retry.attempt))
                } catch {
                    stream.end(Failure(wrapping: error))
                    throw error
                }
            case .failed(let failure, let progress, let peer):
                if let peer { plan.pool.finished(peer, failure, progress) }
                try await failed(failure, progress, at: peer)
            case .again: preconditionFailure("the pool chooses again itself")
            }
        }
    }

    /// An attempt failed; returns when the next is due.
    /// - Throws: the failure when there is no next attempt, or CANCELLED.
    mutating func failed(_ failure: Failure, _ progress: AttemptProgress, at peer: PeerID?) async throws {
        if let peer, !tried.contains(peer) { tried.append(peer) }
        if progress == .notSent, RetryState.isForPeople(failure) { telling = failure }
        guard case .retry(let delay) = plan.pool.decide(&retry, failure, progress, tried: tried) else {
            throw progress == .notSent ? telling ?? failure : failure
        }
        guard delay > .zero else { return }
        do { try await Task.sleep(for: delay) } catch { throw Failure(wrapping: error) }
    }

    /// An opened stream ended with `failure`. Its end has been settled.
    mutating func failed(_ stream: ClientStream, _ failure: Failure) async throws {
        try await failed(failure, stream.progress, at: stream.peer)
    }

    /// Opens a stream whose messages are read and written later; with `waits` returns when its REQUEST is written.
    mutating func open(waits: Bool) async throws -> ClientStream {
        while true {
            let (stream, opening) = try await stream()
            guard waits else {
                let first = plan.first
                stream.connection.execute { stream.client.open(stream, opening, first: first) }
                return stream
            }
            switch await stream.open(opening, first: plan.first, until: .opened) {
            case .reached: return stream
            case .failed(let failure, _): try await failed(stream, failure)
            }
        }
    }
}
