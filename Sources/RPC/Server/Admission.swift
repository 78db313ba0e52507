internal import Core
internal import Synchronization

/// How many calls of a method run at once, how many wait, and how long before newcomers are refused instead.
public struct ConcurrencyLimit: Sendable, Hashable {
    /// Calls whose handlers run at once.
    public var runningMax: Int
    /// Calls that wait for one of those to end; more are refused.
    public var waitingMax: Int
    /// Once every call of the last `intervalMs` has waited longer than this, newcomers are refused until the queue is short again:
    /// latency stays near the target instead of growing to the deadline of all.
    public var waitTargetMs: Int
    public var intervalMs: Int

    public init(runningMax: Int, waitingMax: Int = 1024, waitTargetMs: Int = 20, intervalMs: Int = 200) {
        self.runningMax = runningMax
        self.waitingMax = waitingMax
        self.waitTargetMs = waitTargetMs
        self.intervalMs = intervalMs
    }
}

/// Decides which calls run now, wait or are refused. No I/O.
///
/// The test of the queue is CoDel's (Nichols and Jacobson, "Controlling Queue Delay", 2012): a queue whose shortest wait over an interval
/// is above the target is a standing queue, which only adds latency.
struct Admission<Waiter: Sendable>: Sendable {
    enum Decision {
        case run
        case wait(Ticket)
        /// UNAVAILABLE, with the time after which a retry may succeed.
        case refuse(retryAfterMs: UInt32)
    }

    /// A place in the queue. Changed only by the admission it belongs to.
    final class Ticket: @unchecked Sendable {
        fileprivate let waiter: Waiter
        fileprivate let since: MonotonicTime
        fileprivate var isQueued = true

        fileprivate init(_ waiter: Waiter, _ since: MonotonicTime) {
            self.waiter = waiter
            self.since = since
        }
    }

    private let limit: ConcurrencyLimit
    private(set) var running = 0
    private(set) var waiting = 0
    /// Tickets of calls that ended before their turn stay until they come to the front.
    private var queue = Fifo<Ticket>()
    /// Since when no call has waited less than the target; nil while some do.
    private var slowSince: MonotonicTime?
    /// The queue was a standing one and has not been empty since. Then newcomers are refused as soon as its head is slow: with a new interval of
    /// grace each time, a load of five times the capacity would make waits of a second again and again.
    private var isOverloaded = false

    init(_ limit: ConcurrencyLimit) { self.limit = limit }

    mutating func arrive(_ waiter: Waiter, now: MonotonicTime) -> Decision {
        guard running >= limit.runningMax else {
            slowSince = nil
            isOverloaded = false
            running += 1
            return .run
        }
        // Places of calls that ended before their turn say nothing of how long waits are.
        while let first = queue.first, !first.isQueued { _ = queue.removeFirst() }
        // Even when nobody gets a turn, the head of the queue tells how long waits are.
        let isSlow = queue.first.map { self.isSlow($0, now) } ?? false
        if isSlow, slowSince == nil { slowSince = now }
        if let slowSince, slowSince.duration(to: now) >= .milliseconds(limit.intervalMs) { isOverloaded = true }
        guard waiting < limit.waitingMax, !isSlow || !isOverloaded else {
            return .refuse(retryAfterMs: UInt32(clamping: limit.waitTargetMs + limit.intervalMs))
        }
        let ticket = Ticket(waiter, now)
        queue.append(ticket)
        waiting += 1
        return .wait(ticket)
    }

    private func isSlow(_ ticket: Ticket, _ now: MonotonicTime) -> Bool {
        ticket.since.duration(to: now) > .milliseconds(limit.waitTargetMs)
    }

    /// A handler has returned. Returns who runs next.
    mutating func finish(now: MonotonicTime) -> Waiter? {
        while let next = queue.removeFirst() {
            guard next.isQueued else { continue }
            next.isQueued = false
            waiting -= 1
            if !isSlow(next, now) { slowSince = nil } else if slowSince == nil { slowSince = now }
            return next.waiter
        }
        slowSince = nil
        isOverloaded = false
        running -= 1
        return nil
    }

    /// A waiting call ended. False when its turn has come meanwhile: then it holds a place, which `finish` gives back.
    mutating func leave(_ ticket: Ticket) -> Bool {
        guard ticket.isQueued else { return false }
        ticket.isQueued = false
        waiting -= 1
        return true
    }
}

/// The admission of one method of a server, shared by its event loops.
final class AdmissionGate: Sendable {
    private let state: Mutex<Admission<ServerStream>>

    init(_ limit: ConcurrencyLimit) { state = Mutex(Admission(limit)) }

    /// Takes or refuses `stream` and sets its turn.
    /// - Returns: nil, or the time after which a retry of the refused call may succeed.
    func arrive(_ stream: ServerStream, now: MonotonicTime) -> UInt32? {
        state.withLock { state in
            switch state.arrive(stream, now: now) {
            case .run: stream.turn = .held
            case .wait(let ticket): stream.turn = .waiting(ticket)
            case .refuse(let retryAfterMs): return retryAfterMs
            }
            return nil
        }
    }

    func finish(now: MonotonicTime) {
        if let next = state.withLock({ $0.finish(now: now) }) { next.turnCame() }
    }

    /// Calls that run and wait now.
    var load: (running: Int, waiting: Int) { state.withLock { ($0.running, $0.waiting) } }

    func leave(_ ticket: Admission<ServerStream>.Ticket) -> Bool { state.withLock { $0.leave(ticket) } }
}
