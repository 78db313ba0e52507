internal import Core

/// Decides when a quiet connection is asked whether it lives, and when it is given up. No I/O.
struct Keepalive {
    enum Action: Equatable {
        case nothing
        case ping
        case dead
    }

    private var idleMax: Duration
    private let answerMax: Duration
    private let stalledMax: Duration
    private var lastHeard: MonotonicTime
    private var askedAt: MonotonicTime?
    private var blockedSince: MonotonicTime?

    /// - Parameters:
    ///   - idleMax: silence after which the peer is asked.
    ///   - answerMax: time it then has.
    ///   - stalledMax: time in which the socket must take something of what waits for it.
    init(now: MonotonicTime, idleMax: Duration, answerMax: Duration, stalledMax: Duration) {
        self.idleMax = idleMax
        self.answerMax = answerMax
        self.stalledMax = stalledMax
        lastHeard = now
    }

    /// The peer does not want to be asked more often.
    mutating func asksAtMostEvery(_ interval: Duration) { idleMax = max(idleMax, interval) }

    mutating func heard(at now: MonotonicTime) {
        lastHeard = now
        askedAt = nil
    }

    mutating func answered() { askedAt = nil }

    /// Bytes wait for the socket.
    mutating func blocked(at now: MonotonicTime) {
        if blockedSince == nil { blockedSince = now }
    }

    /// The socket took some bytes and others wait: it makes progress.
    mutating func wrote(at now: MonotonicTime) { blockedSince = now }

    /// The socket took everything.
    mutating func wroteAll() { blockedSince = nil }

    /// When `check` may say something new, whatever happens until then.
    func due(after now: MonotonicTime) -> MonotonicTime {
        let silence = askedAt?.advanced(by: answerMax) ?? lastHeard.advanced(by: idleMax)
        // What is not blocked now may be so in a moment.
        return min(silence, (blockedSince ?? now).advanced(by: stalledMax))
    }

    mutating func check(now: MonotonicTime) -> Action {
        if let blockedSince, blockedSince.duration(to: now) >= stalledMax { return .dead }
        if let askedAt { return askedAt.duration(to: now) >= answerMax ? .dead : .nothing }
        guard lastHeard.duration(to: now) >= idleMax else { return .nothing }
        askedAt = now
        return .ping
    }
}
