internal import Core

/// All that a client knows of a service: its addresses, the connections to each, who waits for one, and what may be repeated.
///
/// No I/O: every method is one event that takes the time and appends to `Effects` what the client has to do, outside of its lock.
struct PeerTable<Connection: Sendable, Waiter: Sendable>: Sendable {
    typealias Slots = ConnectionSlots<Connection, Waiter>

    typealias Lease = ConnectionLease<Connection>
    typealias Answer = ConnectionAnswer<Connection>

    /// A place to wait in.
    struct Place: Sendable {
        /// nil while no address is known.
        let peer: PeerID?
        let waiter: UInt64
    }

    enum Begun: Sendable {
        case ready(Lease)
        case wait(Place)
        case failed(Failure, AttemptProgress)
    }

    /// A connection to make.
    struct Attempt: Sendable {
        let peer: PeerID
        let id: Slots.ConnectionID
        let address: PeerAddress
    }

    struct Effects: Sendable {
        var answers: [(waiter: Waiter, answer: Answer)] = []
        var connect: [Attempt] = []
        /// After their calls in flight, or at once.
        var close: [(connection: Connection, isForced: Bool)] = []
        /// Ask the name service.
        var resolve = false
    }

    private struct Peer: Sendable {
        let id: PeerID
        let address: PeerAddress
        var slots: Slots
    }

    private var peers: [Peer] = []
    private var selector: PeerSelector<PeerAddress>
    private var lobby = NameLobby<Waiter>()
    private let hasNames: Bool
    private var random: FastRandom
    private var nextWaiter: UInt64 = 1
    private(set) var isClosed = false
    private(set) var budget: RetryBudget
    /// No background connection can become possible before.
    private var spreadAt = MonotonicTime(nanoseconds: 0)
    /// The connections of the only peer, for calls that need nothing else: no choice, no clock.
    private var only: (interactive: Connection?, bulk: Connection?) = (nil, nil)
    private var onlyPeer = PeerID(number: 0)

    /// - Parameter addresses: those that are known already; nil when names have to be resolved.
    init(
        addresses: [PeerAddress]?, outliers: OutlierPolicy, throttling: RetryThrottling,
        random: FastRandom = FastRandom()
    ) {
        selector = PeerSelector(outliers)
        budget = RetryBudget(throttling)
        self.random = random
        hasNames = addresses == nil
        if let addresses {
            for (id, address) in selector.update(addresses, now: MonotonicTime(nanoseconds: 0)).added {
                peers.append(Peer(id: id, address: address, slots: Slots()))
            }
        }
    }

    var waitingCount: Int { peers.reduce(lobby.waitingCount) { $0 + $1.slots.waitingCount } }
    var peerIDs: [PeerID] { peers.map(\.id) }
    func callsInFlight(_ peer: PeerID) -> Int { selector.callsInFlight(peer) }

    private func index(of id: PeerID) -> Int? { peers.firstIndex { $0.id == id } }

    // MARK: Calls

    /// A connection that is ready, when nothing else is due: the common case. Takes no time for a single peer.
    mutating func ready(_ kind: ConnectionKind) -> Lease? {
        if let connection = kind == .interactive ? only.interactive : only.bulk {
            return Lease(connection: connection, peer: onlyPeer, isCounted: false)
        }
        guard peers.count > 1, !isClosed else { return nil }
        let now = MonotonicTime.now()
        guard now < spreadAt, !hasNames || lobby.isFresh(now: now) else { return nil }
        guard let id = selector.pick(now: now, using: &random), let index = index(of: id) else { return nil }
        guard let connection = peers[index].slots.ready(kind) else {
            selector.finished(id, .neutral, now: now)
            return nil
        }
        return Lease(connection: connection, peer: id, isCounted: true)
    }

