internal import Core

/// Delays that grow by a factor up to a ceiling, each spread by ±20 % so that clients that failed together do not return together.
///
/// The shape is that of gRPC's connection backoff (https://github.com/grpc/grpc/blob/master/doc/connection-backoff.md).
struct ExponentialBackoff: Sendable, Hashable {
    static let jitter = 0.2

    var firstMs: Int64
    /// Ceiling before the spread: the longest delay is 1.2 times this.
    var delayMsMax: Int64
    var multiplier: Double

    /// The delay number `step`, counted from 0, before it is spread.
    func base(step: Int) -> Duration {
        let ceiling = Double(max(delayMsMax, 0)) * 1e6
        var nanoseconds = min(ceiling, Double(max(firstMs, 0)) * 1e6)
        // A factor of 1 or less never reaches the ceiling: 64 steps are more than any caller takes.
        for _ in 0..<min(max(step, 0), 64) where nanoseconds < ceiling {
            nanoseconds = min(ceiling, nanoseconds * max(multiplier, 1))
        }
        return .nanoseconds(Int64(nanoseconds))
    }

    func delay(step: Int, using random: inout some RandomNumberGenerator) -> Duration {
        base(step: step).spread(1 - Self.jitter...1 + Self.jitter, using: &random)
    }
}

extension Duration {
    /// This duration times a random factor of the range.
    func spread(_ factors: ClosedRange<Double>, using random: inout some RandomNumberGenerator) -> Duration {
        .nanoseconds(Int64((Double(wholeNanoseconds) * Double.random(in: factors, using: &random)).rounded()))
    }
}

/// When a peer may be connected to again: 50 ms after the first failure, growing 1.6-fold to 30 s, each ±20 %.
///
/// gRPC starts at 1 s and ends at 120 s because its peers are anywhere; ours are restarted by a supervisor within seconds.
/// Only a connection that lived for `stableMs` proves the peer works: a server that accepts and dies at once is not hammered.
struct ReconnectBackoff: Sendable {
    static let stableMs: Int64 = 10_000

    let schedule: ExponentialBackoff
    /// Failures since a connection was last stable.
    private(set) var failures = 0

    init(schedule: ExponentialBackoff = ExponentialBackoff(firstMs: 50, delayMsMax: 30_000, multiplier: 1.6)) {
        self.schedule = schedule
    }

    /// An attempt failed. Returns the time to wait before the next.
    mutating func failed(using random: inout some RandomNumberGenerator) -> Duration {
        defer { failures = min(failures + 1, 64) }
        return schedule.delay(step: failures, using: &random)
    }

    /// A connection ended. After a stable one the next attempt may begin at once; otherwise this is one more failure.
    mutating func lost(
        readySince: MonotonicTime, now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> Duration {
        guard readySince.duration(to: now) >= .milliseconds(Self.stableMs) else { return failed(using: &random) }
        failures = 0
        return .zero
    }
}
