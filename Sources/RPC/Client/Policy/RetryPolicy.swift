public import Core

/// When a client repeats a call that failed. Values outside of their range are taken as the nearest allowed one.
public struct RetryPolicy: Sendable, Hashable {
    /// Attempts of one call including the first, 1 to 10; 1 repeats only what the server did not process.
    public var attemptsMax: Int
    /// Delay before the first repeat, in milliseconds, 1 to `backoffMsMax`; ±20 %.
    public var backoffFirstMs: Int64
    /// Ceiling of the delay before it is spread, in milliseconds, at most 60,000.
    public var backoffMsMax: Int64
    /// Growth of the delay from one repeat to the next, 1 to 10.
    public var multiplier: Double
    /// A server that asks for a longer wait ends the call with its failure, in milliseconds: better than a caller that seems to hang.
    public var pushbackMsMax: Int64
    /// Codes after which an idempotent or keyed call is repeated. RESOURCE_EXHAUSTED counts as one of them when the server names a wait.
    public var codes: Set<StatusCode>

    public init(
        attemptsMax: Int = 4, backoffFirstMs: Int64 = 50, backoffMsMax: Int64 = 1000, multiplier: Double = 2,
        pushbackMsMax: Int64 = 5000, codes: Set<StatusCode> = [.unavailable]
    ) {
        self.attemptsMax = attemptsMax
        self.backoffFirstMs = backoffFirstMs
        self.backoffMsMax = backoffMsMax
        self.multiplier = multiplier
        self.pushbackMsMax = pushbackMsMax
        self.codes = codes
    }

    /// No repeats except of attempts that the server did not process.
    public static var none: RetryPolicy { RetryPolicy(attemptsMax: 1) }

    /// The policy with every value in its range.
    var bounded: RetryPolicy {
        var policy = self
        policy.attemptsMax = min(max(attemptsMax, 1), 10)
        policy.backoffMsMax = min(max(backoffMsMax, 1), 60_000)
        policy.backoffFirstMs = min(max(backoffFirstMs, 1), policy.backoffMsMax)
        policy.multiplier = multiplier.isNaN ? 1 : min(max(multiplier, 1), 10)
        policy.pushbackMsMax = min(max(pushbackMsMax, 0), 60_000)
        return policy
    }

    var schedule: ExponentialBackoff {
        ExponentialBackoff(firstMs: backoffFirstMs, delayMsMax: backoffMsMax, multiplier: multiplier)
    }

    /// Whether the failure is one that passes, so that repeating can help.
    func isRetryable(_ failure: Failure) -> Bool {
        codes.contains(failure.code) || (failure.code == .resourceExhausted && failure.retryAfterMs > 0)
    }
}
