import Core
import NIOCore
import RPC
import TestProtos

/// `acp.test.v1.Control`: does what each request says.
struct ControlService: Sendable {
    let board: ControlBoard

    /// All methods but those that tests want to find missing.
    func register(in router: inout ServiceRouter) {
        router.unary(ControlMethods.unary) { try await single($0, $1) }
        router.unary(ControlMethods.viewer) { try await single($0, $1) }
        router.unary(ControlMethods.admin) { try await single($0, $1) }
        router.serverStreaming(ControlMethods.serverStream) { request, responses, context in
            try await serverStream(request, responses, context)
        }
        router.clientStreaming(ControlMethods.clientStream) { try await clientStream($0, $1) }
        router.bidirectional(ControlMethods.bidi) { try await bidirectional($0, $1, $2) }
        router.unary(ControlMethods.signal) { (request: TestControlName, _) in
            board.signal(request.name)
            return board.progress(of: request.name)
        }
        router.unary(ControlMethods.waitFor) { (request: TestControlWait, _) in try await board.wait(for: request) }
        router.unary(ControlMethods.drain) { (_: TestControlName, _) -> TestControlProgress in
            board.drain()
            return TestControlProgress()
        }
    }

    // MARK: Kinds

    private func single(_ request: TestControlRequest, _ context: ServerContext) async throws -> TestControlReply {
        let call = Call(board: board, context: context, name: request.name)
        return try await call.observed {
            call.count(request)
            return try await call.answer(request)
        }
    }

    private func serverStream(
        _ request: TestControlRequest, _ responses: ResponseWriter<TestControlReply>, _ context: ServerContext
    ) async throws {
        let call = Call(board: board, context: context, name: request.name)
        try await call.observed {
            call.count(request)
            try await call.perform(request) { try await responses.write($0) }
        }
    }

    private func clientStream(
        _ requests: RequestReader<TestControlRequest>, _ context: ServerContext
    ) async throws -> TestControlReply {
        guard let first = try await requests.next() else {
            let call = Call(board: board, context: context, name: "")
            return try await call.observed { TestControlReply(seen: call.seen) }
        }
        let call = Call(board: board, context: context, name: first.name)
        return try await call.observed {
            call.count(first)
            switch first.reading {
            case .all, .unrecognized:
                while let next = try await requests.next() { call.count(next) }
            case .first: break
            case .stops: try await board.waitForCancellation()
            }
            return try await call.answer(first)
        }
    }

    private func bidirectional(
        _ requests: RequestReader<TestControlRequest>, _ responses: ResponseWriter<TestControlReply>,
        _ context: ServerContext
    ) async throws {
        guard let first = try await requests.next() else { return }
        let call = Call(board: board, context: context, name: first.name)
        try await call.observed {
            var next: TestControlRequest? = first
            while let request = next {
                call.count(request)
                try await call.perform(request) { try await responses.write($0) }
                switch first.reading {
                case .all, .unrecognized: next = try await requests.next()
                case .first: next = nil
                case .stops: try await board.waitForCancellation()
                }
            }
        }
    }
}

/// One call of the control service while it runs. Used by its handler alone.
private final class Call {
    private let board: ControlBoard
    private let context: ServerContext
    private let name: String
    private(set) var seen = TestControlSeen()
    private var sequence: UInt64 = 0

    init(board: ControlBoard, context: ServerContext, name: String) {
        self.board = board
        self.context = context
        self.name = name
        seen.metadata = context.metadata.pairs.map { TestControlPair(key: $0.key, value: $0.value) }
        seen.requestID = context.call.requestID
        seen.correlationID = context.call.correlationID
        seen.traceID = context.call.trace.traceID
        seen.idempotencyKey = context.idempotencyKey
        seen.attempt = context.attempt
        seen.principal = context.call.principal?.name ?? ""
        if let deadline = context.call.deadline {
            seen.remainingUs = UInt64(max(1, MonotonicTime.now().duration(to: deadline).wholeNanoseconds / 1000))
        }
    }

