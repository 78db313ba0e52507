internal import Core
internal import NIOCore

/// What ends a call on the wire: STATUS, with the reply where there is one.
extension ServerConnection {
    /// False when the reply is too large for one frame or for the peer; nothing is written then.
    func writeReply(_ reply: some WireMessage, on stream: ServerStream) -> Bool {
        guard !isClosed, stream.isOpen else { return true }
        let start = beginFrame(.status, [.endMessage, .endStream], stream: stream.id)
        let elapsed = stream.receivedAt.nanosecondsElapsed(to: loopContext.now())
        let metaLength = writeOKMeta(stream, elapsed)
        let messageStart = outbound.writerIndex
        reply.encode(into: &outbound)
        let messageLength = outbound.writerIndex - messageStart
        guard frameLength(start) <= peer.frameBytesMax, messageLength <= peer.messageBytesMax,
            !compresses || messageLength < MessageCompressor.messageBytesMin
        else {
            dropFrame(start)
            return compressReply(stream, reply, elapsed)
        }
        endFrame(start, metaLength: metaLength)
        release(stream, nil, elapsed)
        return true
    }

    /// A reply that may be worth compressing and then fits into one frame. False when it takes DATA frames.
    private func compressReply(_ stream: ServerStream, _ reply: some WireMessage, _ elapsed: Int64) -> Bool {
        guard compresses else { return false }
        var payload = reply.encoded()
        guard payload.readableBytes <= min(peer.frameBytesMax, peer.messageBytesMax) else { return false }
        var flags: FrameFlags = [.endMessage, .endStream]
        if let smaller = loopContext.compressor.compress(payload) {
            payload = smaller
            flags.insert(.zstd)
        }
        let start = beginFrame(.status, flags, stream: stream.id)
        let metaLength = writeOKMeta(stream, elapsed)
        outbound.writeImmutableBuffer(payload)
        guard frameLength(start) <= peer.frameBytesMax else {
            dropFrame(start)
            return false
        }
        endFrame(start, metaLength: metaLength)
        release(stream, nil, elapsed)
        return true
    }

    /// Writes STATUS without a message; returns the nanoseconds since the request arrived.
    func writeStatus(_ stream: ServerStream, _ failure: Failure?) -> Int64 {
        let elapsed = stream.receivedAt.nanosecondsElapsed(to: loopContext.now())
        writeStatus(statusMeta(stream, failure, elapsed), stream: stream.id)
        return elapsed
    }

    func writeStatus(_ whole: StatusMeta, stream: UInt32) {
        var meta = whole
        let start = beginFrame(.status, [.endStream, .noMessage], stream: stream)
        var metaLength = meta.encode(into: &outbound)
        // Texts and metadata together can exceed what they may alone: how the call ended counts more, and why more than what to do.
        let shortenings: [(inout StatusMeta) -> Void] = [{ $0.dropMetadata() }, { $0.shortenTexts() }]
        for shorten in shortenings where metaLength > sentMetaBytesMax {
            outbound.moveWriterIndex(to: start + FrameHeader.bytes)
            shorten(&meta)
            metaLength = meta.encode(into: &outbound)
        }
        endFrame(start, metaLength: metaLength)
    }

    private func writeOKMeta(_ stream: ServerStream, _ elapsed: Int64) -> Int {
        let queued = stream.receivedAt.nanosecondsElapsed(to: stream.startedAt)
        return StatusMeta.encodeOK(
            serverMicroseconds: UInt64(max(0, elapsed - queued) / 1000), queueMicroseconds: UInt64(queued / 1000),
            metadata: stream.trailers, into: &outbound)
    }

    private func statusMeta(_ stream: ServerStream, _ failure: Failure?, _ elapsed: Int64) -> StatusMeta {
        var meta = StatusMeta(failure: failure, metadata: stream.trailers)
        let queued = stream.queuedNanoseconds(elapsed)
        meta.serverMicroseconds = UInt64(max(0, elapsed - queued) / 1000)
        meta.queueMicroseconds = UInt64(queued / 1000)
        meta.isRefused = stream.isRefused
        return meta
    }
}
