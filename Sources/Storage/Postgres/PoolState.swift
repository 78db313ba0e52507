internal import Core

/// Who holds which connection and who waits: the pool's decisions without its I/O.
///
/// Every method is one event and returns what the pool has to do. A connection counts as open from the decision to open it
/// until it is closed, so that `open` never exceeds `openMax`.
struct PoolState<Connection, Waiter> {
    enum Acquired {
        case use(Connection)
        /// The caller opens a connection itself; its slot is reserved.
        case open
        case wait
        case closed
    }

    enum Granted {
        case connection(Connection, to: Waiter)
        /// The waiter may open a connection itself.
        case permission(to: Waiter)
        case nothing
    }

    private struct Idle {
        let connection: Connection
        let since: MonotonicTime
    }

    let openMax: Int
    let openMin: Int
    private(set) var open = 0
    private(set) var isClosed = false
    /// Last in, first out: those at the front stay unused and can be closed.
    private var idle: [Idle] = []
    /// First come, first served; ids rise, so the smallest waits longest.
    private var waiters: [UInt64: Waiter] = [:]
    private var queue: [UInt64] = []
    /// Waiters that gave up before they were registered.
    private var abandoned: Set<UInt64> = []

    init(openMin: Int, openMax: Int) {
        precondition(openMin >= 0 && openMax >= 1 && openMin <= openMax)
        self.openMin = openMin
        self.openMax = openMax
    }

    var idleCount: Int { idle.count }
    var waiting: Int { waiters.count }
    /// More connections are idle than are kept.
    var hasSurplus: Bool { !idle.isEmpty && open > openMin }

    /// Somebody wants a connection.
    mutating func acquire() -> Acquired {
        if isClosed { return .closed }
        if let last = idle.popLast() { return .use(last.connection) }
        guard open < openMax else { return .wait }
        open += 1
        return .open
    }

    /// Somebody whose `acquire` said wait. Returns false when it has already given up.
    mutating func enqueue(_ id: UInt64, _ waiter: Waiter) -> Bool {
        if abandoned.remove(id) != nil { return false }
        waiters[id] = waiter
        queue.append(id)
        return true
    }

    /// A waiter gives up; nil when it was already served. With `mayComeLater` an unknown id is remembered for `enqueue`.
    mutating func abandon(_ id: UInt64, mayComeLater: Bool = false) -> Waiter? {
        guard let waiter = waiters.removeValue(forKey: id) else {
            if mayComeLater { abandoned.insert(id) }
            return nil
        }
        queue.removeAll { $0 == id }
        return waiter
    }

    /// The waiter with this id is done waiting, however it ended.
    mutating func forget(_ id: UInt64) { abandoned.remove(id) }

    /// A connection comes back in good order.
    mutating func giveBack(_ connection: Connection, now: MonotonicTime) -> Granted {
        if let waiter = nextWaiter() { return .connection(connection, to: waiter) }
        if isClosed {
            open -= 1
        } else {
            idle.append(Idle(connection: connection, since: now))
        }
        return .nothing
    }

    /// A connection is gone or could not be opened; its slot goes to whoever waits longest.
    mutating func lose() -> Granted {
        if let waiter = nextWaiter() { return .permission(to: waiter) }
        open -= 1
        return .nothing
    }

    /// Connections idle since before `limit`, beyond those that are kept, are closed by the caller letting go of them.
    mutating func removeIdle(since limit: MonotonicTime) -> [Connection] {
        var removed: [Connection] = []
        while let first = idle.first, open > openMin, first.since <= limit {
            removed.append(first.connection)
            idle.removeFirst()
            open -= 1
        }
        return removed
    }

    /// No more connections are given out. Returns what was idle and who waits.
    mutating func close() -> (connections: [Connection], waiters: [Waiter]) {
        isClosed = true
        let connections = idle.map(\.connection)
        open -= connections.count
        idle = []
        let refused = queue.compactMap { waiters[$0] }
        waiters = [:]
        queue = []
        return (connections, refused)
    }

    private mutating func nextWaiter() -> Waiter? {
        guard let id = queue.first else { return nil }
        queue.removeFirst()
        return waiters.removeValue(forKey: id)
    }
}
