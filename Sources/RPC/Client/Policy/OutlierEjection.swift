internal import Core

/// When a peer that fails more than it should is left alone for a while. Values outside of their range are taken as the nearest allowed one.
public struct OutlierPolicy: Sendable, Hashable {
    /// Failures in a row that eject a peer, 1 to 1,000.
    public var consecutiveFailuresMax: Int
    /// Length of the spans over which success rates are compared, in milliseconds, 100 to 600,000.
    public var intervalMs: Int64
    /// Calls within the span that make a rate meaningful, at least 1.
    public var callsMin: Int
    /// Peers with a meaningful rate that make a comparison meaningful, at least 5: among fewer none can be 1.9 deviations off.
    public var peersMin: Int
    /// First time out, in milliseconds; the n-th takes n times as long, up to `ejectionMsMax`.
    public var ejectionMs: Int64
    public var ejectionMsMax: Int64

    public init(
        consecutiveFailuresMax: Int = 5, intervalMs: Int64 = 10_000, callsMin: Int = 20, peersMin: Int = 5,
        ejectionMs: Int64 = 30_000, ejectionMsMax: Int64 = 300_000
    ) {
        self.consecutiveFailuresMax = consecutiveFailuresMax
        self.intervalMs = intervalMs
        self.callsMin = callsMin
        self.peersMin = peersMin
        self.ejectionMs = ejectionMs
        self.ejectionMsMax = ejectionMsMax
    }

    var bounded: OutlierPolicy {
        var policy = self
        policy.consecutiveFailuresMax = min(max(consecutiveFailuresMax, 1), 1000)
        policy.intervalMs = min(max(intervalMs, 100), 600_000)
        policy.callsMin = max(callsMin, 1)
        policy.peersMin = max(peersMin, 5)
        policy.ejectionMs = min(max(ejectionMs, 1), 3_600_000)
        policy.ejectionMsMax = min(max(ejectionMsMax, policy.ejectionMs), 3_600_000)
        return policy
    }
}

/// What a finished call says about the peer that served it.
enum PeerVerdict: Sendable, Hashable {
    case worked
    case failed
    /// Nothing: the caller gave up, or the peer refused in good order.
    case neutral

    /// An orderly refusal is not held against a peer: ejecting those that shed load would push it onto the others.
    init(_ failure: Failure?, _ progress: AttemptProgress) {
        guard let failure else {
            self = .worked
            return
        }
        switch failure.code {
        case .cancelled: self = .neutral
        // The deadline ended a call that the peer had: one that hangs is an outlier like one that fails.
        case .deadlineExceeded: self = progress == .notSent ? .neutral : .failed
        case .unavailable:
            let isOrderly = progress == .refused || progress == .notSent || failure.retryAfterMs > 0
            self = isOrderly ? .neutral : .failed
        case .internalError, .unknown, .dataLoss: self = .failed
        default: self = progress == .endedHere ? .neutral : .worked
        }
    }
}

/// Who is left alone: after failures in a row, or with a success rate 1.9 standard deviations below the mean of all peers
/// (the rule of Envoy and of gRPC's proposal A50). At most half of the peers, rounded down, are out at any time, so never the only one.
struct OutlierEjection<ID: Hashable & Sendable>: Sendable {
    private struct Record: Sendable {
        let id: ID
        var consecutiveFailures = 0
        var calls = 0
        var successes = 0
        /// Grows with each ejection and shrinks with each span spent in service.
        var ejections = 0
        var ejectedUntil: MonotonicTime?

        func isEjected(_ now: MonotonicTime) -> Bool { ejectedUntil.map { now < $0 } ?? false }
    }

    static var deviations: Double { 1.9 }

    private let policy: OutlierPolicy
    /// A few dozen at most: a scan is cheaper than hashing.
    private var records: [Record] = []
    private var spanEnd: MonotonicTime?
    /// Nobody is out from here on: the common case, without a scan.
    private var allReturned = MonotonicTime(nanoseconds: 0)

    init(_ policy: OutlierPolicy = OutlierPolicy()) { self.policy = policy.bounded }

    /// Peers that may be out at once.
    var ejectedMax: Int { records.count / 2 }

    func isEjected(_ id: ID, now: MonotonicTime) -> Bool {
        now < allReturned && records.first { $0.id == id }?.isEjected(now) ?? false
    }

    func ejectedCount(now: MonotonicTime) -> Int { now < allReturned ? records.count { $0.isEjected(now) } : 0 }

    /// The peers there are now. When there are fewer than before, those closest to their return come back until half are in service.
    mutating func setPeers(_ ids: [ID], now: MonotonicTime) {
        records.removeAll { !ids.contains($0.id) }
        for id in ids where !records.contains(where: { $0.id == id }) { records.append(Record(id: id)) }
        while ejectedCount(now: now) > ejectedMax {
            let out = records.indices.filter { records[$0].isEjected(now) }
            guard let soonest = out.min(by: { until($0) < until($1) }) else { return }
            records[soonest].ejectedUntil = nil
        }
    }

    /// A call to the peer has ended. Unknown peers are ignored: they have left since.
    mutating func record(_ id: ID, _ verdict: PeerVerdict, now: MonotonicTime) {
        endSpan(now: now)
        guard verdict != .neutral, let index = records.firstIndex(where: { $0.id == id }) else { return }
        records[index].calls += 1
        guard verdict == .failed else {
            records[index].successes += 1
            records[index].consecutiveFailures = 0
            return
        }
        records[index].consecutiveFailures += 1
        if records[index].consecutiveFailures >= policy.consecutiveFailuresMax { eject(index, now: now) }
    }

    private func until(_ index: Int) -> MonotonicTime { records[index].ejectedUntil ?? MonotonicTime(nanoseconds: 0) }

    /// Compares rates once per span; called by whatever happens next, so that no timer is needed.
    private mutating func endSpan(now: MonotonicTime) {
        guard let end = spanEnd else {
            spanEnd = now.advanced(by: .milliseconds(policy.intervalMs))
            return
        }
        guard now >= end else { return }
        spanEnd = now.advanced(by: .milliseconds(policy.intervalMs))
        for index in records.indices where !records[index].isEjected(now) {
            records[index].ejections = max(0, records[index].ejections - 1)
        }
        let rated = records.indices.filter { records[$0].calls >= policy.callsMin && !records[$0].isEjected(now) }
        if rated.count >= policy.peersMin {
            let rates = rated.map { Double(records[$0].successes) / Double(records[$0].calls) }
            let mean = rates.reduce(0, +) / Double(rates.count)
            let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
            let floor = mean - Self.deviations * variance.squareRoot()
            // The worst first: the limit may not allow all.
            for (rate, index) in zip(rates, rated).sorted(by: { $0.0 < $1.0 }) where rate < floor {
                eject(index, now: now)
            }
        }
        for index in records.indices { (records[index].calls, records[index].successes) = (0, 0) }
    }

    private mutating func eject(_ index: Int, now: MonotonicTime) {
        guard !records[index].isEjected(now), ejectedCount(now: now) < ejectedMax else { return }
        records[index].ejections = min(records[index].ejections + 1, 10_000)
        records[index].consecutiveFailures = 0
        let time = min(policy.ejectionMsMax, policy.ejectionMs * Int64(records[index].ejections))
        let end = now.advanced(by: .milliseconds(time))
        records[index].ejectedUntil = end
        allReturned = max(allReturned, end)
    }
}
