import Core
import NIOCore

@testable import RPC

/// Handlers for ends on an embedded loop: all wait for messages, or for the test, and for nothing else. Confined to the loop.
final class EmbeddedService: @unchecked Sendable {
    static let echo = method("Echo")
    static let hold = method("Hold")
    static let collect = method("Collect", client: true)
    static let chat = method("Chat", client: true, server: true)
    static let count = method("Count", server: true)

    private static func method(_ name: String, client: Bool = false, server: Bool = false) -> MethodDescriptor {
        MethodDescriptor(
            path: "/embedded.Service/\(name)", service: "embedded.Service", name: name, requestType: "",
            responseType: "", clientStreaming: client, serverStreaming: server, access: .open, idempotent: false,
            uploadStartField: "", uploadDataField: "", httpRules: [])
    }

    private var held: [UnsafeContinuation<Void, Never>] = []
    /// Bytes of the messages that `Collect` has read.
    private(set) var collected = 0
    private(set) var running = 0
    /// `Collect` reads nothing before it is let go.
    var collectsLater = false
    /// Bytes of the reply of `Hold`.
    var replyBytes = 0

    var isHolding: Bool { !held.isEmpty }

    /// Lets every handler that is held go on.
    func letGo() {
        let held = self.held
        self.held = []
        for continuation in held { continuation.resume() }
    }

    private func hold() async { await withUnsafeContinuation { held.append($0) } }

    var router: ServiceRouter {
        var router = ServiceRouter()
        router.unary(Self.echo) { (request: RawMessage, _) in request }
        router.unary(Self.hold) { [self] (_: RawMessage, _) -> RawMessage in
            running += 1
            defer { running -= 1 }
            await hold()
            return RawMessage(ByteBuffer(repeating: 0x7A, count: replyBytes))
        }
        router.clientStreaming(Self.collect) { [self] (requests: RequestReader<RawMessage>, _) -> RawMessage in
            if collectsLater { await hold() }
            for try await request in requests { collected += request.bytes.readableBytes }
            return RawMessage(ByteBuffer(integer: UInt64(collected)))
        }
        router.bidirectional(Self.chat) {
            (requests: RequestReader<RawMessage>, replies: ResponseWriter<RawMessage>, _) in
            for try await request in requests { try await replies.write(request) }
        }
        router.serverStreaming(Self.count) { (request: RawMessage, replies: ResponseWriter<RawMessage>, _) in
            for _ in 0..<10 { try await replies.write(request) }
        }
        return router
    }

}
