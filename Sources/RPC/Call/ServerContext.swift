public import Core

/// What a handler knows of its call, and the side channels of its answer.
public struct ServerContext: Sendable {
    let stream: ServerStream

    init(_ stream: ServerStream) { self.stream = stream }

    /// Trace, request id, principal, credential and deadline; also `CallContext.current` while the handler runs.
    public var call: CallContext { stream.call }
    public var method: MethodDescriptor { stream.entry.method }
    /// Metadata the caller sent.
    public var metadata: Metadata { stream.meta.metadata }
    /// Repeats of a call with the same key have its effect once; empty when the caller gave none.
    public var idempotencyKey: String { stream.meta.idempotencyKey }
    /// 0 for the first try.
    public var attempt: UInt32 { stream.meta.attempt }
    /// Address of the peer, for logs.
    public var peer: String { connection.peerAddress }
    /// Who the peer is by its certificate; nil unless it showed one and that was verified.
    public var peerCertificate: PeerCertificate? {
        if case .encrypted(let certificate) = connection.layer { certificate } else { nil }
    }
    public var peerCertificateName: String? { peerCertificate?.name }
    /// Whether the call came over TLS.
    public var isEncrypted: Bool {
        if case .encrypted = connection.layer { true } else { false }
    }

    /// Whether the server takes no more calls on this connection: a call that would go on for ever should end now.
    public func isDraining() async -> Bool {
        let connection = self.connection
        return (try? await connection.onLoop { $0.resume(returning: connection.isDraining) }) ?? true
    }

    private var connection: ServerConnection { unsafeDowncast(stream.connection, to: ServerConnection.self) }

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
