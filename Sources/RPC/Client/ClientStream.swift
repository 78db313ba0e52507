internal import Core
internal import NIOCore

/// The asking end of a call.
final class ClientStream: RPCStream, @unchecked Sendable {
    /// Waits for the end of a call that has exactly one answer.
    @exclusivity(unchecked) private var answerReader: UnsafeContinuation<ByteBuffer, any Error>?
    /// From STATUS.
    @exclusivity(unchecked) var serverMicroseconds: UInt64 = 0
    @exclusivity(unchecked) var queueMicroseconds: UInt64 = 0
    /// A byte of the answer has come: a repeat would not be the same call.
    @exclusivity(unchecked) var hasAnswer = false
    /// The server never looked at the call: a repeat is safe whatever the method.
    @exclusivity(unchecked) var wasNotProcessed = false

    init(connection: ClientConnection) { super.init(id: 0, connection: connection) }

    var client: ClientConnection { unsafeDowncast(connection, to: ClientConnection.self) }

    /// The one message of a call that has exactly one answer, once the call has ended well.
    func answer() async throws -> ByteBuffer {
        try await connection.onLoop { [self] (continuation: UnsafeContinuation<ByteBuffer, any Error>) in
            expectAnswer(continuation)
        }
    }

    /// `continuation` gets the answer. On the loop.
    func expectAnswer(_ continuation: UnsafeContinuation<ByteBuffer, any Error>) {
        answerReader = continuation
        if !isOpen { didEnd() }
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
