/// The two connections of a client to one peer. Bulk bytes never stand before a short answer in the same socket.
enum ConnectionKind: Int, Sendable, Hashable, CaseIterable {
    case interactive = 0
    case bulk = 1

    /// Uploads and two-way streams take the bulk connection, and so do calls whose options say that much comes back.
    init(_ method: MethodDescriptor, isBulk: Bool = false) {
        self = method.clientStreaming || (isBulk && method.serverStreaming) ? .bulk : .interactive
    }
}
