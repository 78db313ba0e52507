internal import Core
internal import NIOCore

/// What the first byte of a connection says its protocol is.
enum FirstByte {
    case acp
    case http
    case tls
    case unknown

    /// Why a connection is not served: a sentence without its end.
    struct Refusal {
        let code: StatusCode
        let reason: String

        init(_ code: StatusCode, _ reason: String) {
            self.code = code
            self.reason = reason
        }
    }

    init(_ byte: UInt8) {
        switch byte {
        case Preface.firstByte: self = .acp
        // The record type of a handshake.
        case 0x16: self = .tls
        // Every HTTP method begins so.
        case 0x41...0x5A: self = .http
        default: self = .unknown
        }
    }

    /// Tells the peer in its own protocol why it is not served, and closes.
    func answer(_ refusal: Refusal, on channel: any Channel) {
        var bytes = ByteBuffer()
        let text = "Refused: \(refusal.reason).\r\n"
        switch self {
        case .acp:
            var meta = WireGoAway(refusal.code, refusal.reason).encoded()
            FrameHeader(
                length: meta.readableBytes, type: FrameType.goAway.rawValue, flags: [],
                metaLength: meta.readableBytes, stream: 0
            ).write(to: &bytes)
            bytes.writeBuffer(&meta)
        case .http:
            let status = refusal.code == .unavailable ? "503 Service Unavailable" : "400 Bad Request"
            bytes.writeString(
                "HTTP/1.1 \(status)\r\nContent-Type: text/plain\r\nContent-Length: \(text.utf8.count)\r\n"
                    + "Connection: close\r\n\r\n" + text)
        case .tls, .unknown: bytes.writeString(text)
        }
        channel.writeAndFlush(bytes).whenComplete { _ in channel.close(promise: nil) }
    }
}
