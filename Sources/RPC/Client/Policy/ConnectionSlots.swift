internal import Core

/// A client's connections to one peer, without their I/O: one interactive and one bulk, made when first used.
///
/// Every method is one event and returns what the client has to do. Both slots share one backoff: they lead to the same process.
///
/// Calls wait while their connection is being made. After a failed attempt, until the next is due, calls fail at once with its
/// failure, unless they are marked wait-for-ready: those wait, through any number of attempts, until their deadline.
struct ConnectionSlots<Connection: Sendable, Waiter: Sendable>: Sendable {
    /// Names a connection from the decision to make it until it has closed.
    struct ConnectionID: Sendable, Hashable {
        let kind: ConnectionKind
        let number: UInt64
    }

    enum Acquired {
        case use(Connection)
        /// The waiter is queued; make this connection.
        case connect(ConnectionID)
        /// The waiter is queued.
        case wait
        /// Not sent; another peer may be tried.
        case fail(Failure)
        /// The waiter had given up before it came.
        case abandoned
        /// The client was shut down.
        case closed
    }

    enum Connected {
        /// These calls may be opened now, in this order.
        case granted([Waiter])
        /// Nobody wants it any more: close it.
        case discard
    }

    enum Ending {
        /// The attempt failed, or the connection closed.
        case lost(Failure)
        /// GOAWAY: calls in flight finish, new ones go elsewhere.
        case draining(Failure)
        /// No call has used it for `idleMs`.
        case unused
        /// Its stream numbers are used up.
        case exhausted
    }

    /// What follows from an end.
    struct Ended {
        /// These do not wait any longer, and fail with `failure`.
        var failed: [Waiter] = []
        var failure: Failure?
        /// Close this one after its calls in flight, or at once when `isForced`.
        var close: Connection?
        var isForced = false
    }

    struct Fired {
        /// Their deadline has passed.
        var expired: [(waiter: Waiter, failure: Failure)] = []
        /// Make these connections.
        var connect: [ConnectionID] = []
    }

    private enum Slot {
        /// Somebody wants a connection and the peer is not blocked → `connecting`.
        case idle
        /// → `ready`; failed → `idle` and the peer is blocked.
        case connecting(ConnectionID)
        /// Lost, draining, unused → `idle`; the peer is blocked if it was not stable.
        case ready(ConnectionID, Connection, since: MonotonicTime)
        /// Final.
        case closed
    }

    private struct Waiting {
        let waiter: Waiter
        let kind: ConnectionKind
        let waitsForReady: Bool
        let deadline: MonotonicTime?
    }

    /// A bulk connection without a stream is closed after this time, in milliseconds; the interactive one stays.
    static var idleMs: Int64 { 60_000 }
    /// Connections that finish their calls beside the current ones; the oldest is cut when there are more.
    static var drainingMax: Int { 4 }
    /// Calls that wait for this peer; a call holds its request, so they are not free.
    static var waitersMax: Int { 8192 }

    private var slots: [Slot] = [.idle, .idle]
    private var backoff: ReconnectBackoff
    /// No attempt before `until`, and why.
    private var blocked: (until: MonotonicTime, failure: Failure)?
    private var draining: [(id: ConnectionID, connection: Connection)] = []
    /// Ids rise, so the smallest has waited longest.
    private var waiting: [UInt64: Waiting] = [:]
    /// By kind: thousands may wait, and whether any does is asked after every event.
    private var waitingCounts = [0, 0]
    private var abandoned: Set<UInt64> = []
    /// At or before the first deadline of those that wait.
    private var nextDeadline: MonotonicTime?
    private var nextNumber: UInt64 = 1

    init(backoff: ReconnectBackoff = ReconnectBackoff()) { self.backoff = backoff }

    var waitingCount: Int { waiting.count }
    var drainingCount: Int { draining.count }

    /// The connection, when there is one: the common case, without a waiter.
    func ready(_ kind: ConnectionKind) -> Connection? {
        if case .ready(_, let connection, _) = slots[kind.rawValue] { return connection }
        return nil
    }

    func reachability(now: MonotonicTime) -> Reachability {
        var isConnecting = false
        for slot in slots {
            switch slot {
            case .ready: return .ready
            case .connecting: isConnecting = true
            case .idle, .closed: break
            }
        }
        if isConnecting { return .connecting }
        if let blocked, now < blocked.until { return .failing(until: blocked.until) }
        return .idle
    }