    /// Runs the call with its beginning and end on the board.
    func observed<T>(_ body: () async throws -> T) async throws -> T {
        board.update(name) { $0.hasStarted = true }
        defer {
            board.update(name) {
                $0.wasCancelled = Task.isCancelled
                $0.hasEnded = true
            }
        }
        return try await body()
    }

    func count(_ request: TestControlRequest) {
        seen.messages += 1
        seen.payloadBytes += UInt64(request.payload.count)
        board.update(name) { $0.messagesRead += 1 }
    }

    /// The first message that `request` asks for; an empty one when it asks for none.
    func answer(_ request: TestControlRequest) async throws -> TestControlReply {
        var answer: TestControlReply?
        try await perform(request) { answer = answer ?? $0 }
        return answer ?? TestControlReply(seen: seen)
    }

    /// Does what `request` says; throws the status it asks for.
    func perform(_ request: TestControlRequest, _ write: (TestControlReply) async throws -> Void) async throws {
        guard request.misbehaviour == .none else {
            throw Failure(
                .failedPrecondition, reason: "ONLY_SCRIPTED",
                "An honest server cannot do \(request.misbehaviour.protoName).",
                remedy: "Ask a ScriptedServer.")
        }
        try setMetadata(request)
        if request.echo { try await send(request.payload, write) }
        for replies in request.replies {
            if !replies.signal.isEmpty { try await board.wait(forSignal: replies.signal) }
            let payload = Self.filler(replies)
            for _ in 0..<replies.count {
                if replies.intervalMs > 0 { try await Task.sleep(for: .milliseconds(Int64(replies.intervalMs))) }
                try await send(payload, write)
            }
        }
        try await end(request)
    }

    private func send(_ payload: [UInt8], _ write: (TestControlReply) async throws -> Void) async throws {
        var reply = TestControlReply(payload: payload, sequence: sequence)
        if sequence == 0 { reply.seen = seen }
        sequence += 1
        try await write(reply)
        board.update(name) { $0.repliesWritten += 1 }
    }

    private func setMetadata(_ request: TestControlRequest) throws {
        let initial = request.initialMetadata + (request.echoMetadata ? seen.metadata : [])
        let trailing = request.trailingMetadata + (request.echoMetadata ? seen.metadata : [])
        // Requests of one stream after the first must not take back what an earlier one set.
        if !initial.isEmpty { context.sendInitialMetadata(try Metadata(initial)) }
        if !trailing.isEmpty { context.setTrailingMetadata(try Metadata(trailing)) }
    }

    private func end(_ request: TestControlRequest) async throws {
        switch request.ending {
        case .atOnce, .unrecognized: break
        case .whenCancelled: try await board.waitForCancellation()
        case .onSignal: try await board.wait(forSignal: name)
        case .onlyOnSignal:
            let (board, name) = (self.board, self.name)
            try await Task.detached { try await board.wait(forSignal: name) }.value
        }
        guard let status = request.status, status.code != 0 else { return }
        throw Failure(
            StatusCode(rawValue: Int(status.code)) ?? .unknown, reason: status.reason, status.message,
            remedy: status.remedy,
            fields: status.fields.map { .init(field: $0.field, description: $0.description) },
            retryAfterMs: status.retryAfterMs)
    }

    /// The same bytes for the same request.
    private static func filler(_ replies: TestControlReplies) -> [UInt8] {
        ControlPayload.make(Int(replies.sizeBytes), isRandom: replies.isRandom)
    }
}

enum ControlPayload {
    /// `count` bytes that compress to about a tenth, or do not compress. Bytes that are all the same would not do: they shrink so much that
    /// they are sent as they are.
    static func make(_ count: Int, isRandom: Bool = false) -> [UInt8] {
        guard isRandom else {
            var bytes = [UInt8](repeating: 0x61, count: count)
            for index in stride(from: 31, to: count, by: 32) {
                bytes[index] = UInt8(truncatingIfNeeded: (UInt64(index) &* 2_654_435_761) >> 13)
            }
            return bytes
        }
        var generator = SeededGenerator(seed: UInt64(count))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            withUnsafeBytes(of: generator.next().littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}

extension Metadata {
    init(_ pairs: [TestControlPair]) throws {
        self.init()
        for pair in pairs { try add(pair.key, bytes: pair.value) }
    }
}
