import Core

/// How long to wait before a dead server is started again: doubling from `firstMs` to `delayMsMax`, from the start again once it has run for `stableSeconds`.
///
/// So a server that dies at once is started at most twice a minute in the long run, and one that dies now and then is back at once.
struct RestartBackoff {
    static let firstMs = 100
    static let delayMsMax = 30_000
    static let stableSeconds = 60

    /// Starts tried since the server last ran stably.
    private(set) var attempts = 0
    private var runningSince: MonotonicTime?

    mutating func started(at now: MonotonicTime) { runningSince = now }

    /// The server ended, or a start failed. Returns the milliseconds to wait before the next start.
    mutating func delayMs(now: MonotonicTime) -> Int {
        if let since = runningSince, since.duration(to: now) >= .seconds(Self.stableSeconds) { attempts = 0 }
        runningSince = nil
        let delay = attempts < 16 ? min(Self.delayMsMax, Self.firstMs << attempts) : Self.delayMsMax
        attempts += 1
        return delay
    }
}