    /// Somebody wants a connection. `id` names the waiter for `abandon`; ids must rise.
    mutating func acquire(
        _ kind: ConnectionKind, id: UInt64, waiter: Waiter, waitsForReady: Bool, deadline: MonotonicTime?,
        now: MonotonicTime
    ) -> Acquired {
        if abandoned.remove(id) != nil { return .abandoned }
        switch slots[kind.rawValue] {
        case .closed: return .closed
        case .ready(_, let connection, _): return .use(connection)
        case .idle:
            if !waitsForReady, let blocked, now < blocked.until { return .fail(describe(blocked, now: now)) }
        case .connecting: break
        }
        guard waiting.count < Self.waitersMax else {
            return .fail(
                Failure(
                    .resourceExhausted, reason: "TOO_MANY_WAITING",
                    "\(Self.waitersMax) calls wait for a connection already.", remedy: "Try again later.",
                    retryAfterMs: 100))
        }
        waitingCounts[kind.rawValue] += 1
        waiting[id] = Waiting(waiter: waiter, kind: kind, waitsForReady: waitsForReady, deadline: deadline)
        if let deadline { nextDeadline = min(nextDeadline ?? deadline, deadline) }
        guard let made = connect(kind, now: now) else { return .wait }
        return .connect(made)
    }

    /// Begins a connection that nobody waits for yet; nil when there is one or it is too early.
    mutating func connect(_ kind: ConnectionKind, now: MonotonicTime) -> ConnectionID? {
        guard case .idle = slots[kind.rawValue], blocked.map({ now >= $0.until }) ?? true else { return nil }
        let id = ConnectionID(kind: kind, number: nextNumber)
        nextNumber += 1
        slots[kind.rawValue] = .connecting(id)
        return id
    }

    /// A waiter gives up; nil when it was already served. With `mayComeLater` an unknown id is remembered for `acquire`.
    mutating func abandon(_ id: UInt64, mayComeLater: Bool = false) -> Waiter? {
        if let entry = remove(id) { return entry.waiter }
        if mayComeLater { abandoned.insert(id) }
        return nil
    }

    /// The waiter with this id is done waiting, however it ended.
    mutating func forget(_ id: UInt64) { abandoned.remove(id) }

    /// The attempt succeeded.
    mutating func connected(_ id: ConnectionID, _ connection: Connection, now: MonotonicTime) -> Connected {
        guard case .connecting(let current) = slots[id.kind.rawValue], current == id else { return .discard }
        slots[id.kind.rawValue] = .ready(id, connection, since: now)
        blocked = nil
        return .granted(takeWaiters { $0.kind == id.kind })
    }

    /// Those that wait-for-ready here, for another peer that has become ready: whoever is ready first serves them.
    mutating func takeWaitingForReady(_ kind: ConnectionKind) -> [Waiter] {
        takeWaiters { $0.kind == kind && $0.waitsForReady }
    }

    /// All that wait here for this kind, for another peer that has become ready while this one is still being tried.
    mutating func takeWaiting(_ kind: ConnectionKind) -> [Waiter] { takeWaiters { $0.kind == kind } }

