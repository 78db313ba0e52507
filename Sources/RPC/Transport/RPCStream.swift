internal import Core
internal import NIOCore

/// A message that has arrived, and the credit to give back when it is taken. It stays compressed until then: flow control bounds what
/// waits by its size on the wire.
struct InboundMessage {
    var bytes: ByteBuffer
    var credit: Int
    var isCompressed: Bool
}

/// A message, or the end of a stream, that waits for windows or socket.
struct PendingWrite {
    var bytes: ByteBuffer
    /// ZSTD for a compressed message, NO_MESSAGE for the end of the stream alone.
    var flags: FrameFlags
    var endStream: Bool
    /// A part of it is sent: the rest must follow.
    var isBegun = false
    /// Who waits until it is sent; nil when nobody does.
    var waiter: Waiter?

    struct Waiter {
        let wait: StreamWait
        let continuation: UnsafeContinuation<Void, any Error>
    }
}

/// One call on one connection, either end. Confined to the connection's loop, which is what makes it safe to share.
class RPCStream: DeadlineEntry, @unchecked Sendable {
    @exclusivity(unchecked) final var id: UInt32
    /// Streams outlive their connection in the hands of readers and writers. The connection lets go of a stream when it ends.
    final let connection: Connection
    // Inbound: messages that are complete, the one that is not, and who waits for the next.
    @exclusivity(unchecked) final private(set) var inbound = Fifo<InboundMessage>()
    @exclusivity(unchecked) final private var partial: ByteBuffer?
    @exclusivity(unchecked) final private var partialIsCompressed = false
    /// Messages at the end of `inbound` that may be slices of the buffer that is being read from, and whether the connection knows.
    @exclusivity(unchecked) final private var freshMessages = 0
    @exclusivity(unchecked) final private var isToCompact = false
    @exclusivity(unchecked) final private var reader:
        (wait: StreamWait, continuation: UnsafeContinuation<ByteBuffer?, any Error>)?
    @exclusivity(unchecked) final private(set) var receiveWindow: ReceiveWindow
    /// Bytes that are complete or partial here and not taken.
    @exclusivity(unchecked) final private(set) var inboundBytes = 0
    /// The peer will send no more messages.
    @exclusivity(unchecked) final private(set) var remoteClosed = false
    // Outbound.
    @exclusivity(unchecked) final var sendWindow: SendWindow
    @exclusivity(unchecked) final var pending = Fifo<PendingWrite>()
    /// Bytes of messages that wait to be sent.
    final var pendingBytes: Int { pending.reduce(0) { $0 + $1.bytes.readableBytes } }
    /// A message or a part of one was sent: HEADERS may not follow.
    @exclusivity(unchecked) final var hasSentData = false
    /// In the connection's round of streams with pending writes.
    @exclusivity(unchecked) final var isQueued = false
    /// We will send no more messages.
    @exclusivity(unchecked) final private(set) var localClosed = false
    /// `didSendAll` is called once nothing waits to be sent.
    @exclusivity(unchecked) final var endsWhenSent = false
    /// How the call ended or broke; set once. → `succeeded` or `failed`.
    enum Outcome {
        case open
        case succeeded
        case failed(Failure)
    }
    @exclusivity(unchecked) final private(set) var outcome = Outcome.open
    @exclusivity(unchecked) final var headers = Metadata()
    @exclusivity(unchecked) final var trailers = Metadata()

    init(id: UInt32, connection: Connection) {
        self.id = id
        self.connection = connection
        receiveWindow = connection.streamReceiveWindow
        sendWindow = SendWindow(bytes: connection.peer.streamWindowBytes)
    }

    final override func deadlineExpired() { connection.deadlineExpired(self) }

    /// Whether the call goes on.
    final var isOpen: Bool {
        if case .open = outcome { return true }
        return false
    }

    final var failure: Failure? {
        if case .failed(let failure) = outcome { return failure }
        return nil
    }

    /// The connection is gone.
    func connectionClosed(_ failure: Failure) { end(failure) }

    /// A message has begun and is not complete.
    final var isInsideMessage: Bool { partial != nil }

    /// The one message of a call that has one is here, or will not come.
    final var hasWholeRequest: Bool { !inbound.isEmpty || remoteClosed }

    // MARK: Inbound

    /// A frame's payload. `counted` payload (DATA) counts against the flow-control windows.
    final func receive(_ payload: ByteBuffer, flags: FrameFlags, counted: Bool) throws(ProtocolViolation) {
        guard !remoteClosed else { throw ProtocolViolation("a message arrived on stream \(id) after its end") }
        let count = payload.readableBytes
        if counted { try receiveWindow.consume(count) }
        if flags.contains(.endMessage) {
            try receiveLast(payload, flags, credit: counted ? count : 0)
        } else if !flags.contains(.noMessage) {
            // The bytes of an incomplete message are credited at once: waiting for its end would deadlock on a message larger than the window.
            try append(payload, flags)
            if counted { giveBack(count) }
        } else if count > 0 || flags.contains(.zstd) {
            throw ProtocolViolation("a frame of stream \(id) says it has no message and carries \(count) bytes")
        }
        if flags.contains(.endStream) { try closeRemote() }
    }

