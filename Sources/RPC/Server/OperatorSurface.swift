internal import Core
public import NIOCore
internal import NIOHTTP1

/// The HTTP face for operators on a service port: `/metrics`, `/healthz`, `/readyz`, `/version`. GET and HEAD only.
public struct OperatorSurface: Sendable {
    public struct Response: Sendable {
        public var status: Int
        public var contentType: String
        public var body: [UInt8]

        public init(status: Int, contentType: String, body: [UInt8]) {
            self.status = status
            self.contentType = contentType
            self.body = body
        }
    }

    /// By path.
    private let routes: [String: @Sendable () async -> Response]

    public init(routes: [String: @Sendable () async -> Response]) { self.routes = routes }

    /// Makes `channel` answer HTTP; for `RPCServer.Configuration.httpFallback`.
    public func configure(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withPipeliningAssistance: true, withErrorHandling: true)
        try channel.pipeline.syncOperations.addHandler(Handler(routes: routes))
    }

    private final class Handler: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let routes: [String: @Sendable () async -> Response]
        private var head: HTTPRequestHead?
        private var idleTimer: Scheduled<Void>?
        private static let idleSeconds: Int64 = 30

        init(routes: [String: @Sendable () async -> Response]) { self.routes = routes }

        func handlerAdded(context: ChannelHandlerContext) { restartIdleTimer(context) }
        func handlerRemoved(context: ChannelHandlerContext) { idleTimer?.cancel() }

        func channelInactive(context: ChannelHandlerContext) {
            idleTimer?.cancel()
            context.fireChannelInactive()
        }

        private func restartIdleTimer(_ context: ChannelHandlerContext) {
            idleTimer?.cancel()
            let channel = context.channel
            idleTimer = context.eventLoop.scheduleTask(in: .seconds(Self.idleSeconds)) { channel.close(promise: nil) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                restartIdleTimer(context)
            case .body: break  // Nothing here takes a body.
            case .end:
                guard let head else { return }
                self.head = nil
                answer(head, context.channel, NIOLoopBound(context, eventLoop: context.eventLoop))
            }
        }

        private func answer(
            _ head: HTTPRequestHead, _ channel: any Channel, _ context: NIOLoopBound<ChannelHandlerContext>
        ) {
            let path = String(head.uri.prefix { $0 != "?" })
            let route = routes[path]
            let known = routes.keys.sorted().joined(separator: " ")
            let loop = channel.eventLoop
            Task {
                var response = Response(
                    status: 404, contentType: "text/plain", body: Array("Known paths: \(known)\n".utf8))
                if head.method != .GET, head.method != .HEAD {
                    response = Response(
                        status: 405, contentType: "text/plain", body: Array("Only GET and HEAD.\n".utf8))
                } else if let route {
                    response = await route()
                }
                let answered = response
                loop.execute { self.write(answered, to: head, context.value) }
            }
        }

        private func write(_ response: Response, to request: HTTPRequestHead, _ context: ChannelHandlerContext) {
            guard context.channel.isActive else { return }
            var headers = HTTPHeaders()
            headers.add(name: "Content-Type", value: response.contentType)
            headers.add(name: "Content-Length", value: String(response.body.count))
            headers.add(name: "X-Content-Type-Options", value: "nosniff")
            headers.add(name: "Cache-Control", value: "no-store")
            if !request.isKeepAlive { headers.add(name: "Connection", value: "close") }
            let head = HTTPResponseHead(
                version: request.version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            if request.method != .HEAD {
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: response.body)))), promise: nil)
            }
            let channel = context.channel
            let done = context.writeAndFlush(wrapOutboundOut(.end(nil)))
            if !request.isKeepAlive { done.whenComplete { _ in channel.close(promise: nil) } }
        }
    }
}
