internal import NIOCore
internal import Synchronization

/// The places that a server has for connections. Each is held from accept to close, whatever the peer speaks and whether it says anything.
final class ConnectionPlaces: Sendable {
    /// How a connection begins.
    enum Place: Sendable {
        case served(Seat)
        /// All places are taken; it is kept until its first byte says in which protocol it can be told so, or a second.
        case told
        /// It is closed at once.
        case none
    }

    /// A place that is taken.
    final class Seat: Sendable {
        fileprivate let number: UInt64
        private let places: ConnectionPlaces

        fileprivate init(_ number: UInt64, _ places: ConnectionPlaces) {
            self.number = number
            self.places = places
        }

        /// The peer has shown that it speaks a protocol: the place is its own until it leaves.
        func isGreeted() { places.state.withLock { _ = $0.silent.remove(number) } }
    }

    /// Sockets beyond the limit: those that are told, since a client that is not takes the close for a network that is broken, and those
    /// that are being closed for others.
    static let extraMax = 64
    static let tellingSecondsMax = 1

    fileprivate struct State {
        /// Those that are being closed for others included.
        var served = 0
        var told = 0
        var lastNumber: UInt64 = 0
        /// Have not greeted.
        var silent: Set<UInt64> = []
        /// The same in the order in which they came, and others that have greeted or gone since.
        var order = Fifo<(number: UInt64, channel: any Channel)>()
        /// Are being closed because somebody else needs their place.
        var evicted: Set<UInt64> = []
        var extra: Int { told + evicted.count }

        mutating func dropSpoken() {
            while let first = order.first, !silent.contains(first.number) { _ = order.removeFirst() }
        }

        mutating func sit(_ channel: any Channel) -> UInt64 {
            dropSpoken()
            served += 1
            lastNumber += 1
            silent.insert(lastNumber)
            order.append((lastNumber, channel))
            return lastNumber
        }

        /// Who has said nothing for the longest time loses its place: a flood of silent sockets must not keep out those who speak.
        mutating func evictOldest() -> (any Channel)? {
            dropSpoken()
            guard extra < ConnectionPlaces.extraMax, let oldest = order.removeFirst() else { return nil }
            silent.remove(oldest.number)
            evicted.insert(oldest.number)
            return oldest.channel
        }
    }

    let servedMax: Int
    fileprivate let state = Mutex(State())

    init(servedMax: Int) { self.servedMax = max(1, servedMax) }

    /// Sockets that are open now.
    var taken: Int { state.withLock { $0.served + $0.told } }

    /// Those that have not greeted.
    var silentCount: Int { state.withLock { $0.silent.count } }

    /// Takes a place for `channel` until it is closed.
    func enter(_ channel: any Channel) -> Place {
        var loser: (any Channel)?
        let place = state.withLock { state -> Place in
            if state.served - state.evicted.count >= servedMax {
                loser = state.evictOldest()
                guard loser != nil else {
                    guard state.extra < Self.extraMax else { return .none }
                    state.told += 1
                    return .told
                }
            }
            return .served(Seat(state.sit(channel), self))
        }
        loser?.close(promise: nil)
        channel.closeFuture.whenComplete { [self] _ in leave(place) }
        return place
    }

    private func leave(_ place: Place) {
        state.withLock { state in
            switch place {
            case .served(let seat):
                state.served -= 1
                state.silent.remove(seat.number)
                state.evicted.remove(seat.number)
            case .told: state.told -= 1
            case .none: break
            }
        }
    }
}

/// A connection that found no place; its channel is closed for it.
struct NoPlace: Error {}
