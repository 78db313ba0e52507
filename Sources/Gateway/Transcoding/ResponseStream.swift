internal import Core
internal import NIOCore
internal import RPC

/// A stream of replies as an answer: server-sent events, NDJSON, or the one field of the last message. Confined to the exchange's loop.
final class ResponseStream: @unchecked Sendable {
    enum Format: Sendable {
        case events
        case lines
        case single

        /// - Parameter hasSingle: the method names the field that stands for the whole stream.
        init(_ accept: Accept, hasSingle: Bool) throws {
            let offered = (hasSingle ? ["application/json"] : []) + ["application/x-ndjson", "text/event-stream"]
            switch accept.choose(offered) {
            case "application/json": self = .single
            case "application/x-ndjson": self = .lines
            case "text/event-stream": self = .events
            default: throw Transcoder.notAcceptable(offered)
            }
        }

        var contentType: String {
            switch self {
            case .events: "text/event-stream"
            case .lines: "application/x-ndjson"
            case .single: "application/json"
            }
        }
    }

    private let exchange: Exchange
    private let format: Format
    private let type: String
    private let field: String
    private let keepAlive: TimeAmount
    private var timer: RepeatedTask?
    private var isQuiet = false
    private var count = 0

    init(_ exchange: Exchange, _ format: Format, type: String, field: String, keepAliveSeconds: Double) {
        self.exchange = exchange
        self.format = format
        self.type = type
        self.field = field
        keepAlive = .milliseconds(Int64(keepAliveSeconds * 1000))
    }

    /// Writes every message, then the end. A failure before anything was written is thrown; later it becomes the last event.
    func run(_ reader: ResponseReader<RawMessage>) async throws {
        if case .single = format { return try await runSingle(reader) }
        startKeepAlive()
        defer { timer?.cancel() }
        do {
            while let message = try await reader.next() { try await write(message.bytes) }
        } catch {
            guard exchange.hasBegun else { throw error }
            return try await fail(HTTPRefusal(wrapping: error))
        }
        begin()
        if case .events = format { try await exchange.write(ByteBuffer(string: "event: end\ndata: {}\n\n")) }
        exchange.end()
    }

    private func runSingle(_ reader: ResponseReader<RawMessage>) async throws {
        var last: [UInt8]?
        while let message = try await reader.next() {
            if let value = try MessageJSON.encode(message.bytes, type: type, field: field) { last = value }
        }
        guard let last else {
            throw Failure(.internalError, reason: "NO_ANSWER", "The service ended the stream without its \(field).")
        }
        exchange.answer(.json(last))
    }

    private func begin() {
        exchange.begin(
            status: 200, headers: [("Content-Type", format.contentType), ("X-Accel-Buffering", "no")])
    }

    private func write(_ message: ByteBuffer) async throws {
        let json = try await Transcoder.json(message, type, "")
        begin()
        isQuiet = false
        count += 1
        var buffer = ByteBuffer()
        buffer.reserveCapacity(json.count + 64)
        if case .events = format {
            // The member of a choice is the kind of event; without a choice there is one kind.
            let kind = try MessageJSON.chosenMember(message, type: type) ?? "message"
            buffer.writeString("event: \(kind)\nid: \(count)\ndata: ")
            buffer.writeBytes(json)
            buffer.writeString("\n\n")
        } else {
            buffer.writeBytes(json)
            buffer.writeString("\n")
        }
        try await exchange.write(buffer)
    }

    private func fail(_ refusal: HTTPRefusal) async throws {
        exchange.note(refusal.failure)
        let problem = Problem.json(refusal.failure, status: refusal.status, exchange.identity)
        var buffer = ByteBuffer()
        if case .events = format {
            buffer.writeString("event: error\ndata: ")
            buffer.writeBytes(problem)
            buffer.writeString("\n\n")
        } else {
            buffer.writeString("{\"error\":")
            buffer.writeBytes(problem)
            buffer.writeString("}\n")
        }
        try await exchange.write(buffer)
        exchange.end()
    }

    /// Comments keep proxies from closing a stream that is quiet, and find out that a client is gone.
    private func startKeepAlive() {
        guard case .events = format else { return }
        timer = exchange.loop.scheduleRepeatedTask(initialDelay: keepAlive, delay: keepAlive) { [weak self] _ in
            guard let self, !self.exchange.isFinished else { return }
            if self.isQuiet {
                self.begin()
                self.exchange.writeNow(ByteBuffer(string: ": keep-alive\n\n"))
            }
            self.isQuiet = true
        }
    }
}
