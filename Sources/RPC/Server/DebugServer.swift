internal import Core
internal import NIOCore
internal import Synchronization

/// `acp.v1.Debug` over the servers of this process.
public final class DebugServer: DebugService {
    private static let pageSizeDefault = 100
    private static let pageSizeMax = 1000

    private let servers = Mutex<[RPCServer.Shared]>([])

    public init() {}

    /// Reports the connections of `server` too.
    public func add(_ server: RPCServer) { servers.withLock { $0.append(server.shared) } }

    public func listConnections(
        _ request: ListConnectionsRequest, _ context: ServerContext
    ) async throws -> ListConnectionsResponse {
        guard request.pageSize <= Self.pageSizeMax else {
            throw Failure.invalid(field: "page_size", "must be at most \(Self.pageSizeMax)")
        }
        guard let after = request.pageToken.isEmpty ? 0 : UInt64(request.pageToken) else {
            throw Failure.invalid(field: "page_token", "must come from an answer before")
        }
        let size = request.pageSize == 0 ? Self.pageSizeDefault : Int(request.pageSize)
        let all = servers.withLock { $0 }.flatMap { $0.connections.all() }
        let page = all.filter { $0.number > after }.sorted { $0.number < $1.number }.prefix(size + 1)
        var response = ListConnectionsResponse()
        for connection in page.prefix(size) { response.connections.append(await connection.report()) }
        if page.count > size, let last = response.connections.last { response.nextPageToken = String(last.id) }
        return response
    }
}

extension ServerConnection {
    /// What goes on here, read on the connection's loop.
    fileprivate func report() async -> ConnectionReport {
        await withUnsafeContinuation { continuation in
            execute { continuation.resume(returning: self.reportOnLoop()) }
        }
    }

    private func reportOnLoop() -> ConnectionReport {
        let now = loopContext.now()
        var report = ConnectionReport(
            id: number, peer: peerAddress, role: peer.role, instance: peer.instance, build: peer.build,
            ageMs: Self.milliseconds(openedAt.nanosecondsElapsed(to: now)), streamsOpened: UInt64(streamsOpened),
            unsentBytes: UInt64(unsentBytes + outbound.readableBytes),
            sendWindowBytes: Int64(connectionSendWindow.available),
            receiveWindowBytes: Int64(connectionReceiveWindow.available), draining: isDraining,
            compresses: compresses, checksums: sendsChecksums)
        for case let stream as ServerStream in openStreams.sorted(by: { $0.id < $1.id }) {
            report.streams.append(
                StreamReport(
                    id: stream.id, method: stream.entry.method.path,
                    ageMs: Self.milliseconds(stream.receivedAt.nanosecondsElapsed(to: now)), state: stream.state,
                    leftMs: stream.call.deadline.map { Self.milliseconds(now.nanosecondsElapsed(to: $0)) } ?? 0,
                    sendWindowBytes: Int64(stream.sendWindow.available),
                    receiveWindowBytes: Int64(stream.receiveWindow.available),
                    inboundBytes: UInt64(stream.inboundBytes), outboundBytes: UInt64(stream.pendingBytes),
                    requestID: stream.call.requestID))
        }
        return report
    }

    private static func milliseconds(_ nanoseconds: Int64) -> UInt64 { UInt64(nanoseconds / 1_000_000) }
}

extension ServerStream {
    fileprivate var state: StreamReport.State {
        if case .waiting = turn { return .waiting }
        return isOpen ? .running : .ended
    }
}
