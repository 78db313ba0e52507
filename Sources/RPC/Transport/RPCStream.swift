internal import Core
internal import NIOCore

/// A message that has arrived and waits for its reader, with the flow-control credit to give back when it is taken.
struct InboundMessage {
    var bytes: ByteBuffer
    var credit: Int
}

/// A message that waits for window or socket.
struct PendingWrite {
    /// The part not yet sent.
    var bytes: ByteBuffer
    /// False for the end of the stream alone.
    var isMessage = true
    var endStream: Bool
    /// nil when nobody waits.
    var continuation: UnsafeContinuation<Void, any Error>?
}

/// One call on one connection, either end. Confined to the connection's loop, which is what makes it safe to share.
final class RPCStream: DeadlineEntry, @unchecked Sendable {
    let id: UInt32
    unowned let connection: Connection
    // Inbound: messages that are complete, the one that is not, and who waits for the next.
    private var inbound = Fifo<InboundMessage>()
    private var partial: ByteBuffer?
    private var reader: UnsafeContinuation<ByteBuffer?, any Error>?
    /// Waits for the end of a call that has exactly one answer.
    private var answerReader: UnsafeContinuation<ByteBuffer, any Error>?
    private var receiveWindow: ReceiveWindow
    /// The peer will send no more messages.
    private(set) var remoteClosed = false
    // Outbound.
    var sendWindow: SendWindow
    var pending = Fifo<PendingWrite>()
    /// In the connection's round of streams with pending writes.
    var isQueued = false
    /// We will send no more messages.
    private(set) var localClosed = false
    /// Why reading and writing end; set once, when the call is over or broken.
    private(set) var ended: Result<Void, Failure>?
    // Server side.
    var task: Task<Void, Never>?
    var receivedAt = MonotonicTime(nanoseconds: 0)
    var trailers = Metadata()
    // Client side.
    var headers = Metadata()
    var serverMicroseconds: UInt64 = 0

    init(id: UInt32, connection: Connection) {
        self.id = id
        self.connection = connection
        receiveWindow = ReceiveWindow(bytes: connection.limits.streamWindowBytes)
        sendWindow = SendWindow(bytes: connection.peerStreamWindowBytes)
    }

    override func deadlineExpired() { connection.deadlineExpired(self) }

    // MARK: Inbound

    /// A frame's payload. `counted` payload (DATA) counts against the flow-control windows.
    func receive(_ payload: ByteBuffer, flags: FrameFlags, counted: Bool) throws(ProtocolViolation) {
        guard !remoteClosed else { throw ProtocolViolation("a message arrived on stream \(id) after its end") }
        let count = payload.readableBytes
        if counted { try receiveWindow.consume(count) }
        if flags.contains(.endMessage) {
            var message = payload
            if var whole = partial {
                whole.writeImmutableBuffer(payload)
                message = whole
                partial = nil
            }
            try checkSize(message.readableBytes)
            deliver(InboundMessage(bytes: message, credit: counted ? count : 0))
        } else if !flags.contains(.noMessage) {
            // The bytes of an incomplete message are credited at once: waiting for its end would deadlock on a message larger than the window.
            if partial == nil { partial = payload } else { partial?.writeImmutableBuffer(payload) }
            try checkSize(partial?.readableBytes ?? 0)
            if counted { giveBack(count) }
        } else if count > 0 {
            throw ProtocolViolation("a frame of stream \(id) says it has no message and carries \(count) bytes")
        }
        if flags.contains(.endStream) { try closeRemote() }
    }

    private func checkSize(_ count: Int) throws(ProtocolViolation) {
        guard count > connection.limits.messageBytesMax else { return }
        partial = nil
        connection.messageTooLarge(self, bytes: count)
    }

    private func closeRemote() throws(ProtocolViolation) {
        if partial != nil { throw ProtocolViolation("stream \(id) ended inside a message") }
        remoteClosed = true
        if inbound.isEmpty, let reader {
            self.reader = nil
            reader.resume(returning: nil)
        }
    }

    private func deliver(_ message: InboundMessage) {
        if ended != nil {
            giveBack(message.credit)
        } else if let reader {
            self.reader = nil
            giveBack(message.credit)
            reader.resume(returning: message.bytes)
        } else {
            inbound.append(message)
        }
    }

