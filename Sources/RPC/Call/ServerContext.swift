public import Core

/// What a handler knows of its call, and the side channels of its answer.
public struct ServerContext: Sendable {
    /// Trace, request id, principal, credential and deadline; also `CallContext.current` while the handler runs.
    public var call: CallContext
    private let request: CallRequest

    init(call: CallContext, request: CallRequest) {
        self.call = call
        self.request = request
    }

    public var method: MethodDescriptor { request.entry.method }
    /// Metadata the caller sent.
    public var metadata: Metadata { request.metadata }
    /// Repeats of a call with the same key have its effect once; empty when the caller gave none.
    public var idempotencyKey: String { request.idempotencyKey }
    /// 0 for the first try.
    public var attempt: UInt32 { request.attempt }
    /// Address of the peer, for logs.
    public var peer: String { request.peer }
    var stream: RPCStream { request.stream }

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

/// What does not change while a call is served, in one object: contexts are copied for every interceptor and handler, and a copy of a
/// reference costs one count instead of twenty.
final class CallRequest: Sendable {
    let entry: ServiceRouter.Entry
    let metadata: Metadata
    let idempotencyKey: String
    let attempt: UInt32
    let peer: String
    let stream: RPCStream

    init(entry: ServiceRouter.Entry, meta: RequestMeta, peer: String, stream: RPCStream) {
        self.entry = entry
        metadata = meta.metadata
        idempotencyKey = meta.idempotencyKey
        attempt = meta.attempt
        self.peer = peer
        self.stream = stream
    }
}
