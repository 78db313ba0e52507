import Core
import Testing

@testable import RPC

@Suite struct RetryTests {
    private static let repeatable = CallTraits(isRepeatable: true, isReplayable: true)
    private static let once = CallTraits(isRepeatable: false, isReplayable: true)

    /// One call and its surroundings; decisions as text.
    private struct Call {
        var state: RetryState
        var budget: RetryBudget
        var random = MiddleGenerator()

        init(
            _ traits: CallTraits = RetryTests.repeatable, policy: RetryPolicy = RetryPolicy(), deadlineMs: Int? = nil,
            budget: RetryBudget = RetryBudget()
        ) {
            state = RetryState(policy: policy, traits: traits, deadline: deadlineMs.map(at))
            self.budget = budget
        }

        mutating func fails(
            _ failure: Failure, _ progress: AttemptProgress, hasOtherPeer: Bool = false, at ms: Int = 0
        ) -> String {
            switch state.attemptFailed(
                failure, progress, hasOtherPeer: hasOtherPeer, now: at(ms), budget: &budget, using: &random)
            {
            case .retry(let delay): "retry in \(delay.wholeNanoseconds / 1_000_000) ms"
            case .giveUp(let reason): "\(reason)"
            }
        }
    }

    @Test func anIdempotentCallIsRepeatedWithGrowingDelays() {
        var call = Call()
        check(call.fails(unavailable(), .sent), "retry in 50 ms")
        check(call.fails(unavailable(), .sent), "retry in 100 ms")
        check(call.fails(unavailable(), .sent), "retry in 200 ms")
        check(call.fails(unavailable(), .sent), "attemptsSpent")
        #expect(call.state.attempt == 3)
    }

    @Test func nothingIsRepeatedAfterTheFirstByteOfAnAnswer() {
        var call = Call()
        check(call.fails(unavailable(), .answered), "answered")
    }

    @Test func whatTheCallerEndedIsNotRepeated() {
        var call = Call(policy: RetryPolicy(codes: Set(StatusCode.allCases)))
        check(call.fails(unavailable("CLIENT_CLOSED"), .endedHere), "endedHere")
        for code in [StatusCode.cancelled, .deadlineExceeded] {
            for progress in [AttemptProgress.notSent, .refused, .sent] {
                check(call.fails(Failure(code, "Ended."), progress), "notRetryable")
            }
        }
    }

    @Test func aCallThatMayHaveRunIsRepeatedOnlyWhenThatIsHarmless() {
        var call = Call(Self.once)
        check(call.fails(unavailable(), .sent), "notRepeatable")
        let method = MethodDescriptor(
            path: "/a.B/C", service: "a.B", name: "C", requestType: "", responseType: "", clientStreaming: false,
            serverStreaming: false, access: .open, idempotent: false, uploadStartField: "", uploadDataField: "",
            httpRules: [])
        #expect(!CallTraits(method, idempotencyKey: "").isRepeatable)
        #expect(CallTraits(method, idempotencyKey: "k").isRepeatable)
    }

    @Test func aStreamThatHasProducedMessagesCannotBeReplayed() {
        var call = Call(CallTraits(isRepeatable: true, isReplayable: false))
        check(call.fails(unavailable(), .refused), "notReplayable")
    }

    @Test func whatTheServerDidNotProcessIsRepeatedAtOnceForAnyMethodAndPolicyAFewTimes() {
        for progress in [AttemptProgress.notSent, .refused] {
            var call = Call(Self.once, policy: .none)
            for _ in 0..<RetryState.freeMax {
                check(call.fails(unavailable("DRAINING"), progress), "retry in 0 ms")
            }
            check(call.fails(unavailable("DRAINING"), progress), "attemptsSpent")
            #expect(call.state.attempt == UInt32(RetryState.freeMax))
        }
    }

