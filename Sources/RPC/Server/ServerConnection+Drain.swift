internal import Core
internal import NIOCore

/// How a server lets go of a connection.
extension ServerConnection {
    /// What a client may take to answer the PING of a drain before it is taken as answered.
    private static let drainAnswerMilliseconds: Int64 = 5000
    private static let drainPing: UInt64 = 0x6472_6169_6E69_6E67

    /// Closes when the calls in flight have ended, in two steps so that none is lost on the way: the client is told to open no more; when it
    /// has read that (it answers a PING), what it had opened until then has arrived, and later calls are refused.
    func drain() {
        guard !isDraining, !isClosed, drainTimer == nil else { return }
        goAway(lastStream: UInt32.max, code: .ok, "the server is shutting down")
        writeFrame(.ping, stream: 0, payload: { $0.writeInteger(Self.drainPing) })
        drainTimer = loop.scheduleTask(in: .milliseconds(Self.drainAnswerMilliseconds)) { self.finishDrain() }
    }

    /// The client has answered a PING.
    func answered(_ payload: ByteBuffer) {
        if drainTimer != nil, payload.getInteger(at: payload.readerIndex) == Self.drainPing { finishDrain() }
    }

    private func finishDrain() {
        drainTimer?.cancel()
        guard !isDraining, !isClosed else { return }
        isDraining = true
        goAway(lastStream: lastStream, code: .ok, "the server is shutting down")
        closeIfDrained()
    }

    func closeIfDrained() {
        if isDraining, openStreamCount == 0 { closeAfterFlush() }
    }

    /// Cancels what is left and closes.
    func closeNow() {
        for case let stream as ServerStream in openStreams {
            abort(
                stream,
                Failure(
                    .unavailable, reason: "SHUTDOWN", "The service stopped before the call had finished.",
                    remedy: "Try again."))
        }
        closeAfterFlush()
    }
}
