internal import Core
internal import NIOCore

/// The asking end of a call.
final class ClientStream: RPCStream, @unchecked Sendable {
    /// Waits for the end of a call that has exactly one answer.
    @exclusivity(unchecked) private var answerReader: UnsafeContinuation<ByteBuffer, any Error>?
    /// From STATUS.
    @exclusivity(unchecked) var times: ServerTimes?
    /// What is known of how far the call came; final once it has ended.
    @exclusivity(unchecked) var progress = AttemptProgress.notSent
    /// Waits until the call has come to a milestone or ended.
    @exclusivity(unchecked) private var observer:
        (milestone: Milestone, continuation: UnsafeContinuation<Reached, Never>)?
    /// Told how the call ended; set before the stream is opened.
    @exclusivity(unchecked) var settlement: Settlement?
    /// Where the call went, if that is counted.
    var peer: PeerID? { settlement?.peer }

    enum Milestone {
        /// REQUEST is written.
        case opened
        /// The first HEADERS, DATA or STATUS OK has come.
        case answered
    }

    enum Reached: Sendable {
        case reached
        case failed(Failure, AttemptProgress)
    }

    init(connection: ClientConnection) { super.init(id: 0, connection: connection) }

    var client: ClientConnection { unsafeDowncast(connection, to: ClientConnection.self) }

    /// The one message of a call that has exactly one answer, once the call has ended well.
    func answer() async throws -> ByteBuffer {
        try await connection.onLoop { [self] (continuation: UnsafeContinuation<ByteBuffer, any Error>) in
            expectAnswer(continuation)
        }
    }

    /// Opens the call on its connection; returns when it has come to `milestone` or failed.
    func open(_ opening: ClientConnection.Opening, first: RawMessage?, until milestone: Milestone) async -> Reached {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                connection.execute { [self] in
                    observer = (milestone, continuation)
                    if isOpen { client.open(self, opening, first: first) } else { notifyEnd() }
                }
            }
        } onCancel: {
            cancel()
        }
    }

    /// Ends the call from any thread: nobody waits for it any more.
    func cancel() { connection.execute { self.client.cancel(self) } }

    /// The call has come to `milestone`. On the loop.
    func came(to milestone: Milestone) {
        guard let observer, observer.milestone == milestone else { return }
        self.observer = nil
        observer.continuation.resume(returning: .reached)
    }

    /// The first or a later part of an answer has come: a repeat would not be the same call.
    func hasAnswer() {
        guard progress != .answered else { return }
        progress = .answered
        came(to: .answered)
    }

    /// How far the call came; nil while it goes on.
    func finalProgress() async throws -> AttemptProgress? {
        try await connection.onLoop { $0.resume(returning: self.isOpen ? nil : self.progress) }
    }

    private func notifyEnd() {
        guard let observer else { return }
        self.observer = nil
        observer.continuation.resume(returning: failure.map { .failed($0, progress) } ?? .reached)
    }

    /// `continuation` gets the answer. On the loop.
    func expectAnswer(_ continuation: UnsafeContinuation<ByteBuffer, any Error>) {
        answerReader = continuation
        if !isOpen { giveAnswer() }
    }

    /// The answer of a call that ended well and that nobody else reads: taken without a queue.
    func end(answer: ByteBuffer) {
        guard inbound.isEmpty, let answerReader else { return end(queueing: answer) }
        self.answerReader = nil
        end(nil)
        answerReader.resume(returning: answer)
    }

    private func end(queueing answer: ByteBuffer) {
        // Only a peer that breaks the protocol answers after END_STREAM.
        try? receive(answer, flags: [.endMessage, .endStream], counted: false)
        end(nil)
    }

    override func didEnd() {
        notifyEnd()
        settlement?.settle(failure, progress)
        giveAnswer()
    }

    private func giveAnswer() {
        guard let answerReader else { return }
        self.answerReader = nil
        if let failure {
            discardInbound()
            answerReader.resume(throwing: failure)
            return
        }
        let count = inbound.count
        do {
            guard count == 1, let message = try takeMessage() else {
                throw Failure(
                    .internalError, reason: "NOT_ONE_MESSAGE",
                    "The service answered with \(count) messages instead of one.")
            }
            answerReader.resume(returning: message)
        } catch {
            discardInbound()
            answerReader.resume(throwing: error)
        }
    }
}
