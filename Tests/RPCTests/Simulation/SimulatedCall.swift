import Core
import NIOCore
import NIOEmbedded

@testable import RPC

/// A caller: makes the call of a script over a real client's end, and says whether what came of it can be.
final class SimulatedCall: @unchecked Sendable {
    let script: CallScript
    private let link: SimulatedLink
    private let embedded: EmbeddedLoop
    let stream: ClientStream
    private var task: Task<Void, Never>?
    private(set) var deadline: MonotonicTime?
    /// nil for a good end.
    private(set) var failure: Failure?
    private(set) var timesEnded = 0
    private(set) var wasCancelled = false
    private(set) var hasStarted = false
    private(set) var problems: [String] = []
    /// The call has ended for its caller.
    private let onEnd: (SimulatedCall) -> Void

    init(
        _ script: CallScript, over link: SimulatedLink, on embedded: EmbeddedLoop,
        onEnd: @escaping (SimulatedCall) -> Void
    ) {
        self.script = script
        self.link = link
        self.embedded = embedded
        self.onEnd = onEnd
        stream = ClientStream(connection: link.client)
    }

    var isOver: Bool { timesEnded > 0 }

    func schedule() {
        embedded.loop.scheduleTask(in: .milliseconds(script.startMs)) { [self] in
            hasStarted = true
            if let timeout = script.timeoutMs { deadline = embedded.now.advanced(by: .milliseconds(timeout)) }
            task = Task.immediate(executorPreference: embedded.context.executor) {
                do { try await self.run() } catch { self.failure = Failure(wrapping: error) }
                self.timesEnded += 1
                self.judge()
                self.onEnd(self)
            }
        }
        guard let after = script.cancelAfterMs else { return }
        embedded.loop.scheduleTask(in: .milliseconds(script.startMs + after)) { [self] in
            guard !isOver else { return }
            wasCancelled = true
            task?.cancel()
        }
    }

    private func opening() throws -> ClientConnection.Opening {
        var meta = RequestMeta()
        try meta.metadata.add("script-bin", bytes: script.bytes)
        if let timeout = script.timeoutMs { meta.timeoutMicroseconds = UInt64(timeout) * 1000 }
        guard let method = SimulatedService.methods[script.path] else {
            preconditionFailure("every script has a method")
        }
        return ClientConnection.Opening(
            method: method, meta: meta, deadline: deadline, endStream: !script.kind.streamsRequests)
    }

    private func open(first: RawMessage?) throws { link.client.open(stream, try opening(), first: first) }

    private func run() async throws {
        switch script.kind {
        case .unary: try await unary()
        case .serverStream: try await serverStream()
        case .clientStream: try await clientStream()
        case .chat: try await chat()
        }
    }

    private func check(_ isRight: Bool, _ problem: @autoclosure () -> String) {
        if !isRight { problems.append("call \(script.id): \(problem())") }
    }

    private func unary() async throws {
        let opening = try self.opening()
        let bytes = try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { continuation in
                stream.expectAnswer(continuation)
                link.client.open(stream, opening, first: script.request(0))
            }
        } onCancel: {
            link.client.cancel(stream)
        }
        check(RawMessage(bytes) == script.reply(0), "a reply of \(bytes.readableBytes) bytes is wrong")
    }

    private func serverStream() async throws {
        try open(first: script.request(0))
        var count = 0
        while count < script.repliesTaken, let reply = try await nextReply() {
            check(reply == script.reply(count), "reply \(count) is wrong")
            count += 1
        }
        if count < script.repliesTaken {
            let isRight = count == script.replies || script.givesUpMs > 0 && count == script.replies + 1
            check(isRight, "there were \(count) replies of \(script.replies)")
        } else {
            // As a caller that drops its reader.
            wasCancelled = true
            link.client.cancel(stream)
        }
    }

    private func clientStream() async throws {
        try open(first: nil)
        do {
            try await sendAll()
        } catch let failure as Failure where failure.reason == "STREAM_ENDED" {
            // The server answered before it had everything.
        } catch {
            // What the client does when its caller's closure throws.
            link.client.cancel(stream)
            throw error
        }
        let bytes = try await withTaskCancellationHandler {
            try await stream.answer()
        } onCancel: {
            link.client.cancel(stream)
        }
        let expected = CallScript.count(min(script.requests, script.requestsTaken))
        check(RawMessage(bytes) == expected, "the answer is wrong")
    }

    private func chat() async throws {
        try open(first: nil)
        async let sent: Void = sendRequests()
        let read: Result<Int, any Error>
        do { read = .success(try await readEchoes()) } catch { read = .failure(error) }
        do {
            try await sent
        } catch let failure as Failure where failure.reason == "STREAM_ENDED" {
            // How it ended is what the reader was told.
        }
        let count = try read.get()
        check(count == script.requests, "there were \(count) replies of \(script.requests)")
    }

    private func sendRequests() async throws {
        do { try await sendAll() } catch {
            // Nothing more comes of the call: a caller's closure that throws ends it.
            if stream.isOpen { link.client.cancel(stream) }
            throw error
        }
    }

    private func sendAll() async throws {
        for index in 0..<script.requests { try await stream.send(script.request(index).bytes, endStream: false) }
        try await stream.send(nil, endStream: true)
    }

    private func nextReply() async throws -> RawMessage? {
        try await withTaskCancellationHandler {
            try await stream.next().map { RawMessage($0) }
        } onCancel: {
            link.client.cancel(stream)
        }
    }

    private func readEchoes() async throws -> Int {
        var count = 0
        while let reply = try await nextReply() {
            check(reply == script.request(count), "reply \(count) is wrong")
            count += 1
        }
        return count
    }

    // MARK: Judgement

    /// Whether the call could end like this.
    private func judge() {
        check(timesEnded == 1, "it ended \(timesEnded) times")
        check(!stream.isOpen, "its stream is open after its end")
        guard let failure else {
            check(script.failsWith == 0 && !script.hangs || wasCancelled, "it ended well although its handler does not")
            return
        }
        // What the checksums have noticed may end a call in several ways; a wrong reply is not among them.
        if link.damages { return }
        check(isExplained(failure), "it ended with \(failure.code) \(failure.reason) \(failure.message)")
    }

    private func isExplained(_ failure: Failure) -> Bool {
        if failure.reason == "SCRIPT" { return failure.code.rawValue == Int(script.failsWith) }
        switch failure.code {
        case .cancelled: return wasCancelled
        case .deadlineExceeded: return deadline.map { $0 < embedded.now } ?? false
        case .unavailable:
            switch failure.reason {
            case "CONNECTION_LOST": return link.isBroken
            case "CONNECTION_CLOSED": return link.isBroken || link.isDraining || link.stalls
            // No HELLO came.
            case "PROTOCOL_ERROR": return link.isBroken || link.stalls
            case "DRAINING": return link.isDraining
            case "OVERLOADED": return script.isLimited
            // Calls made before the server's HELLO may be too many, and cancelled handlers keep their places.
            case "TOO_MANY_STREAMS": return true
            default: return false
            }
        case .resourceExhausted:
            let limit = min(link.client.limits.messageBytesMax, link.server.limits.messageBytesMax)
            return failure.reason == Failure.tooLarge && max(script.requestBytes, script.replyBytes) > limit
        default: return false
        }
    }
}
