import Core
import Testing

@testable import RPC

extension HedgedCall.Action: CustomStringConvertible {
    public var description: String {
        func show(_ timer: MonotonicTime?) -> String { timer.map { ", timer \($0.ms)" } ?? "" }
        return switch self {
        case .send(let attempt, let timer): "send \(attempt)\(show(timer))"
        case .wait(let timer): "wait\(show(timer))"
        case .won(let attempt, let cancel): "won \(attempt), cancel \(cancel)"
        case .failed(let failure, let cancel): "failed \(failure.reason), cancel \(cancel)"
        case .ignore: "ignore"
        }
    }
}

@Suite struct HedgingTests {
    /// One hedged call and the client's budget; actions as text.
    private struct Call {
        var call: HedgedCall
        var budget = RetryBudget()

        init(attemptsMax: Int = 3, delayMs: Int64 = 10, deadlineMs: Int? = nil) {
            call = HedgedCall(
                policy: HedgingPolicy(attemptsMax: attemptsMax, delayMs: delayMs), deadline: deadlineMs.map(at))
        }

        mutating func start() -> String { call.start(now: at(0)).description }
        mutating func timer(_ ms: Int) -> String { call.timerFired(now: at(ms), budget: &budget).description }
        mutating func answers(_ attempt: Int) -> String { call.attemptAnswered(attempt).description }
        mutating func fails(
            _ attempt: Int, _ failure: Failure, _ progress: AttemptProgress = .sent, hasOtherPeer: Bool = false,
            at ms: Int
        ) -> String {
            call.attemptFailed(
                attempt, failure, progress, hasOtherPeer: hasOtherPeer, now: at(ms), budget: &budget
            ).description
        }
    }

