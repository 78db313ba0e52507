public import Core

/// What a handler knows of its call, and the side channels of its answer.
public struct ServerContext: Sendable {
    /// Trace, request id, principal, credential and deadline; also `CallContext.current` while the handler runs.
    public var call: CallContext
    public let method: MethodDescriptor
    /// Metadata the caller sent.
    public let metadata: Metadata
    /// Repeats of a call with the same key have its effect once; empty when the caller gave none.
    public let idempotencyKey: String
    /// 0 for the first try.
    public let attempt: UInt32
    /// Address of the peer, for logs.
    public let peer: String
    let stream: RPCStream

    /// Sends metadata before the first message. Later calls do nothing.
    public func sendInitialMetadata(_ metadata: Metadata) {
        let stream = self.stream
        stream.connection.execute { stream.connection.sendHeaders(metadata, on: stream) }
    }

    /// Metadata that goes with the call's status.
    public func setTrailingMetadata(_ metadata: Metadata) {
        let stream = self.stream
        stream.connection.execute { stream.trailers = metadata }
    }
}
