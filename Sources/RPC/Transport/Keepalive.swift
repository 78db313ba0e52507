internal import Core

/// Decides when a quiet connection is asked whether it lives, and when it is given up. No I/O.
struct Keepalive {
    enum Action: Equatable {
        case nothing
        case ping
        case dead
    }

    private var lastHeard: MonotonicTime
    private var askedAt: MonotonicTime?
    private var blockedSince: MonotonicTime?

    init(now: MonotonicTime) { lastHeard = now }

    mutating func heard(at now: MonotonicTime) {
        lastHeard = now
        askedAt = nil
    }

    mutating func answered() { askedAt = nil }

    /// Bytes were handed to the socket.
    mutating func writing(at now: MonotonicTime, unsent: Int) {
        if blockedSince == nil, unsent > 0 { blockedSince = now }
    }

    /// The socket took bytes: it makes progress.
    mutating func wrote(at now: MonotonicTime) { blockedSince = now }

    mutating func check(now: MonotonicTime, idleMax: Duration, answerMax: Duration, stalledMax: Duration, unsent: Int)
        -> Action
    {
        if unsent == 0 {
            blockedSince = nil
        } else if let blockedSince, blockedSince.duration(to: now) > stalledMax {
            return .dead
        }
        if let askedAt { return askedAt.duration(to: now) > answerMax ? .dead : .nothing }
        guard lastHeard.duration(to: now) >= idleMax else { return .nothing }
        askedAt = now
        return .ping
    }
}