    private func receiveLast(_ payload: ByteBuffer, _ flags: FrameFlags, credit: Int) throws(ProtocolViolation) {
        var message = payload
        if partial != nil {
            try append(payload, flags)
            // Empty when the message was too large: the stream has failed then.
            guard let whole = partial else { return connection.creditConnection(credit) }
            message = whole
            dropPartial()
        } else if !fits(payload.readableBytes) {
            return connection.creditConnection(credit)
        }
        let isCompressed = flags.contains(.zstd)
        if isCompressed {
            do {
                _ = try MessageCompressor.declaredBytes(message, messageBytesMax: connection.limits.messageBytesMax)
            } catch {
                connection.creditConnection(credit)
                connection.fail(self, Failure(wrapping: error))
                return
            }
        }
        deliver(InboundMessage(bytes: message, credit: credit, isCompressed: isCompressed))
    }

    private func append(_ payload: ByteBuffer, _ flags: FrameFlags) throws(ProtocolViolation) {
        guard isOpen else { return }
        let isCompressed = flags.contains(.zstd)
        if partial == nil {
            partial = payload
            partialIsCompressed = isCompressed
        } else {
            guard partialIsCompressed == isCompressed else {
                throw ProtocolViolation("a message of stream \(id) is compressed in one frame and not in another")
            }
            partial?.writeImmutableBuffer(payload)
        }
        compactLater()
        inboundBytes += payload.readableBytes
        connection.partialBytes += payload.readableBytes
        if !fits(partial?.readableBytes ?? 0) || !fitsBesideOthers() { dropPartial() }
    }

    private func dropPartial() {
        guard let partial else { return }
        inboundBytes -= partial.readableBytes
        connection.partialBytes -= partial.readableBytes
        self.partial = nil
    }

    /// Whether the incomplete messages of all streams together may be this large; the stream fails when not. Their bytes are credited when
    /// they arrive, so that no window bounds them.
    private func fitsBesideOthers() -> Bool {
        let most = RPCLimits.partialBytesMax(messageBytesMax: connection.limits.messageBytesMax)
        guard connection.partialBytes > most else { return true }
        connection.fail(
            self,
            Failure(
                .resourceExhausted, reason: "TOO_MUCH_UNFINISHED",
                "Messages that are not complete take more than \(most) bytes of this connection.",
                remedy: "Finish some messages before others are begun, or send smaller ones."))
        return false
    }

