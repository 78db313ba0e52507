internal import Core
internal import NIOCore

/// The body of a request while it arrives. Confined to the connection's loop, which is what makes it safe to share.
///
/// What arrives and is not taken stays here; the connection stops reading above `bufferedBytesMax`, so the sender waits for the taker.
final class RequestBody: @unchecked Sendable {
    static let bufferedBytesMax = 256 << 10
    /// Chunks smaller than this are joined with what follows: a sender of tiny chunks must not cause a message for each.
    private static let joinBytesMax = 4096

    private let loop: any EventLoop
    private var chunks = CircularBuffer<ByteBuffer>()
    private var buffered = 0
    private var outcome: Result<Void, any Error>?
    private var waiter: CheckedContinuation<Void, Never>?
    /// Called on the loop when there is room again.
    var onRoom: (() -> Void)?

    init(loop: any EventLoop) { self.loop = loop }

    var isFull: Bool { buffered > Self.bufferedBytesMax }

    func receive(_ chunk: ByteBuffer) {
        guard outcome == nil, chunk.readableBytes > 0 else { return }
        chunks.append(chunk)
        buffered += chunk.readableBytes
        wake()
    }

    /// Ends the body: after what has arrived for a success, at once for a failure. Later calls do nothing.
    func end(_ result: Result<Void, any Error>) {
        guard outcome == nil else { return }
        outcome = result
        if case .failure = result {
            chunks.removeAll()
            buffered = 0
        }
        wake()
    }

    private func wake() {
        let waiter = self.waiter
        self.waiter = nil
        waiter?.resume()
    }

    /// The next bytes, at most `bytesMax`; nil after the last.
    /// - Throws: what ended the body early.
    func next(bytesMax: Int) async throws -> ByteBuffer? {
        while true {
            if let chunk = take(bytesMax) { return chunk }
            if let outcome {
                try outcome.get()
                return nil
            }
            // One task reads a body.
            await withCheckedContinuation { waiter = $0 }
        }
    }

    private func take(_ bytesMax: Int) -> ByteBuffer? {
        guard var chunk = chunks.popFirst() else { return nil }
        if chunk.readableBytes > bytesMax {
            let part = chunk.readSlice(length: bytesMax)
            chunks.prepend(chunk)
            return account(part ?? ByteBuffer())
        }
        while chunk.readableBytes < Self.joinBytesMax, let following = chunks.first,
            chunk.readableBytes + following.readableBytes <= bytesMax
        {
            chunk.writeImmutableBuffer(following)
            chunks.removeFirst()
        }
        return account(chunk)
    }

    private func account(_ taken: ByteBuffer) -> ByteBuffer {
        let wasFull = isFull
        buffered -= taken.readableBytes
        if wasFull, !isFull { onRoom?() }
        return taken
    }
}
