internal import Core

/// The names of a service: when to ask for their addresses, and the calls that wait for the first answer.
///
/// The waiting room is that of a connection: the question to the name service is its one attempt, so deadlines, cancellation,
/// wait-for-ready and the pause after a failure are the same. No I/O.
struct NameLobby<Waiter: Sendable>: Sendable {
    private typealias Room = ConnectionSlots<Void, Waiter>

    enum Waited {
        case queued(asks: Bool)
        /// The question was answered meanwhile.
        case answered
        case failed(Failure)
        case abandoned
        case closed
    }

    private var room = Room(backoff: AddressBook<PeerAddress>.backoff)
    private var question: Room.ConnectionID?
    private var book = AddressBook<PeerAddress>()
    /// From here on the next call asks again; nil when that is due already.
    private(set) var staleAt: MonotonicTime?

    var addresses: [PeerAddress] { book.addresses }
    var waitingCount: Int { room.waitingCount }

    /// Waits for the first answer.
    mutating func wait(
        _ id: UInt64, _ waiter: Waiter, waitsForReady: Bool, deadline: MonotonicTime?, now: MonotonicTime
    ) -> Waited {
        switch room.acquire(
            .interactive, id: id, waiter: waiter, waitsForReady: waitsForReady, deadline: deadline, now: now)
        {
        case .use: return .answered
        case .connect(let id):
            ask(id, now: now)
            return .queued(asks: true)
        case .wait: return .queued(asks: false)
        case .fail(let failure): return .failed(failure)
        case .abandoned: return .abandoned
        case .closed: return .closed
        }
    }

    private mutating func ask(_ id: Room.ConnectionID, now: MonotonicTime) {
        question = id
        // The room has decided; the book is told.
        _ = book.shouldResolve(now: now)
    }

    mutating func abandon(_ id: UInt64) -> Waiter? { room.abandon(id, mayComeLater: true) }
    mutating func forget(_ id: UInt64) { room.forget(id) }

    func isFresh(now: MonotonicTime) -> Bool { staleAt.map { now < $0 } ?? false }

    /// A call is made: whether to ask again.
    mutating func shouldAsk(now: MonotonicTime) -> Bool { !isFresh(now: now) && book.shouldResolve(now: now) }

    /// A peer was lost: whether to ask again.
    mutating func shouldAskAfterLoss(now: MonotonicTime) -> Bool {
        !book.addresses.isEmpty && book.shouldResolve(peerWasLost: true, now: now)
    }

    /// The name service answered. `released` choose among the addresses, `failed` do not wait any longer.
    mutating func resolved(_ addresses: [PeerAddress], now: MonotonicTime, using random: inout FastRandom) -> (
        hasChanged: Bool, released: [Waiter], failed: [Waiter], failure: Failure?
    ) {
        let hasChanged = book.resolved(addresses, now: now, using: &random)
        if let failure = book.failure {
            let failed = endQuestion(failure, now: now, using: &random)
            return (false, [], failed.waiters, failed.failure)
        }
        staleAt = now.advanced(by: .milliseconds(AddressBook<PeerAddress>.ageMsMax))
        guard let question else { return (hasChanged, [], [], nil) }
        self.question = nil
        guard case .granted(let waiters) = room.connected(question, (), now: now) else {
            return (hasChanged, [], [], nil)
        }
        return (hasChanged, waiters, [], nil)
    }

    mutating func resolutionFailed(_ failure: Failure, now: MonotonicTime, using random: inout FastRandom) -> (
        waiters: [Waiter], failure: Failure
    ) {
        book.resolutionFailed(failure, now: now, using: &random)
        return endQuestion(failure, now: now, using: &random)
    }

    private mutating func endQuestion(_ failure: Failure, now: MonotonicTime, using random: inout FastRandom) -> (
        waiters: [Waiter], failure: Failure
    ) {
        guard let question else { return ([], failure) }
        self.question = nil
        let ended = room.ended(question, .lost(failure), now: now, using: &random)
        return (ended.failed, ended.failure ?? failure)
    }

    func nextTimer() -> MonotonicTime? {
        guard let next = room.nextTimer() else { return staleAt }
        return staleAt.map { min($0, next) } ?? next
    }

    /// `isStale` says that the addresses have just become old, `asks` that it is time to ask for those that wait.
    mutating func timerFired(now: MonotonicTime) -> (
        expired: [(waiter: Waiter, failure: Failure)], isStale: Bool, asks: Bool
    ) {
        let isStale = staleAt.map { now >= $0 } ?? false
        if isStale { staleAt = nil }
        let fired = room.timerFired(now: now)
        for id in fired.connect { ask(id, now: now) }
        return (fired.expired, isStale, !fired.connect.isEmpty)
    }

    mutating func shutdown() -> [Waiter] {
        staleAt = nil
        return room.shutdown().waiters
    }
}