    @Test func aFastAnswerSendsNoCopy() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.answers(0), "won 0, cancel []")
        check(call.timer(10), "ignore")
    }

    @Test func theFirstAnswerWinsAndTheOthersAreCancelled() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.timer(10), "send 1, timer 20")
        check(call.timer(20), "send 2")
        check(call.answers(1), "won 1, cancel [0, 2]")
        check(call.answers(0), "ignore")
        check(call.fails(2, unavailable(), at: 30), "ignore")
    }

    @Test func aTimerThatFiresEarlyIsSetAgain() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.timer(9), "wait, timer 10")
    }

    @Test func aCopyThatFailsIsReplacedAtOnce() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.fails(0, unavailable(), at: 4), "send 1, timer 14")
        check(call.fails(1, unavailable(), at: 5), "send 2")
        check(call.fails(2, unavailable("LAST"), at: 6), "failed LAST, cancel []")
    }

    @Test func aFatalFailureEndsTheCallAndCancelsTheOthers() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.timer(10), "send 1, timer 20")
        check(call.fails(1, Failure(.notFound, reason: "NO", "No."), at: 11), "failed NO, cancel [0]")
        check(call.answers(0), "ignore")
        // Unless the server never looked at the copy.
        call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.fails(0, Failure(.internalError, "Closed."), .refused, at: 1), "send 1, timer 11")
    }

    @Test func pushbackDelaysTheNextCopyAndALongOneEndsThem() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.timer(10), "send 1, timer 20")
        check(call.fails(1, unavailable(retryAfterMs: 100), at: 12), "wait, timer 112")
        check(call.fails(0, unavailable(), at: 13), "wait, timer 112")
        check(call.timer(112), "send 2")
        call = Call()
        check(call.start(), "send 0, timer 10")
        check(call.timer(10), "send 1, timer 20")
        check(call.fails(1, unavailable(retryAfterMs: 6000), at: 12), "wait")
        check(call.fails(0, unavailable("LAST"), at: 13), "failed LAST, cancel []")
    }

    @Test func anUnreachablePeerDoesNotDelayACopyToAnother() {
        var call = Call()
        check(call.start(), "send 0, timer 10")
        let unreachable = unavailable(retryAfterMs: 900)
        check(call.fails(0, unreachable, .notSent, hasOtherPeer: true, at: 1), "send 1, timer 11")
        check(call.fails(1, unreachable, .notSent, at: 2), "wait, timer 902")
    }

    @Test func anEmptyBudgetLeavesTheFirstCopyAlone() {
        var call = Call()
        while call.budget.failed() {}
        check(call.start(), "send 0, timer 10")
        check(call.timer(10), "wait")
        check(call.answers(0), "won 0, cancel []")
    }

    @Test func noCopyIsPlannedAtOrAfterTheDeadline() {
        var call = Call(deadlineMs: 10)
        check(call.start(), "send 0")
        check(call.fails(0, unavailable("LAST"), at: 10), "failed LAST, cancel []")
    }

    @Test func aCallerThatGivesUpCancelsEveryCopy() {
        var call = Call()
        _ = (call.start(), call.timer(10))
        check(call.call.cancelled(), [0, 1])
        check(call.timer(20), "ignore")
        check(call.answers(0), "ignore")
    }

    /// Random events: at most one winner, never both an answer and a failure, every copy either ends by itself or is cancelled once,
    /// and at any time before the decision something is in flight or a timer runs.
    @Test(arguments: 1...200 as ClosedRange<UInt64>)
    func thereIsExactlyOneOutcome(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let attemptsMax = Int.random(in: 2...5, using: &random)
        var call = Call(
            attemptsMax: attemptsMax, delayMs: .random(in: 0...20, using: &random),
            deadlineMs: Bool.random(using: &random) ? .random(in: 1...200, using: &random) : nil)
        if seed % 4 == 0 { for _ in 0..<49 { _ = call.budget.failed() } }
        var (live, sent, outcomes, timer) = (Set<Int>(), 0, 0, MonotonicTime?.none)
        var wasLive = false
        func apply(_ action: HedgedCall.Action) {
            switch action {
            case .send(let attempt, let next):
                #expect(attempt == sent && outcomes == 0, "seed \(seed)")
                sent += 1
                live.insert(attempt)
                timer = next
            case .wait(let next):
                timer = next
                #expect(outcomes > 0 || !live.isEmpty || timer != nil, "seed \(seed): stuck")
            case .won(let attempt, let cancel):
                outcomes += 1
                #expect(live.remove(attempt) != nil && live == Set(cancel), "seed \(seed)")
                live = []
            case .failed(_, let cancel):
                outcomes += 1
                #expect(live == Set(cancel), "seed \(seed)")
                live = []
            case .ignore: #expect(outcomes == 1 || !wasLive, "seed \(seed)")
            }
        }
        var now = 0
        apply(call.call.start(now: at(0)))
        for _ in 0..<100 {
            now += Int.random(in: 0...10, using: &random)
            let attempt = live.sorted().randomElement(using: &random) ?? Int.random(in: 0...5, using: &random)
            wasLive = live.contains(attempt)
            switch Int.random(in: 0...3, using: &random) {
            case 0: apply(call.call.timerFired(now: at(now), budget: &call.budget))
            case 1 where Int.random(in: 0...3, using: &random) == 0: apply(call.call.attemptAnswered(attempt))
            case 2 where live.contains(attempt) || outcomes > 0:
                live.remove(attempt)
                let code: StatusCode = Int.random(in: 0...9, using: &random) == 0 ? .notFound : .unavailable
                let wait = UInt32.random(in: 0...60, using: &random)
                let failure = Failure(code, "Failed.", retryAfterMs: wait < 30 ? 0 : wait)
                let progress: AttemptProgress = [.notSent, .refused, .sent].randomElement(using: &random) ?? .sent
                apply(call.call.attemptFailed(attempt, failure, progress, now: at(now), budget: &call.budget))
            default: break
            }
        }
        // Let it end.
        while outcomes == 0 {
            if let attempt = live.min() {
                live.remove(attempt)
                apply(call.call.attemptFailed(attempt, unavailable(), .sent, now: at(now), budget: &call.budget))
            } else {
                guard let due = timer else { break }
                now = max(now, due.ms)
                apply(call.call.timerFired(now: max(due, at(now)), budget: &call.budget))
            }
        }
        #expect(outcomes == 1 && sent <= attemptsMax, "seed \(seed)")
    }
}
