public import Core

/// Sees how every call ended: metrics and logs. Unlike an interceptor it stands beside the calls, costs them nothing while they run, and
/// also sees those that never reached a handler.
public protocol ServerObserver: Sendable {
    /// Asked once per method when the server is made.
    func observe(_ method: MethodDescriptor) -> any MethodObserver
    /// The server has this many connections now. From any thread.
    func connectionsChanged(_ count: Int)
    /// There was no place for a connection. From any thread.
    func connectionRefused()
    /// Something happened to the encryption of the server's port. From any thread.
    func tlsChanged(_ event: TLSEvent)
}

extension ServerObserver {
    public func connectionRefused() {}
    public func tlsChanged(_ event: TLSEvent) {}
}

/// Sees how the calls of one method ended. Runs on the event loop: it must not block.
public protocol MethodObserver: Sendable {
    /// - Parameters:
    ///   - failure: nil for OK.
    ///   - nanoseconds: from the arrival of the request to its status.
    ///   - queuedNanoseconds: how much of that it waited for its turn.
    func callEnded(_ call: CallContext, failure: Failure?, nanoseconds: Int64, queuedNanoseconds: Int64)
}
