internal import Core

/// A connection for one attempt of a call.
struct ConnectionLease<Connection: Sendable>: Sendable {
    let connection: Connection
    let peer: PeerID
    /// The attempt counts as in flight at the peer until `finished`. With one address nothing is counted: there is no choice to make.
    let isCounted: Bool
}

/// What whoever waits for a connection gets.
enum ConnectionAnswer<Connection: Sendable>: Sendable {
    case use(ConnectionLease<Connection>)
    /// No connection. `finished` is due for the peer, if there is one.
    case failed(Failure, AttemptProgress, PeerID?)
    /// The choice was made on what is no longer so: `begin` again.
    case again
}