    /// Whether a message may be this large; the stream fails when not.
    private func fits(_ count: Int) -> Bool {
        guard count > connection.limits.messageBytesMax else { return true }
        connection.fail(
            self,
            Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "A message is larger than the receiver's limit of \(connection.limits.messageBytesMax) bytes.",
                remedy: "Send large things as a stream of smaller messages."))
        return false
    }

    private func closeRemote() throws(ProtocolViolation) {
        if partial != nil { throw ProtocolViolation("stream \(id) ended inside a message") }
        remoteClosed = true
        if inbound.isEmpty, let reader {
            self.reader = nil
            reader.continuation.resume(returning: nil)
        }
    }

    private func deliver(_ message: InboundMessage) {
        if !isOpen {
            giveBack(message.credit)
        } else if let reader {
            giveBack(message.credit)
            do {
                let bytes = try opened(message)
                self.reader = nil
                reader.continuation.resume(returning: bytes)
            } catch {
                // Tells the reader too.
                connection.fail(self, error)
            }
        } else {
            guard connection.queuedMessages < RPCLimits.queuedMessagesMax else { return tooManyMessages(message) }
            connection.queuedMessages += 1
            inboundBytes += message.bytes.readableBytes
            inbound.append(message)
            freshMessages += 1
            // That of a REQUEST is taken at once, as a rule; otherwise whoever starts the handler sees to it.
            if message.credit > 0 { compactLater() }
        }
    }

    private func tooManyMessages(_ message: InboundMessage) {
        connection.creditConnection(message.credit)
        connection.fail(
            self,
            Failure(
                .resourceExhausted, reason: "TOO_MANY_MESSAGES",
                "More than \(RPCLimits.queuedMessagesMax) messages of this connection wait to be read.",
                remedy: "Put more into each message, or send more slowly."))
    }

    private func opened(_ message: InboundMessage) throws(Failure) -> ByteBuffer {
        guard message.isCompressed else { return message.bytes }
        do {
            return try connection.loopContext.compressor.decompress(
                message.bytes, messageBytesMax: connection.limits.messageBytesMax)
        } catch { throw Failure(wrapping: error) }
    }

    private func compactLater() {
        guard !isToCompact else { return }
        isToCompact = true
        connection.streamsToCompact.append(self)
    }

    /// Copies what is here out of the buffers it was read into: a stream that is not read must not keep a megabyte for each byte of its own.
    final func compactInbound() {
        isToCompact = false
        if let partial, Self.wastes(partial) { self.partial = Self.copy(partial, room: partial.readableBytes) }
        inbound.updateLast(freshMessages) { if Self.wastes($0.bytes) { $0.bytes = Self.copy($0.bytes) } }
        freshMessages = 0
    }

    private static func wastes(_ bytes: ByteBuffer) -> Bool { bytes.storageCapacity > 4 * bytes.readableBytes + 1024 }

    private static func copy(_ bytes: ByteBuffer, room: Int = 0) -> ByteBuffer {
        guard bytes.readableBytes > 0 else { return ByteBuffer() }
        var copy = ByteBufferAllocator().buffer(capacity: bytes.readableBytes + room)
        copy.writeImmutableBuffer(bytes)
        return copy
    }

    /// Lets the peer send what was taken.
    private func giveBack(_ count: Int) {
        guard count > 0 else { return }
        connection.creditConnection(count)
        guard !remoteClosed, isOpen else { return }
        let credit = receiveWindow.credit(count)
        if credit > 0 { connection.sendWindow(stream: id, credit) }
    }

    /// The next message if it is here. On the loop.
    /// - Throws: INVALID_ARGUMENT `BAD_COMPRESSION`; the call has failed then.
    final func takeMessage() throws(Failure) -> ByteBuffer? {
        guard let message = inbound.removeFirst() else { return nil }
        connection.queuedMessages -= 1
        inboundBytes -= message.bytes.readableBytes
        giveBack(message.credit)
        guard message.isCompressed else { return message.bytes }
        do {
            return try opened(message)
        } catch {
            connection.fail(self, error)
            discardInbound()
            throw error
        }
    }

    /// The next message; nil after the last. One reader at a time.
    /// - Throws: how the call failed; CANCELLED when the task is cancelled and no message is here.
    final func next(isolation: isolated (any Actor)? = #isolation) async throws -> ByteBuffer? {
        if connection.loop.inEventLoop, let message = try takeMessage() { return message }
        let wait = StreamWait()
        return try await withTaskCancellationHandler {
            try await connection.onLoop { self.read(wait, $0) }
        } onCancel: {
            wait.giveUp()
            connection.execute { self.connection.readerWasCancelled(self, wait) }
        }
    }

    private func read(_ wait: StreamWait, _ continuation: UnsafeContinuation<ByteBuffer?, any Error>) {
        let taken = Result { () throws(Failure) in try takeMessage() }
        if case .failure(let failure) = taken {
            continuation.resume(throwing: failure)
        } else if case .success(let message?) = taken {
            continuation.resume(returning: message)
        } else if case .failed(let failure) = outcome {
            continuation.resume(throwing: failure)
        } else if remoteClosed || !isOpen {
            continuation.resume(returning: nil)
        } else if wait.isGivenUp {
            continuation.resume(throwing: StreamWait.cancelled)
        } else if reader != nil {
            continuation.resume(
                throwing: Failure(.internalError, reason: "TWO_READERS", "Two tasks read the same stream at once."))
        } else {
            reader = (wait, continuation)
        }
    }

    /// The reading task was cancelled. Who writes goes on.
    final func giveUpReading(_ wait: StreamWait) {
        guard let reader, reader.wait === wait else { return }
        self.reader = nil
        reader.continuation.resume(throwing: StreamWait.cancelled)
    }

    final func closeLocal() { localClosed = true }

    // MARK: End

    /// Ends the stream, with a failure or well: readers get what has arrived and then the outcome, writers the outcome now. Later calls
    /// do nothing. Who ends a stream whose messages nobody will read calls `discardInbound` too, or the connection's window shrinks.
    final func end(_ failure: Failure?) {
        guard isOpen else { return }
        if let failure { outcome = .failed(failure) } else { outcome = .succeeded }
        dropPartial()
        if !pending.isEmpty {
            let stopped = failure ?? Failure(.cancelled, reason: "STREAM_ENDED", "The peer ended the call.")
            while let write = pending.removeFirst() { write.waiter?.continuation.resume(throwing: stopped) }
        }
        if let reader {
            self.reader = nil
            if let failure {
                reader.continuation.resume(throwing: failure)
            } else {
                reader.continuation.resume(returning: nil)
            }
        }
        didEnd()
        didSend()
    }

    /// The outcome is set.
    func didEnd() {}
    /// Nothing waits to be sent any more, which was waited for.
    func didSendAll() {}

    /// Drops messages nobody will take, giving their credit back to the connection.
    final func discardInbound() {
        while let message = inbound.removeFirst() {
            connection.queuedMessages -= 1
            inboundBytes -= message.bytes.readableBytes
            connection.creditConnection(message.credit)
        }
    }
}
