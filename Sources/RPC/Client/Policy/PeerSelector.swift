internal import Core

/// Names a peer for as long as its address is listed; an address that left and came back is a new peer.
struct PeerID: Sendable, Hashable {
    let number: UInt32
}

/// Whether a peer can take a call now.
enum Reachability: Sendable, Hashable {
    /// No connection, and nothing known against it.
    case idle
    case connecting
    case ready
    /// The last attempt failed; the next may be made then.
    case failing(until: MonotonicTime)
}

/// Which of a service's addresses the next call goes to.
///
/// The best of: ready, idle or connecting, ejected, to be avoided, failing; among equals the one with the fewest calls in flight: exactly for
/// up to 8, by the power of two random choices above (Mitzenmacher 2001), which is almost as even and does not herd.
/// A peer is always chosen while one is listed: a failing or ejected one is better than none.
struct PeerSelector<Address: Hashable & Sendable>: Sendable {
    struct Change: Sendable {
        var added: [(id: PeerID, address: Address)] = []
        var removed: [PeerID] = []
    }

    private struct Peer: Sendable {
        let id: PeerID
        let address: Address
        var callsInFlight = 0
        var reachability = Reachability.idle
    }

    static var exactMax: Int { 8 }
    /// Peers with a connection, when more are listed: enough to spread load and to lose some.
    static var connectedMax: Int { 8 }

    private var peers: [Peer] = []
    private var ejection: OutlierEjection<PeerID>
    private var nextNumber: UInt32 = 0

    init(_ policy: OutlierPolicy = OutlierPolicy()) { ejection = OutlierEjection(policy) }

    var count: Int { peers.count }
    var ids: [PeerID] { peers.map(\.id) }

    func callsInFlight(_ id: PeerID) -> Int { peers.first { $0.id == id }?.callsInFlight ?? 0 }
    func isEjected(_ id: PeerID, now: MonotonicTime) -> Bool { ejection.isEjected(id, now: now) }

    /// The addresses there are now. Removed peers get no new calls; let their connections drain.
    mutating func update(_ addresses: [Address], now: MonotonicTime) -> Change {
        var change = Change()
        let listed = Set(addresses)
        change.removed = peers.filter { !listed.contains($0.address) }.map(\.id)
        peers.removeAll { !listed.contains($0.address) }
        var known = Set(peers.map(\.address))
        for address in addresses where known.insert(address).inserted {
            let peer = Peer(id: PeerID(number: nextNumber), address: address)
            nextNumber &+= 1
            peers.append(peer)
            change.added.append((peer.id, address))
        }
        ejection.setPeers(ids, now: now)
        return change
    }

    mutating func set(_ id: PeerID, _ reachability: Reachability) {
        guard let index = peers.firstIndex(where: { $0.id == id }) else { return }
        peers[index].reachability = reachability
    }

    /// Chooses a peer and counts a call to it; every choice is ended by one `finished`. nil only when no address is known.
    /// `avoiding` names those that this call has tried.
    mutating func pick(
        avoiding tried: [PeerID] = [], now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> PeerID? {
        guard let index = choose(avoiding: tried, now: now, using: &random) else { return nil }
        peers[index].callsInFlight += 1
        return peers[index].id
    }

    /// The call, or its attempt, has ended.
    mutating func finished(_ id: PeerID, _ verdict: PeerVerdict, now: MonotonicTime) {
        guard let index = peers.firstIndex(where: { $0.id == id }) else { return }
        peers[index].callsInFlight = max(0, peers[index].callsInFlight - 1)
        // With one address there is nothing to compare and nowhere else to go.
        if peers.count > 1 { ejection.record(id, verdict, now: now) }
    }

    /// A call that was counted to one peer is served by another.
    mutating func moved(from old: PeerID, to new: PeerID) {
        for index in peers.indices {
            if peers[index].id == old { peers[index].callsInFlight = max(0, peers[index].callsInFlight - 1) }
            if peers[index].id == new { peers[index].callsInFlight += 1 }
        }
    }

    /// Whether a peer that was not tried could take the call now.
    func hasOther(than tried: [PeerID], now: MonotonicTime) -> Bool {
        peers.count > 1 && peers.contains { rank($0, tried, now) <= 2 }
    }

    /// A peer to connect to in the background, so that load spreads beyond the first: `pick` prefers the ready.
    /// Ask after each change of reachability.
    func nextToConnect(now: MonotonicTime) -> PeerID? {
        var connected = 0
        for peer in peers where peer.reachability == .ready || peer.reachability == .connecting { connected += 1 }
        guard connected < Self.connectedMax else { return nil }
        return peers.first { rank($0, [], now) == 1 && $0.reachability != .connecting }?.id
    }

    private func rank(_ peer: Peer, _ tried: [PeerID], _ now: MonotonicTime) -> Int {
        if case .failing(let until) = peer.reachability, now < until { return 4 }
        if tried.contains(peer.id) { return 3 }
        if peers.count > 1, ejection.isEjected(peer.id, now: now) { return 2 }
        return peer.reachability == .ready ? 0 : 1
    }

    private func choose(
        avoiding tried: [PeerID], now: MonotonicTime, using random: inout some RandomNumberGenerator
    ) -> Int? {
        if peers.count <= 1 { return peers.isEmpty ? nil : 0 }
        var (best, equals) = (Int.max, 0)
        for peer in peers {
            let rank = rank(peer, tried, now)
            if rank < best { (best, equals) = (rank, 0) }
            if rank == best { equals += 1 }
        }
        // Whoever may be tried first: callers that wait are served soonest there.
        if best == 4 { return peers.indices.min { retryTime($0) < retryTime($1) } }
        // Which of the equals are looked at: all, or two.
        var sample: (Int, Int)?
        if equals > Self.exactMax {
            let first = Int.random(in: 0..<equals, using: &random)
            let other = Int.random(in: 0..<equals - 1, using: &random)
            sample = (first, other < first ? other : other + 1)
        }
        var (ordinal, least, ties, chosen) = (-1, Int.max, 0, 0)
        for index in peers.indices where rank(peers[index], tried, now) == best {
            ordinal += 1
            if let sample, ordinal != sample.0, ordinal != sample.1 { continue }
            let calls = peers[index].callsInFlight
            if calls < least { (least, ties) = (calls, 0) }
            guard calls == least else { continue }
            ties += 1
            if ties == 1 || Int.random(in: 0..<ties, using: &random) == 0 { chosen = index }
        }
        return chosen
    }

    private func retryTime(_ index: Int) -> MonotonicTime {
        guard case .failing(let until) = peers[index].reachability else { return MonotonicTime(nanoseconds: 0) }
        return until
    }
}
