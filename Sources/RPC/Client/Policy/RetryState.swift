internal import Core

/// What is known of how far a failed attempt came. It is evidence of this client's connection, never read from `Failure.reason`:
/// a handler may pass on the DRAINING of a service behind it after having done half of its own work.
enum AttemptProgress: Sendable, Hashable {
    /// No byte of it left this process: no connection, or the connection was closing.
    case notSent
    /// The server did nothing for it: its stream is above GOAWAY's last one, or its STATUS is marked refused.
    case refused
    /// It was sent, nothing came back but the failure: it may have run.
    case sent
    /// HEADERS or a part of a message came back.
    case answered
    /// The caller's side ended it: cancelled, deadline, client shut down.
    case endedHere
}

/// What makes a call safe to repeat.
struct CallTraits: Sendable, Hashable {
    /// Calling twice has the effect of calling once: the method says so, or the call has an idempotency key.
    var isRepeatable: Bool
    /// The whole request is still at hand. False once a streaming caller has produced a message.
    var isReplayable: Bool

    init(isRepeatable: Bool, isReplayable: Bool) {
        self.isRepeatable = isRepeatable
        self.isReplayable = isReplayable
    }

    init(_ method: MethodDescriptor, idempotencyKey: String) {
        self.init(isRepeatable: method.idempotent || !idempotencyKey.isEmpty, isReplayable: true)
    }
}

enum RetryDecision: Sendable, Hashable {
    /// Try again after this time, on another peer if there is one.
    case retry(after: Duration)
    /// The failure is the outcome of the call.
    case giveUp(Reason)

    /// Why a call is not repeated; for metrics and tests.
    enum Reason: Sendable, Hashable {
        case endedHere
        case answered
        case notReplayable
        case notRetryable
        case notRepeatable
        case attemptsSpent
        case budgetSpent
        case pushbackTooLong
        case noTimeLeft
    }
}

/// The attempts of one call.
///
/// Free repeats are of attempts that the server did not process and that asked for no wait: at once, outside of `attemptsMax` and
/// the budget, for any method, at most `freeMax` times. Every other repeat counts as an attempt, waits, and needs the budget.
struct RetryState: Sendable {
    /// Enough to pass a draining server and a closing connection; a third time something else is wrong.
    static let freeMax = 3

    private let policy: RetryPolicy
    var traits: CallTraits
    private let deadline: MonotonicTime?
    /// Number of the attempt in the REQUEST meta: 0 for the first.
    private(set) var attempt: UInt32 = 0
    private var paid = 0
    private var free = 0
    private var step = 0

    init(policy: RetryPolicy, traits: CallTraits, deadline: MonotonicTime?) {
        self.policy = policy.bounded
        self.traits = traits
        self.deadline = deadline
    }

    /// The current attempt failed. `hasOtherPeer` says that an address which is not known to fail has not been tried.
    mutating func attemptFailed(
        _ failure: Failure, _ progress: AttemptProgress, hasOtherPeer: Bool = false, now: MonotonicTime,
        budget: inout RetryBudget, using random: inout some RandomNumberGenerator
    ) -> RetryDecision {
        switch progress {
        case .endedHere: return .giveUp(.endedHere)
        case .answered: return .giveUp(.answered)
        case .notSent, .refused, .sent: break
        }
        let isUnprocessed = progress == .notSent || progress == .refused
        // An expired deadline stays expired and a cancelled caller is gone, whoever said so.
        guard failure.code != .cancelled, failure.code != .deadlineExceeded,
            isUnprocessed || policy.isRetryable(failure)
        else { return .giveUp(.notRetryable) }
        // Another address may do better.
        if progress == .notSent, !hasOtherPeer, Self.isForPeople(failure) { return .giveUp(.notRetryable) }
        // The wait before connecting again to one address is no reason not to try another.
        let asksToWait = failure.retryAfterMs > 0 && !(progress == .notSent && hasOtherPeer)
        if isUnprocessed, !asksToWait, traits.isReplayable, free < Self.freeMax {
            guard deadline.map({ now < $0 }) ?? true else { return .giveUp(.noTimeLeft) }
            free += 1
            attempt += 1
            return .retry(after: .zero)
        }
        // What was not sent loaded nobody.
        let isInBudget = progress == .notSent || budget.failed()
        guard traits.isReplayable else { return .giveUp(.notReplayable) }
        guard isUnprocessed || traits.isRepeatable else { return .giveUp(.notRepeatable) }
        guard paid + 1 < policy.attemptsMax else { return .giveUp(.attemptsSpent) }
        guard isInBudget else { return .giveUp(.budgetSpent) }
        guard Int64(failure.retryAfterMs) <= policy.pushbackMsMax else { return .giveUp(.pushbackTooLong) }
        let delay = nextDelay(failure, using: &random)
        guard deadline.map({ now.advanced(by: delay) < $0 }) ?? true else { return .giveUp(.noTimeLeft) }
        paid += 1
        attempt += 1
        return .retry(after: delay)
    }

    /// What makes connecting impossible and does not change by itself, such as a certificate.
    static func isForPeople(_ failure: Failure) -> Bool {
        failure.code == .failedPrecondition || failure.code == .unauthenticated
    }

    /// The server's wait, never less and up to 20 % more; without one the schedule's.
    private mutating func nextDelay(_ failure: Failure, using random: inout some RandomNumberGenerator) -> Duration {
        guard failure.retryAfterMs > 0 else {
            defer { step += 1 }
            return policy.schedule.delay(step: step, using: &random)
        }
        // As in gRPC, the schedule starts again after the server has spoken.
        step = 0
        return .milliseconds(Int64(failure.retryAfterMs)).spread(1...1 + ExponentialBackoff.jitter, using: &random)
    }
}