    /// Chooses a peer for an attempt. What has been `wait` is followed by `wait(at:)`.
    mutating func begin(
        _ kind: ConnectionKind, avoiding tried: [PeerID] = [], now: MonotonicTime, _ effects: inout Effects
    ) -> Begun {
        guard !isClosed else { return .failed(Self.closed, .endedHere) }
        if hasNames, !peers.isEmpty, lobby.shouldAsk(now: now) { effects.resolve = true }
        if now >= spreadAt { spread(now: now, &effects) }
        defer { nextWaiter += 1 }
        guard let id = selector.pick(avoiding: tried, now: now, using: &random), let index = index(of: id) else {
            return .wait(Place(peer: nil, waiter: nextWaiter))
        }
        if let connection = peers[index].slots.ready(kind) {
            return .ready(Lease(connection: connection, peer: id, isCounted: true))
        }
        return .wait(Place(peer: id, waiter: nextWaiter))
    }

    mutating func wait(
        at place: Place, _ kind: ConnectionKind, _ waiter: Waiter, waitsForReady: Bool, deadline: MonotonicTime?,
        now: MonotonicTime, _ effects: inout Effects
    ) {
        guard let peer = place.peer else {
            return wait(
                inLobby: lobby.wait(
                    place.waiter, waiter, waitsForReady: waitsForReady, deadline: deadline, now: now), waiter, &effects)
        }
        guard let index = index(of: peer) else { return effects.answers.append((waiter, .again)) }
        let acquired = peers[index].slots.acquire(
            kind, id: place.waiter, waiter: waiter, waitsForReady: waitsForReady, deadline: deadline, now: now)
        switch acquired {
        case .use(let connection):
            let lease = Lease(connection: connection, peer: peer, isCounted: true)
            effects.answers.append((waiter, .use(lease)))
        case .connect(let id):
            effects.connect.append(Attempt(peer: peer, id: id, address: peers[index].address))
            changed(index, now: now)
        case .wait: break
        case .fail(let failure): effects.answers.append((waiter, .failed(failure, .notSent, peer)))
        case .abandoned: effects.answers.append((waiter, .failed(Self.cancelled, .endedHere, peer)))
        case .closed: effects.answers.append((waiter, .failed(Self.closed, .endedHere, peer)))
        }
    }

    private func wait(inLobby waited: NameLobby<Waiter>.Waited, _ waiter: Waiter, _ effects: inout Effects) {
        switch waited {
        case .queued(let asks): if asks { effects.resolve = true }
        case .answered: effects.answers.append((waiter, .again))
        case .failed(let failure): effects.answers.append((waiter, .failed(failure, .notSent, nil)))
        case .abandoned: effects.answers.append((waiter, .failed(Self.cancelled, .endedHere, nil)))
        case .closed: effects.answers.append((waiter, .failed(Self.closed, .endedHere, nil)))
        }
    }

    /// The task of a call that waits, or is about to, was cancelled.
    mutating func abandon(_ place: Place, _ effects: inout Effects) {
        var waiter: Waiter?
        if let peer = place.peer {
            // A peer that has left knows no waiters: whoever comes later chooses again and finds itself cancelled there.
            if let index = index(of: peer) { waiter = peers[index].slots.abandon(place.waiter, mayComeLater: true) }
        } else {
            waiter = lobby.abandon(place.waiter)
        }
        if let waiter { effects.answers.append((waiter, .failed(Self.cancelled, .endedHere, place.peer))) }
    }

    /// The wait is over, however it ended.
    mutating func forget(_ place: Place) {
        if let peer = place.peer {
            if let index = index(of: peer) { peers[index].slots.forget(place.waiter) }
        } else {
            lobby.forget(place.waiter)
        }
    }

    /// An attempt that was counted has ended.
    mutating func finished(_ peer: PeerID, _ failure: Failure?, _ progress: AttemptProgress, now: MonotonicTime) {
        selector.finished(peer, PeerVerdict(failure, progress), now: now)
    }

    /// A call ended with OK.
    mutating func succeeded() { budget.succeeded() }

    /// Whether to repeat the call whose current attempt failed.
    mutating func decide(
        _ retry: inout RetryState, _ failure: Failure, _ progress: AttemptProgress, tried: [PeerID], now: MonotonicTime
    ) -> RetryDecision {
        retry.attemptFailed(
            failure, progress, hasOtherPeer: selector.hasOther(than: tried, now: now), now: now, budget: &budget,
            using: &random)
    }