    /// GOAWAY with an error code leaves the streams above the last one untouched all the same.
    @Test func theCodeOfAnUnprocessedAttemptDoesNotMatter() {
        var call = Call(Self.once)
        check(call.fails(Failure(.internalError, reason: "GOAWAY", "Closed."), .refused), "retry in 0 ms")
    }

    @Test func whatOnlyPeopleCanChangeIsTriedOnlyElsewhere() {
        for code in [StatusCode.failedPrecondition, .unauthenticated] {
            var call = Call()
            let untrusted = Failure(code, reason: "TLS_UNKNOWN_CA", "Not trusted.")
            check(call.fails(untrusted, .notSent, hasOtherPeer: true), "retry in 0 ms")
            check(call.fails(untrusted, .notSent), "notRetryable")
        }
    }

    @Test func aRefusalThatAsksForTimeGetsItAndCounts() {
        var call = Call(Self.once)
        // 0 to 20 % later than asked.
        check(call.fails(unavailable("TOO_MANY_STREAMS", retryAfterMs: 100), .refused), "retry in 110 ms")
        check(call.fails(unavailable("TOO_MANY_STREAMS", retryAfterMs: 100), .refused), "retry in 110 ms")
        check(call.fails(unavailable("TOO_MANY_STREAMS", retryAfterMs: 100), .refused), "retry in 110 ms")
        check(call.fails(unavailable("TOO_MANY_STREAMS", retryAfterMs: 100), .refused), "attemptsSpent")
    }

    @Test func pushbackRestartsTheScheduleAndIsRefusedWhenTooLong() {
        var call = Call(policy: RetryPolicy(attemptsMax: 10))
        check(call.fails(unavailable(), .sent), "retry in 50 ms")
        check(call.fails(unavailable(), .sent), "retry in 100 ms")
        check(call.fails(unavailable(retryAfterMs: 1000), .sent), "retry in 1100 ms")
        check(call.fails(unavailable(), .sent), "retry in 50 ms")
        check(call.fails(unavailable(retryAfterMs: 5001), .sent), "pushbackTooLong")
        let quota = Failure(.resourceExhausted, "Too much.", retryAfterMs: 10)
        check(call.fails(quota, .sent), "retry in 11 ms")
        check(call.fails(Failure(.resourceExhausted, reason: Failure.tooLarge, "Big."), .sent), "notRetryable")
    }

    @Test func anotherAddressIsTriedWithoutWaitingForTheFirst() {
        var call = Call()
        let unreachable = unavailable("UNREACHABLE", retryAfterMs: 800)
        check(call.fails(unreachable, .notSent, hasOtherPeer: true), "retry in 0 ms")
        check(call.fails(unreachable, .notSent), "retry in 880 ms")
        // A server that asks for time is overloaded, and then so are the others.
        check(call.fails(unavailable(retryAfterMs: 100), .refused, hasOtherPeer: true), "retry in 110 ms")
    }

    @Test func noRepeatIsPlannedAtOrAfterTheDeadline() {
        var call = Call(deadlineMs: 1050)
        check(call.fails(unavailable(), .sent, at: 1000), "noTimeLeft")
        call = Call(deadlineMs: 1051)
        check(call.fails(unavailable(), .sent, at: 1000), "retry in 50 ms")
        check(call.fails(unavailable(), .refused, at: 1051), "noTimeLeft")
    }

    @Test func anEmptyBudgetStopsRepeatsButNotThoseOfWhatWasNotSent() {
        var budget = RetryBudget(RetryThrottling(tokensMax: 4, ratio: 0.5))
        check(budget.failed(), true)
        check(budget.failed(), false)
        var call = Call(budget: budget)
        check(call.fails(unavailable(), .sent), "budgetSpent")
        check(call.fails(unavailable(retryAfterMs: 10), .notSent), "retry in 11 ms")
        for _ in 0..<4 { call.budget.succeeded() }
        check(call.fails(unavailable(), .sent), "budgetSpent")
        for _ in 0..<3 { call.budget.succeeded() }
        check(call.fails(unavailable(), .sent), "retry in 50 ms")
    }

