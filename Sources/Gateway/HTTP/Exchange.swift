internal import Core
internal import NIOCore
internal import NIOHTTP1

/// A request that was understood.
struct HTTPRequest: Sendable {
    var verb: String
    var target: RequestTarget
    var headers: HTTPHeaders
    var framing: RequestCheck.Framing

    var hasBody: Bool { framing != .none }

    /// The one value of a header; nil when it is absent.
    /// - Throws: `HTTPRefusal` 400 when it occurs twice.
    func single(_ name: String) throws -> String? {
        let values = headers[name]
        guard values.count <= 1 else {
            throw HTTPRefusal(status: 400, reason: "AMBIGUOUS_HEADER", "The request has more than one \(name) header.")
        }
        return values.first
    }
}

/// A whole answer.
struct HTTPAnswer: Sendable {
    var status = 200
    var headers: [(String, String)] = []
    var body = ByteBuffer()

    static func json(_ bytes: [UInt8], status: Int = 200) -> HTTPAnswer {
        HTTPAnswer(status: status, headers: [("Content-Type", "application/json")], body: ByteBuffer(bytes: bytes))
    }
}

/// One request and its answer. Confined to the connection's loop; its task runs there.
final class Exchange: @unchecked Sendable {
    private enum State {
        /// → `streaming` by `begin`, → `finished` by `answer`.
        case waiting
        /// → `finished` by `end` or the loss of the connection.
        case streaming
        case finished
    }

    let loop: any EventLoop
    let identity: RequestIdentity
    let body: RequestBody
    let startedAt = MonotonicTime.now()
    let isHead: Bool
    let verb: String
    /// Route pattern for metrics and logs; never a path.
    var pattern = "unmatched"
    /// What the call ended with, for metrics and logs.
    private(set) var failure: Failure?
    private(set) var status = 0
    private(set) var bytesOut = 0
    private var state = State.waiting
    private unowned let connection: HTTPConnection

    init(connection: HTTPConnection, loop: any EventLoop, identity: RequestIdentity, verb: String) {
        self.connection = connection
        self.loop = loop
        self.identity = identity
        self.verb = verb
        isHead = verb == "HEAD"
        body = RequestBody(loop: loop)
    }

    var hasBegun: Bool {
        if case .waiting = state { return false }
        return true
    }

    var isFinished: Bool {
        if case .finished = state { return true }
        return false
    }

    /// Answers as a whole. Does nothing when an answer was begun.
    func answer(_ answer: HTTPAnswer, closes: Bool = false) {
        loop.preconditionInEventLoop()
        guard case .waiting = state else { return }
        state = .finished
        status = answer.status
        bytesOut = answer.body.readableBytes
        connection.write(answer, of: self, closes: closes)
    }

    /// Answers with a problem; when the answer was begun already, the only honest end is to break the connection.
    func fail(_ refusal: HTTPRefusal) {
        loop.preconditionInEventLoop()
        failure = refusal.failure
        switch state {
        case .waiting:
            let json = Problem.json(refusal.failure, status: refusal.status, identity)
            answer(
                HTTPAnswer(
                    status: refusal.status, headers: [("Content-Type", Problem.contentType)] + refusal.headers,
                    body: ByteBuffer(bytes: json)),
                closes: refusal.closes)
        case .streaming: connection.abort()
        case .finished: break
        }
    }

    /// Begins an answer whose length is not known.
    func begin(status: Int, headers: [(String, String)]) {
        loop.preconditionInEventLoop()
        guard case .waiting = state else { return }
        state = .streaming
        self.status = status
        connection.writeHead(status: status, headers: headers, of: self)
    }

    /// Writes a part of an answer that was begun; returns when the client has taken enough to go on.
    /// - Throws: `CancellationError` when the client is gone.
    func write(_ bytes: ByteBuffer) async throws {
        guard case .streaming = state else { throw CancellationError() }
        bytesOut += bytes.readableBytes
        try await connection.writeBody(bytes)
    }

    /// Writes without waiting, for keep-alives.
    func writeNow(_ bytes: ByteBuffer) {
        guard case .streaming = state else { return }
        bytesOut += bytes.readableBytes
        connection.writeBodyNow(bytes)
    }

    /// Says that a streamed answer carries this failure.
    func note(_ failure: Failure) { self.failure = failure }

    func end() {
        guard case .streaming = state else { return }
        state = .finished
        connection.writeEnd(of: self)
    }

    /// The connection is gone; nothing can be answered any more.
    func lost() {
        if failure == nil, !isFinished {
            failure = Failure(.cancelled, reason: "CLIENT_GONE", "The client closed the connection.")
        }
        if status == 0 { status = StatusCode.cancelled.httpStatus }
        state = .finished
        body.end(.failure(CancellationError()))
    }
}