    private func giveBack(_ count: Int) {
        guard count > 0 else { return }
        connection.creditConnection(count)
        guard !remoteClosed, ended == nil else { return }
        let credit = receiveWindow.credit(count)
        if credit > 0 { connection.sendWindow(stream: id, credit) }
    }

    /// The next message; nil after the last. One reader at a time.
    func next(isolation: isolated (any Actor)? = #isolation) async throws -> ByteBuffer? {
        try await connection.onLoop { [self] (continuation: UnsafeContinuation<ByteBuffer?, any Error>) in
            if let message = inbound.removeFirst() {
                giveBack(message.credit)
                continuation.resume(returning: message.bytes)
            } else if case .failure(let failure) = ended {
                continuation.resume(throwing: failure)
            } else if remoteClosed || ended != nil {
                continuation.resume(returning: nil)
            } else if reader != nil {
                continuation.resume(
                    throwing: Failure(.internalError, reason: "TWO_READERS", "Two tasks read the same stream at once."))
            } else {
                reader = continuation
            }
        }
    }

    /// The one message of a call that has exactly one answer, once the call has ended well. One suspension for the whole wait.
    func answer() async throws -> ByteBuffer {
        try await connection.onLoop { [self] (continuation: UnsafeContinuation<ByteBuffer, any Error>) in
            answerReader = continuation
            if ended != nil { finishAnswer() }
        }
    }

    private func finishAnswer() {
        guard let ended, let answerReader else { return }
        self.answerReader = nil
        if case .failure(let failure) = ended {
            discardInbound()
            answerReader.resume(throwing: failure)
        } else if inbound.count == 1, let message = inbound.removeFirst() {
            giveBack(message.credit)
            answerReader.resume(returning: message.bytes)
        } else {
            let count = inbound.count
            discardInbound()
            answerReader.resume(
                throwing: Failure(
                    .internalError, reason: "NOT_ONE_MESSAGE",
                    "The service answered with \(count) messages instead of one."))
        }
    }

    /// The reading task was cancelled while it waited.
    func interruptReader() {
        guard let reader else { return }
        self.reader = nil
        reader.resume(throwing: CancellationError())
    }

    // MARK: Outbound

    /// Sends one message, or only the end of the stream when `bytes` is nil; returns when windows and socket have taken it.
    func send(_ bytes: ByteBuffer?, endStream: Bool) async throws {
        try await connection.onLoop { [self] (continuation: UnsafeContinuation<Void, any Error>) in
            if let refusal = refusalToSend() {
                continuation.resume(throwing: refusal)
                return
            }
            if endStream { localClosed = true }
            connection.enqueue(bytes, endStream: endStream, on: self, continuation)
        }
    }

    private func refusalToSend() -> Failure? {
        if let ended {
            if case .failure(let failure) = ended { return failure }
            return Failure(.cancelled, reason: "STREAM_ENDED", "The peer ended the call; it takes no more messages.")
        }
        guard localClosed else { return nil }
        return Failure(.internalError, reason: "STREAM_CLOSED", "A message was written after the end of the stream.")
    }

    func closeLocal() { localClosed = true }

    // MARK: End

    /// Ends the stream: readers get what has arrived and then the outcome, writers the outcome now. Later calls do nothing.
    /// Who ends a stream whose messages nobody will read calls `discardInbound` too, or the connection's window shrinks.
    func end(_ outcome: Result<Void, Failure>) {
        guard ended == nil else { return }
        ended = outcome
        partial = nil
        let stopped = outcome.failureOrNil ?? Failure(.cancelled, reason: "STREAM_ENDED", "The peer ended the call.")
        while let write = pending.removeFirst() { write.continuation?.resume(throwing: stopped) }
        if let reader {
            self.reader = nil
            switch outcome {
            case .success: reader.resume(returning: nil)
            case .failure(let failure): reader.resume(throwing: failure)
            }
        }
        finishAnswer()
    }

    /// Drops messages nobody will take, giving their credit back to the connection.
    func discardInbound() {
        while let message = inbound.removeFirst() { connection.creditConnection(message.credit) }
    }
}

extension Result where Success == Void, Failure == Core.Failure {
    var failureOrNil: Core.Failure? {
        if case .failure(let failure) = self { return failure }
        return nil
    }
}
