internal import NIOCore
internal import Synchronization

/// The places that a server has for connections. Each is held from accept to close, whatever the peer speaks and whether it says anything.
final class ConnectionPlaces: Sendable {
    /// How a connection begins.
    enum Place: Sendable {
        case served
        /// All places are taken; it is kept until its first byte says in which protocol it can be told so, or a second.
        case told
        /// It is closed at once.
        case none
    }

    /// Beyond the limit, those that are told. A client that is not told takes the close for a network that is broken.
    static let toldMax = 64
    static let tellingSecondsMax = 1

    private struct Counts {
        var served = 0
        var told = 0
    }

    let servedMax: Int
    private let counts = Mutex(Counts())

    init(servedMax: Int) { self.servedMax = max(1, servedMax) }

    /// Sockets that are open now.
    var taken: Int { counts.withLock { $0.served + $0.told } }

    /// Takes a place for `channel` until it is closed.
    func enter(_ channel: any Channel) -> Place {
        let place = counts.withLock { counts -> Place in
            if counts.served < servedMax {
                counts.served += 1
                return .served
            }
            guard counts.told < Self.toldMax else { return .none }
            counts.told += 1
            return .told
        }
        channel.closeFuture.whenComplete { [self] _ in
            counts.withLock { counts in
                switch place {
                case .served: counts.served -= 1
                case .told: counts.told -= 1
                case .none: break
                }
            }
        }
        return place
    }
}

/// A connection that found no place; its channel is closed for it.
struct NoPlace: Error {}
