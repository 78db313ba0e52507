internal import Core
internal import NIOCore
internal import NIOHTTP1
internal import RPC

/// What is done with a request once its head was understood.
enum Handling: Sendable {
    /// Answer now; a body is refused.
    case answer(HTTPAnswer)
    /// Collect the body, at most so many bytes, then run.
    case buffered(bytesMax: Int, @Sendable (Exchange, ByteBuffer) async throws -> Void)
    /// Run at once; the body is read while it arrives.
    case streamed(bytesMax: Int, @Sendable (Exchange) async throws -> Void)
}

/// One HTTP/1.1 connection: one request at a time, the next when the answer is out. Confined to its loop.
final class HTTPConnection: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = Never
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPServerResponsePart

    private enum Intake {
        /// Between requests.
        case none
        case buffering(ByteBuffer, bytesMax: Int, @Sendable (Exchange, ByteBuffer) async throws -> Void)
        case streaming(bytesLeft: Int)
        /// The request was answered, or cannot be: what still comes of it is dropped.
        case discarding
        /// All of the request is here.
        case complete
    }

    let gateway: HTTPGateway.Shared
    private let executor: LoopExecutor
    private let loop: any EventLoop
    let pace: ClientPace
    private var context: ChannelHandlerContext?
    private var exchange: Exchange?
    private var intake = Intake.none
    private var task: Task<Void, Never>?
    private var keepsAlive = true
    private var isHTTP10 = false
    private var isReadHeld = false
    private var isClosing = false
    private var isDraining = false
    private var writers: [CheckedContinuation<Void, any Error>] = []

    init(gateway: HTTPGateway.Shared, executor: LoopExecutor, pace: ClientPace) {
        self.gateway = gateway
        self.executor = executor
        self.pace = pace
        loop = executor.loop
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        gateway.connections.insert(self)
        pace.start(self, context.channel)
    }

    func handlerRemoved(context: ChannelHandlerContext) { lost() }

    func channelInactive(context: ChannelHandlerContext) {
        lost()
        context.fireChannelInactive()
    }

    private func lost() {
        guard context != nil else { return }
        context = nil
        isClosing = true
        pace.stop()
        gateway.connections.remove(self)
        let waiting = writers
        writers = []
        for writer in waiting { writer.resume(throwing: CancellationError()) }
        if let exchange {
            self.exchange = nil
            exchange.lost()
            // Ends the call behind it: nobody is there to take the answer.
            task?.cancel()
            gateway.observer.finished(exchange)
        }
        task = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else { return abort() }
        guard !isClosing else { return }
        let refusal =
            (error as? HTTPParserError) == .headerOverflow
            ? HTTPRefusal(
                status: 431, reason: "HEADERS_TOO_LARGE", "The request's URI or headers are larger than is accepted.",
                closes: true)
            : HTTPRefusal.malformed("MALFORMED_HTTP", "The request is not well-formed HTTP/1.1.")
        if let exchange {
            // In the middle of a body.
            exchange.body.end(.failure(refusal))
            intake = .discarding
            task?.cancel()
            exchange.fail(refusal)
        } else {
            refuse(Exchange(connection: self, loop: loop, identity: RequestIdentity(), verb: ""), refusal)
        }
    }

    /// Closes when idle, or after the answer in progress.
    func drain() {
        loop.execute { [self] in
            isDraining = true
            if exchange == nil { abort() }
        }
    }

    func closeNow() { loop.execute { self.abort() } }

    func abort() {
        isClosing = true
        context?.close(promise: nil)
    }

    // MARK: Requests

    func read(context: ChannelHandlerContext) {
        // Not reading is what makes the sender wait.
        if exchange?.body.isFull == true { isReadHeld = true } else { context.read() }
    }

    private func resumeReading() {
        guard isReadHeld, let context else { return }
        isReadHeld = false
        pace.isHeld = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): receive(head)
        case .body(let bytes): receive(bytes)
        case .end: receiveEnd()
        }
    }

    private func receive(_ head: HTTPRequestHead) {
        guard !isClosing else { return }
        pace.enter(.body)
        keepsAlive = head.isKeepAlive && !isDraining && !head.headers.contains(name: "upgrade")
        isHTTP10 = head.version.minor == 0
        let exchange = Exchange(
            connection: self, loop: loop, identity: RequestIdentity(head.headers), verb: head.method.rawValue)
        intake = .discarding
        do {
            let (framing, host) = try RequestCheck.check(head)
            // Without a body the end is only a formality, and an answer may go before it.
            if framing == .none { intake = .complete }
            let request = HTTPRequest(
                verb: head.method.rawValue, target: try RequestTarget(head.uri, host: host), headers: head.headers,
                framing: framing)
            start(exchange, request, try gateway.admit(request, exchange))
        } catch {
            refuse(exchange, HTTPRefusal(wrapping: error))
        }
    }

    private func refuse(_ exchange: Exchange, _ refusal: HTTPRefusal) {
        self.exchange = exchange
        exchange.fail(refusal)
    }

    private func start(_ exchange: Exchange, _ request: HTTPRequest, _ handling: Handling) {
        self.exchange = exchange
        switch handling {
        case .answer(let answer): exchange.answer(answer)
        case .buffered(let bytesMax, let run):
            guard fits(request, bytesMax) else { return exchange.fail(.tooLarge(bytesMax)) }
            intake = .buffering(ByteBuffer(), bytesMax: bytesMax, run)
            invite(request)
        case .streamed(let bytesMax, let run):
            guard fits(request, bytesMax) else { return exchange.fail(.tooLarge(bytesMax)) }
            intake = .streaming(bytesLeft: bytesMax)
            exchange.body.onRoom = { [weak self] in self?.resumeReading() }
            invite(request)
            self.run(exchange) { try await run(exchange) }
        }
    }

    private func fits(_ request: HTTPRequest, _ bytesMax: Int) -> Bool {
        if case .length(let length) = request.framing { return length <= bytesMax }
        return true
    }

    /// Tells a client that waits for it to send its body.
    private func invite(_ request: HTTPRequest) {
        guard request.hasBody, !isHTTP10, request.headers.contains(name: "expect"), let context else { return }
        context.writeAndFlush(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }

    private func receive(_ bytes: ByteBuffer) {
        switch intake {
        case .buffering(var buffer, let bytesMax, let run):
            intake = .discarding
            guard buffer.readableBytes + bytes.readableBytes <= bytesMax else {
                exchange?.fail(.tooLarge(bytesMax))
                return
            }
            if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeImmutableBuffer(bytes) }
            intake = .buffering(buffer, bytesMax: bytesMax, run)
        case .streaming(let bytesLeft):
            let left = bytesLeft - bytes.readableBytes
            intake = .streaming(bytesLeft: left)
            guard left >= 0 else {
                exchange?.body.end(.failure(HTTPRefusal.tooLarge(gateway.configuration.batchBytesMax)))
                return
            }
            exchange?.body.receive(bytes)
            pace.isHeld = exchange?.body.isFull == true
        case .none, .discarding, .complete: break
        }
    }

    private func receiveEnd() {
        let before = intake
        intake = .complete
        pace.enter(.working)
        guard let exchange else {
            // The answer went out before the request had ended; only then is it over.
            finishedBoth()
            return
        }
        switch before {
        case .buffering(let buffer, _, let run): self.run(exchange) { try await run(exchange, buffer) }
        case .streaming: exchange.body.end(.success(()))
        case .none, .discarding, .complete: break
        }
    }

    private func run(_ exchange: Exchange, _ body: @escaping @Sendable () async throws -> Void) {
        let context = exchange.identity.callContext(deadline: nil)
        let task = Task.immediate(executorPreference: executor) {
            await CallContext.$current.withValue(context) {
                do { try await body() } catch { exchange.fail(HTTPRefusal(wrapping: error)) }
            }
        }
        if self.exchange === exchange { self.task = task }
    }

    // MARK: Answers

    func write(_ answer: HTTPAnswer, of exchange: Exchange, closes: Bool) {
        if closes { keepsAlive = false }
        var headers = answer.headers
        if answer.status != 204 { headers.append(("Content-Length", String(answer.body.readableBytes))) }
        writeHead(status: answer.status, headers: headers, of: exchange)
        if !exchange.isHead, answer.body.readableBytes > 0, let context {
            pace.wrote(answer.body.readableBytes)
            context.write(wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil)
        }
        writeEnd(of: exchange)
    }

    func writeHead(status: Int, headers: [(String, String)], of exchange: Exchange) {
        guard let context else { return }
        // What is left of the request would be read as the next one.
        if case .complete = intake {} else { keepsAlive = false }
        var fields = HTTPHeaders(headers)
        gateway.securityHeaders.add(to: &fields)
        fields.add(name: "Date", value: HTTPDate.now())
        fields.add(name: "X-Request-Id", value: exchange.identity.requestID)
        fields.add(name: "traceparent", value: exchange.identity.trace.traceparent)
        if !keepsAlive || isHTTP10 { fields.add(name: "Connection", value: "close") }
        if isHTTP10 { keepsAlive = false }
        let head = HTTPResponseHead(
            version: isHTTP10 ? .http1_0 : .http1_1, status: HTTPResponseStatus(statusCode: status), headers: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
    }

    func writeBodyNow(_ bytes: ByteBuffer) {
        guard let context, bytes.readableBytes > 0 else { return }
        pace.wrote(bytes.readableBytes)
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
    }

    func writeBody(_ bytes: ByteBuffer) async throws {
        guard let context else { throw CancellationError() }
        writeBodyNow(bytes)
        guard !context.channel.isWritable else { return }
        try await withCheckedThrowingContinuation { writers.append($0) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            let waiting = writers
            writers = []
            for writer in waiting { writer.resume() }
        }
        context.fireChannelWritabilityChanged()
    }

    func writeEnd(of exchange: Exchange) {
        gateway.observer.finished(exchange)
        self.exchange = nil
        task = nil
        guard let context else { return }
        exchange.body.onRoom = nil
        let isComplete = if case .complete = intake { true } else { false }
        if !keepsAlive { isClosing = true }
        if isComplete { intake = .none }
        // Writing the end may hand us the next request before it returns.
        pace.enter(isComplete ? .idle : .body)
        let isLast = isClosing
        let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        resumeReading()
        if isLast { written.assumeIsolated().whenComplete { _ in self.linger() } }
    }

    private func finishedBoth() {
        intake = .none
        if !isClosing { pace.enter(.idle) }
    }

    /// Closes so that the client can read the answer: closing while bytes of it are unread would reset the connection and
    /// take the answer with it.
    private func linger() {
        guard let context else { return }
        let channel = context.channel
        context.close(mode: .output, promise: nil)
        context.eventLoop.scheduleTask(in: .milliseconds(gateway.configuration.lingerMs)) {
            channel.close(promise: nil)
        }
    }

    // MARK: Slow clients

    /// The client sends or takes too slowly.
    func tooSlow(_ phase: ClientPace.Phase) {
        guard let exchange, phase == .body else { return abort() }
        let refusal = HTTPRefusal(
            status: 408, code: .deadlineExceeded, reason: "SLOW_CLIENT", "The request's body did not arrive in time.",
            closes: true)
        intake = .discarding
        task?.cancel()
        exchange.body.end(.failure(refusal))
        exchange.fail(refusal)
    }
}