    mutating func timerFired(_ call: inout HedgedCall, now: MonotonicTime) -> HedgedCall.Action {
        call.timerFired(now: now, budget: &budget)
    }

    mutating func copyFailed(
        _ call: inout HedgedCall, _ attempt: Int, _ failure: Failure, _ progress: AttemptProgress, tried: [PeerID],
        now: MonotonicTime
    ) -> HedgedCall.Action {
        call.attemptFailed(
            attempt, failure, progress, hasOtherPeer: selector.hasOther(than: tried, now: now), now: now,
            budget: &budget)
    }

    static var closed: Failure { Failure(.unavailable, reason: "CLIENT_CLOSED", "The client was shut down.") }
    static var cancelled: Failure { Failure(.cancelled, "The call was cancelled.") }
}

// MARK: Connections

extension PeerTable {
    mutating func connected(
        _ peer: PeerID, _ id: Slots.ConnectionID, _ connection: Connection, now: MonotonicTime, _ effects: inout Effects
    ) {
        guard let index = index(of: peer),
            case .granted(let waiters) = peers[index].slots.connected(id, connection, now: now)
        else { return effects.close.append((connection, true)) }
        let lease = Lease(connection: connection, peer: peer, isCounted: true)
        for waiter in waiters { effects.answers.append((waiter, .use(lease))) }
        changed(index, now: now)
        for other in peers.indices where other != index {
            for waiter in peers[other].slots.takeWaiting(id.kind) {
                selector.moved(from: peers[other].id, to: peer)
                effects.answers.append((waiter, .use(lease)))
            }
            // Those that want the other kind of connection choose again, and find that this peer can be reached.
            for kind in ConnectionKind.allCases where kind != id.kind && !isReady(other) {
                for waiter in peers[other].slots.takeWaitingForReady(kind) {
                    selector.finished(peers[other].id, .neutral, now: now)
                    effects.answers.append((waiter, .again))
                }
            }
        }
    }

    /// An attempt to connect failed, or a connection ended or takes no more calls.
    mutating func ended(
        _ peer: PeerID, _ id: Slots.ConnectionID, _ ending: Slots.Ending, now: MonotonicTime, _ effects: inout Effects
    ) {
        guard let index = index(of: peer) else { return }
        let ended = peers[index].slots.ended(id, ending, now: now, using: &random)
        for waiter in ended.failed {
            effects.answers.append((waiter, .failed(ended.failure ?? Self.closed, .notSent, peer)))
        }
        if let connection = ended.close { effects.close.append((connection, ended.isForced)) }
        changed(index, now: now)
        if case .lost = ending, hasNames, lobby.shouldAskAfterLoss(now: now) { effects.resolve = true }
    }

    private func isReady(_ index: Int) -> Bool {
        ConnectionKind.allCases.contains { peers[index].slots.ready($0) != nil }
    }

    /// The state of a peer has changed: what is derived from it follows.
    private mutating func changed(_ index: Int, now: MonotonicTime) {
        selector.set(peers[index].id, peers[index].slots.reachability(now: now))
        spreadAt = MonotonicTime(nanoseconds: 0)
        refreshOnly()
    }

    private mutating func refreshOnly() {
        if peers.count == 1, !isClosed, !hasNames || lobby.staleAt != nil {
            onlyPeer = peers[0].id
            only = (peers[0].slots.ready(.interactive), peers[0].slots.ready(.bulk))
        } else {
            only = (nil, nil)
        }
    }

    /// Connects to peers that no call has chosen yet, so that load spreads. Only calls lead here: a client that is not used connects to nothing.
    private mutating func spread(now: MonotonicTime, _ effects: inout Effects) {
        spreadAt = MonotonicTime(nanoseconds: .max)
        guard peers.count > 1 else { return }
        while let id = selector.nextToConnect(now: now), let index = index(of: id),
            let made = peers[index].slots.connect(.interactive, now: now)
        {
            effects.connect.append(Attempt(peer: id, id: made, address: peers[index].address))
            selector.set(id, .connecting)
        }
        for peer in peers {
            if case .failing(let until) = peer.slots.reachability(now: now) { spreadAt = min(spreadAt, until) }
        }
    }