    @Test func aPolicyOutOfRangeIsBounded() {
        let policy = RetryPolicy(
            attemptsMax: 0, backoffFirstMs: -5, backoffMsMax: .max, multiplier: .nan, pushbackMsMax: -1
        ).bounded
        #expect(policy.attemptsMax == 1 && policy.backoffFirstMs == 1 && policy.backoffMsMax == 60_000)
        #expect(policy.multiplier == 1 && policy.pushbackMsMax == 0)
        #expect(RetryPolicy(attemptsMax: 11).bounded.attemptsMax == 10)
        var budget = RetryBudget(RetryThrottling(tokensMax: -1, ratio: .nan))
        #expect(budget.allows)
        check(budget.failed(), false)
        budget.succeeded()
        #expect(!budget.allows)
    }
}

@Suite struct RetryPropertyTests {
    /// Calls fail at a random rate that changes; some are hedged. Whatever happens, repeats stay below the bound that the budget documents.
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func repeatsNeverExceedTheRatio(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let throttling = RetryThrottling(
            tokensMax: .random(in: 1...200, using: &random),
            ratio: Double(Int.random(in: 0...100, using: &random)) / 100)
        var budget = RetryBudget(throttling)
        var (repeats, successes, failureRate) = (0, 0, 0.5)
        for step in 0..<3000 {
            if step % 100 == 0 { failureRate = .random(in: 0...1, using: &random) }
            var call = RetryState(
                policy: RetryPolicy(attemptsMax: .random(in: 1...5, using: &random)),
                traits: CallTraits(isRepeatable: .random(using: &random), isReplayable: true), deadline: nil)
            if Int.random(in: 0..<10, using: &random) == 0, budget.takeForHedge() { repeats += 1 }
            while true {
                guard Double.random(in: 0..<1, using: &random) < failureRate else {
                    successes += 1
                    budget.succeeded()
                    break
                }
                guard
                    case .retry = call.attemptFailed(
                        unavailable(), .sent, now: at(step), budget: &budget, using: &random)
                else { break }
                repeats += 1
            }
            let bound = Double(throttling.tokensMax) / 2 + 1 + throttling.ratio * Double(successes)
            #expect(Double(repeats) <= bound, "seed \(seed), step \(step)")
        }
    }

    /// Random failures until a call is given up: it ends, within its attempts, and never plans beyond the deadline.
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func everyCallEndsWithinItsAttemptsAndDeadline(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let policy = RetryPolicy(attemptsMax: .random(in: 1...10, using: &random))
            let deadline = Bool.random(using: &random) ? at(.random(in: 0...3000, using: &random)) : nil
            var call = RetryState(
                policy: policy, traits: CallTraits(isRepeatable: .random(using: &random), isReplayable: true),
                deadline: deadline)
            var budget = RetryBudget()
            var (now, repeats) = (at(0), 0)
            while true {
                let progress: AttemptProgress = [.notSent, .refused, .sent].randomElement(using: &random) ?? .sent
                let pushback = Bool.random(using: &random) ? UInt32.random(in: 0...6000, using: &random) : 0
                guard
                    case .retry(let delay) = call.attemptFailed(
                        unavailable(retryAfterMs: pushback), progress, now: now, budget: &budget, using: &random)
                else { break }
                repeats += 1
                now = now.advanced(by: delay)
                #expect(deadline.map { now < $0 } ?? true, "seed \(seed)")
                #expect(delay >= .milliseconds(Int64(pushback)), "seed \(seed)")
                #expect(call.attempt == UInt32(repeats), "seed \(seed)")
                guard repeats <= 100 else { break }
            }
            #expect(repeats < policy.attemptsMax + RetryState.freeMax, "seed \(seed)")
        }
    }
}
