/// How much a client may repeat. Values outside of their range are taken as the nearest allowed one.
public struct RetryThrottling: Sendable, Hashable {
    /// 1 to 1,000. Half of them may be spent at once, e.g. when a connection with many calls in flight is lost.
    public var tokensMax: Int
    /// Tokens that a success gives back, 0 to 1: the share of calls that may be repeated in the long run.
    public var ratio: Double

    public init(tokensMax: Int = 100, ratio: Double = 0.1) {
        self.tokensMax = tokensMax
        self.ratio = ratio
    }
}

/// Keeps a client's repeats from multiplying the load of a service that is failing already.
///
/// gRPC's retry throttling (proposal A6): every failed attempt takes a token, every call that succeeds gives back `ratio` of one,
/// and while half of the tokens or fewer are left nothing is repeated. A hedge takes its token when it is sent. It follows
/// that paid repeats + hedges ≤ tokensMax / 2 + 1 + ratio × successes, over any span of a client's life. Repeats of attempts that were not
/// sent, and free ones (see `RetryState`), are outside: they repeat no work of the service.
struct RetryBudget: Sendable {
    /// Thousandths of a token: whole numbers add up without drift.
    private var milliTokens: Int
    private let milliTokensMax: Int
    private let milliTokensPerSuccess: Int

    init(_ throttling: RetryThrottling = RetryThrottling()) {
        milliTokensMax = min(max(throttling.tokensMax, 1), 1000) * 1000
        milliTokensPerSuccess = throttling.ratio.isNaN ? 0 : Int(min(max(throttling.ratio, 0), 1) * 1000)
        milliTokens = milliTokensMax
    }

    /// Whether something may be repeated now.
    var allows: Bool { milliTokens > milliTokensMax / 2 }

    /// A success changes nothing.
    var isFull: Bool { milliTokens == milliTokensMax }

    /// A call ended with OK.
    mutating func succeeded() { milliTokens = min(milliTokensMax, milliTokens + milliTokensPerSuccess) }

    /// An attempt that may have loaded the service failed. Returns whether it may be repeated.
    mutating func failed() -> Bool {
        milliTokens = max(0, milliTokens - 1000)
        return allows
    }

    /// Takes the token of a hedge; false when there is none to spare.
    mutating func takeForHedge() -> Bool {
        guard allows else { return false }
        milliTokens = max(0, milliTokens - 1000)
        return true
    }
}