    /// An attempt or a connection ends, or no longer takes calls. Ends of what is already forgotten change nothing.
    mutating func ended(
        _ id: ConnectionID, _ ending: Ending, now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> Ended {
        switch slots[id.kind.rawValue] {
        case .connecting(let current) where current == id:
            slots[id.kind.rawValue] = .idle
            return attemptEnded(id.kind, ending, now: now, using: &random)
        case .ready(let current, let connection, let since) where current == id:
            slots[id.kind.rawValue] = .idle
            return connectionEnded(id, connection, since, ending, now: now, using: &random)
        default:
            if case .lost = ending { draining.removeAll { $0.id == id } }
            return Ended()
        }
    }

    /// When `timerFired` is due, at once when that has passed; nil while nothing waits for time. Ask after every event.
    func nextTimer() -> MonotonicTime? {
        var next = waiting.isEmpty ? nil : nextDeadline
        if hasIdleWaiter {
            // No longer blocked: the other slot has just shown that the peer is back.
            let due = blocked?.until ?? MonotonicTime(nanoseconds: 0)
            next = min(next ?? due, due)
        }
        return next
    }

    /// Fires deadlines and, for those that wait, the attempt that was not due before. Early firing does no harm.
    mutating func timerFired(now: MonotonicTime) -> Fired {
        var fired = Fired()
        let late = waiting.filter { $0.value.deadline.map { $0 <= now } ?? false }.keys.sorted()
        for id in late {
            guard let entry = remove(id) else { continue }
            fired.expired.append((entry.waiter, expiry()))
        }
        nextDeadline = waiting.values.compactMap(\.deadline).min()
        for kind in ConnectionKind.allCases where waitingCounts[kind.rawValue] > 0 {
            if let id = connect(kind, now: now) { fired.connect.append(id) }
        }
        return fired
    }

    /// The client shuts down. Returns the connections to close after their calls in flight, and the waiters to fail.
    mutating func shutdown() -> (connections: [Connection], waiters: [Waiter]) {
        var connections = draining.map(\.connection)
        for index in slots.indices {
            if case .ready(_, let connection, _) = slots[index] { connections.append(connection) }
            slots[index] = .closed
        }
        draining = []
        blocked = nil
        return (connections, takeWaiters { _ in true })
    }
}

extension ConnectionSlots {
    private mutating func attemptEnded(
        _ kind: ConnectionKind, _ ending: Ending, now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> Ended {
        block(failure(of: ending), now: now) { $0.failed(using: &random) }
        let failure = blocked.map { describe($0, now: now) }
        return Ended(failed: takeWaiters { $0.kind == kind && !$0.waitsForReady }, failure: failure)
    }

    private mutating func connectionEnded(
        _ id: ConnectionID, _ connection: Connection, _ since: MonotonicTime, _ ending: Ending, now: MonotonicTime,
        using random: inout some RandomNumberGenerator
    ) -> Ended {
        switch ending {
        case .unused, .exhausted: break
        case .lost, .draining:
            block(failure(of: ending), now: now) { $0.lost(readySince: since, now: now, using: &random) }
        }
        if case .lost = ending { return Ended() }
        draining.append((id, connection))
        guard draining.count > Self.drainingMax else { return Ended(close: connection) }
        // Its calls fail as if the connection were lost; the newest one drains by itself.
        return Ended(close: draining.removeFirst().connection, isForced: true)
    }

    /// Both slots may fail for one outage: the first failure of it sets the wait.
    private mutating func block(
        _ failure: Failure, now: MonotonicTime, for delay: (inout ReconnectBackoff) -> Duration
    ) {
        if let blocked, now < blocked.until { return }
        let delay = delay(&backoff)
        blocked = delay > .zero ? (now.advanced(by: delay), failure) : nil
    }

    private func failure(of ending: Ending) -> Failure {
        switch ending {
        case .lost(let failure), .draining(let failure): failure
        case .unused, .exhausted:
            Failure(.unavailable, reason: "CONNECTION_CLOSED", "The connection was closed.", remedy: "Try again.")
        }
    }

    /// The failure of the last attempt, with the time until the next.
    private func describe(_ blocked: (until: MonotonicTime, failure: Failure), now: MonotonicTime) -> Failure {
        var failure = blocked.failure
        let left = max(0, now.duration(to: blocked.until).wholeNanoseconds)
        failure.retryAfterMs = UInt32(clamping: max(1, left / 1_000_000 + (left % 1_000_000 == 0 ? 0 : 1)))
        return failure
    }

    private func expiry() -> Failure {
        let why = blocked.map { " The last attempt failed: \($0.failure.message)" } ?? ""
        return Failure(
            .deadlineExceeded, reason: "NOT_CONNECTED", "There was no connection within the deadline.\(why)",
            remedy: blocked?.failure.remedy ?? "Allow more time with --timeout.")
    }

    /// Somebody waits for a connection that is not being made.
    private var hasIdleWaiter: Bool {
        for kind in ConnectionKind.allCases where waitingCounts[kind.rawValue] > 0 {
            if case .idle = slots[kind.rawValue] { return true }
        }
        return false
    }

    private mutating func takeWaiters(where isWanted: (Waiting) -> Bool) -> [Waiter] {
        guard !waiting.isEmpty else { return [] }
        let ids = waiting.filter { isWanted($0.value) }.keys.sorted()
        return ids.compactMap { remove($0)?.waiter }
    }

    private mutating func remove(_ id: UInt64) -> Waiting? {
        guard let entry = waiting.removeValue(forKey: id) else { return nil }
        waitingCounts[entry.kind.rawValue] -= 1
        return entry
    }
}
