internal import Core
internal import NIOCore

/// What one end sends on a stream: messages one after the other, each with a task that may wait for it.
extension RPCStream {
    /// Sends one message, or only the end of the stream when `bytes` is nil; returns when windows and socket have taken it.
    ///
    /// A task that is cancelled waits no longer, and nothing else of the call notices: a message of which nothing is sent yet is not sent;
    /// the rest of one that has begun follows, since the peer could not tell a part from the whole, and so does the end.
    /// - Throws: how the call failed; CANCELLED when the task is cancelled before the message is sent.
    final func send(_ bytes: ByteBuffer?, isCompressed: Bool = false, endStream: Bool) async throws {
        let wait = StreamWait()
        try await withTaskCancellationHandler {
            try await connection.onLoop { [self] (continuation: UnsafeContinuation<Void, any Error>) in
                if let refusal = refusalToSend(wait) {
                    continuation.resume(throwing: refusal)
                    return
                }
                if endStream { closeLocal() }
                connection.enqueue(
                    bytes, isCompressed: isCompressed, endStream: endStream, on: self,
                    PendingWrite.Waiter(wait: wait, continuation: continuation))
            }
        } onCancel: {
            wait.giveUp()
            connection.execute { self.giveUpWriting(wait) }
        }
    }

    private func refusalToSend(_ wait: StreamWait) -> Failure? {
        switch outcome {
        case .failed(let failure): return failure
        case .succeeded:
            return Failure(.cancelled, reason: "STREAM_ENDED", "The peer ended the call; it takes no more messages.")
        case .open: break
        }
        guard !localClosed else {
            return Failure(
                .internalError, reason: "STREAM_CLOSED", "A message was written after the end of the stream.")
        }
        return wait.isGivenUp ? StreamWait.cancelled : nil
    }

    /// The writing task was cancelled. Who reads, and who writes besides, goes on.
    private func giveUpWriting(_ wait: StreamWait) {
        var given: PendingWrite.Waiter?
        pending.replaceAll { write in
            guard let waiter = write.waiter, waiter.wait === wait else { return write }
            given = waiter
            guard write.isBegun || write.endStream else { return nil }
            var rest = write
            rest.waiter = nil
            return rest
        }
        guard let given else { return }
        given.continuation.resume(throwing: StreamWait.cancelled)
        didSend()
        // What stood behind it may need no window, as the end of the stream.
        if !pending.isEmpty, id != 0 {
            connection.join(self)
            connection.pump()
        }
    }

    /// Something left the queue of what waits to be sent.
    func didSend() {
        guard endsWhenSent, pending.isEmpty else { return }
        endsWhenSent = false
        didSendAll()
    }
}