    // MARK: Time

    /// When `timerFired` is due; nil while nothing waits for time. Ask after every event.
    func nextTimer() -> MonotonicTime? {
        var next = lobby.nextTimer()
        func consider(_ time: MonotonicTime?) {
            if let time { next = min(next ?? time, time) }
        }
        var isAnyoneWaiting = false
        for peer in peers {
            consider(peer.slots.nextTimer())
            if peer.slots.waitingCount > 0 { isAnyoneWaiting = true }
        }
        // Whoever waits for one peer may be served by another.
        if isAnyoneWaiting, peers.count > 1, spreadAt.nanoseconds < .max { consider(spreadAt) }
        return next
    }

    mutating func timerFired(now: MonotonicTime, _ effects: inout Effects) {
        guard !isClosed else { return }
        let asked = lobby.timerFired(now: now)
        for (waiter, failure) in asked.expired { effects.answers.append((waiter, .failed(failure, .notSent, nil))) }
        if asked.asks { effects.resolve = true }
        if asked.isStale { refreshOnly() }
        for index in peers.indices {
            guard let due = peers[index].slots.nextTimer(), due <= now else { continue }
            let fired = peers[index].slots.timerFired(now: now)
            for (waiter, failure) in fired.expired {
                effects.answers.append((waiter, .failed(failure, .notSent, peers[index].id)))
            }
            for id in fired.connect {
                effects.connect.append(Attempt(peer: peers[index].id, id: id, address: peers[index].address))
            }
            if !fired.connect.isEmpty { changed(index, now: now) }
        }
        if now >= spreadAt, peers.contains(where: { $0.slots.waitingCount > 0 }) { spread(now: now, &effects) }
    }

    // MARK: Names

    /// The name service answered.
    mutating func resolved(_ addresses: [PeerAddress], now: MonotonicTime, _ effects: inout Effects) {
        guard !isClosed else { return }
        let result = lobby.resolved(addresses, now: now, using: &random)
        if result.hasChanged { update(now: now, &effects) }
        refreshOnly()
        for waiter in result.released { effects.answers.append((waiter, .again)) }
        if let failure = result.failure { fail(result.failed, failure, &effects) }
    }

    mutating func resolutionFailed(_ failure: Failure, now: MonotonicTime, _ effects: inout Effects) {
        guard !isClosed else { return }
        let ended = lobby.resolutionFailed(failure, now: now, using: &random)
        fail(ended.waiters, ended.failure, &effects)
    }

    private func fail(_ waiters: [Waiter], _ failure: Failure, _ effects: inout Effects) {
        for waiter in waiters { effects.answers.append((waiter, .failed(failure, .notSent, nil))) }
    }

    private mutating func update(now: MonotonicTime, _ effects: inout Effects) {
        let change = selector.update(lobby.addresses, now: now)
        for id in change.removed {
            guard let index = index(of: id) else { continue }
            let (connections, waiters) = peers[index].slots.shutdown()
            for connection in connections { effects.close.append((connection, false)) }
            for waiter in waiters { effects.answers.append((waiter, .again)) }
            peers.remove(at: index)
        }
        for (id, address) in change.added { peers.append(Peer(id: id, address: address, slots: Slots())) }
        spreadAt = MonotonicTime(nanoseconds: 0)
    }

    // MARK: End

    /// The client shuts down: connections close after their calls in flight, and whoever waits fails.
    mutating func shutdown(_ effects: inout Effects) {
        isClosed = true
        only = (nil, nil)
        for waiter in lobby.shutdown() { effects.answers.append((waiter, .failed(Self.closed, .endedHere, nil))) }
        for index in peers.indices {
            let (connections, waiters) = peers[index].slots.shutdown()
            for connection in connections { effects.close.append((connection, false)) }
            for waiter in waiters {
                effects.answers.append((waiter, .failed(Self.closed, .endedHere, peers[index].id)))
            }
        }
    }
}
