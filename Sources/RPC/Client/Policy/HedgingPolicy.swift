public import Core

/// Sends copies of a slow call and takes the first answer: trades load for the tail of the latency. For idempotent methods only.
public struct HedgingPolicy: Sendable, Hashable {
    /// Copies including the first, 2 to 5.
    public var attemptsMax: Int
    /// Time without an answer after which the next copy is sent, in milliseconds, 0 to 60,000. The method's 95th percentile is a
    /// good value: 5 % more load.
    public var delayMs: Int64
    /// Codes of a copy that do not end the call while others may still answer.
    public var nonFatalCodes: Set<StatusCode>

    public init(attemptsMax: Int = 2, delayMs: Int64, nonFatalCodes: Set<StatusCode> = [.unavailable]) {
        self.attemptsMax = attemptsMax
        self.delayMs = delayMs
        self.nonFatalCodes = nonFatalCodes
    }

    /// Whether copies of the call may run at once. An idempotency key is not enough: it orders repeats, not simultaneous copies.
    static func applies(to method: MethodDescriptor) -> Bool { method.idempotent && !method.clientStreaming }

    var bounded: HedgingPolicy {
        var policy = self
        policy.attemptsMax = min(max(attemptsMax, 2), 5)
        policy.delayMs = min(max(delayMs, 0), 60_000)
        return policy
    }
}

/// The copies of one hedged call: events in, what to do out. Rules of gRPC's proposal A6, with a budget for every copy.
struct HedgedCall: Sendable {
    /// One timer is enough: each action that names one replaces the one before.
    enum Action: Sendable, Hashable {
        case send(attempt: Int, timer: MonotonicTime?)
        case wait(timer: MonotonicTime?)
        /// This copy's answer is the call's; the others are cancelled.
        case won(attempt: Int, cancel: [Int])
        case failed(Failure, cancel: [Int])
        /// The call is decided, or the copy has ended already; nothing is to be done.
        case ignore
    }

    private let policy: HedgingPolicy
    /// A longer wait asked for by a server ends the sending of copies.
    private let pushbackMsMax: Int64
    private let deadline: MonotonicTime?
    private var inFlight: [Int] = []
    private var sent = 0
    private var timer: MonotonicTime?
    /// No copy is sent before: a server asked for it.
    private var notBefore = MonotonicTime(nanoseconds: 0)
    /// No more copies: the budget is spent or a server asked for more time than there is.
    private var isExhausted = false
    private var isDecided = false
    private var lastFailure: Failure?

    init(policy: HedgingPolicy, pushbackMsMax: Int64 = RetryPolicy().pushbackMsMax, deadline: MonotonicTime?) {
        self.policy = policy.bounded
        self.pushbackMsMax = pushbackMsMax
        self.deadline = deadline
    }

    /// The first copy; it needs no budget.
    mutating func start(now: MonotonicTime) -> Action { send(now: now) }

    mutating func timerFired(now: MonotonicTime, budget: inout RetryBudget) -> Action {
        guard !isDecided else { return .ignore }
        guard let timer, now >= timer else { return .wait(timer: timer) }
        return sendNext(now: now, budget: &budget)
    }

    /// The first byte of an answer, or its OK.
    mutating func attemptAnswered(_ attempt: Int) -> Action {
        guard !isDecided, inFlight.contains(attempt) else { return .ignore }
        let others = inFlight.filter { $0 != attempt }
        decide()
        return .won(attempt: attempt, cancel: others)
    }

    /// A copy failed. `hasOtherPeer` as in `RetryState`: then the wait before connecting to this one again does not matter.
    mutating func attemptFailed(
        _ attempt: Int, _ failure: Failure, _ progress: AttemptProgress, hasOtherPeer: Bool = false,
        now: MonotonicTime, budget: inout RetryBudget
    ) -> Action {
        guard !isDecided, let index = inFlight.firstIndex(of: attempt) else { return .ignore }
        inFlight.remove(at: index)
        let isUnprocessed = progress == .notSent || progress == .refused
        let isNonFatal =
            isUnprocessed || (progress == .sent && policy.nonFatalCodes.contains(failure.code))
            || (progress == .sent && failure.code == .resourceExhausted && failure.retryAfterMs > 0)
        guard isNonFatal, failure.code != .cancelled, failure.code != .deadlineExceeded else {
            let others = inFlight
            decide()
            return .failed(failure, cancel: others)
        }
        lastFailure = failure
        if progress != .notSent { _ = budget.failed() }
        let pushback = progress == .notSent && hasOtherPeer ? 0 : Int64(failure.retryAfterMs)
        if pushback > pushbackMsMax { isExhausted = true }
        notBefore = max(notBefore, now.advanced(by: .milliseconds(pushback)))
        guard now < notBefore else { return sendNext(now: now, budget: &budget) }
        arm(notBefore)
        return settle()
    }

    /// The caller gave up. Returns the copies to cancel.
    mutating func cancelled() -> [Int] {
        defer { decide() }
        return inFlight
    }

    private mutating func sendNext(now: MonotonicTime, budget: inout RetryBudget) -> Action {
        let hasTime = deadline.map { now < $0 } ?? true
        guard sent < policy.attemptsMax, hasTime, !isExhausted, budget.takeForHedge() else {
            isExhausted = true
            timer = nil
            return settle()
        }
        return send(now: now)
    }

    private mutating func send(now: MonotonicTime) -> Action {
        inFlight.append(sent)
        sent += 1
        timer = nil
        arm(max(now.advanced(by: .milliseconds(policy.delayMs)), notBefore))
        return .send(attempt: sent - 1, timer: timer)
    }

    /// Sets the timer of the next copy, unless there will be none.
    private mutating func arm(_ time: MonotonicTime) {
        let isInTime = deadline.map { time < $0 } ?? true
        timer = sent < policy.attemptsMax && !isExhausted && isInTime ? max(time, timer ?? time) : nil
    }

    private mutating func settle() -> Action {
        guard inFlight.isEmpty, timer == nil, let lastFailure else { return .wait(timer: timer) }
        decide()
        return .failed(lastFailure, cancel: [])
    }

    private mutating func decide() {
        isDecided = true
        inFlight = []
        timer = nil
    }
}
