import Core
import NIOCore
import NIOEmbedded

@testable import RPC

/// Handlers that do what the script in their metadata says, in simulated time. Confined to the loop.
final class SimulatedService: @unchecked Sendable {
    private let loop: EmbeddedEventLoop
    private let limitedMax: Int
    private(set) var running = 0
    private var limitedRunning = 0
    private var runningOn: [ObjectIdentifier: Int] = [:]
    /// What must not happen.
    private(set) var problems: [String] = []

    init(loop: EmbeddedEventLoop, limitedMax: Int) {
        self.loop = loop
        self.limitedMax = limitedMax
    }

    static func method(_ name: String, client: Bool = false, server: Bool = false) -> MethodDescriptor {
        MethodDescriptor(
            path: "/sim.Control/\(name)", service: "sim.Control", name: name, requestType: "", responseType: "",
            clientStreaming: client, serverStreaming: server, access: .open, idempotent: false, uploadStartField: "",
            uploadDataField: "", httpRules: [])
    }

    static let methods: [String: MethodDescriptor] = {
        var methods: [String: MethodDescriptor] = [:]
        for method in [
            method("unary"), method("limited"), method("serverStream", server: true),
            method("clientStream", client: true), method("chat", client: true, server: true),
        ] { methods[method.path] = method }
        return methods
    }()

    var router: ServiceRouter {
        var router = ServiceRouter()
        for name in ["unary", "limited"] {
            router.unary(Self.method(name)) { [self] (request: RawMessage, context) -> RawMessage in
                try await serve(context) { script in
                    check(request == script.request(0), "the request of call \(script.id) arrived changed")
                    try await pause(script)
                    return script.reply(0)
                }
            }
        }
        router.serverStreaming(Self.method("serverStream", server: true)) {
            [self] (request: RawMessage, replies: ResponseWriter<RawMessage>, context) in
            try await serve(context) { script in
                check(request == script.request(0), "the request of call \(script.id) arrived changed")
                for index in 0..<script.replies {
                    try await pause(script)
                    try await replies.write(script.reply(index))
                }
                if script.givesUpMs > 0 { try await giveUp(replies, script) }
            }
        }
        router.clientStreaming(Self.method("clientStream", client: true)) {
            [self] (requests: RequestReader<RawMessage>, context) -> RawMessage in
            try await serve(context) { script in
                CallScript.count(try await read(requests, script) { _ in })
            }
        }
        router.bidirectional(Self.method("chat", client: true, server: true)) {
            [self] (requests: RequestReader<RawMessage>, replies: ResponseWriter<RawMessage>, context) in
            try await serve(context) { script in
                _ = try await read(requests, script) { try await replies.write($0) }
            }
        }
        return router
    }

    private func check(_ isRight: Bool, _ problem: @autoclosure () -> String) {
        if !isRight { problems.append(problem()) }
    }

    /// Reads the call's messages until its script has enough; returns how many there were.
    private func read(
        _ requests: RequestReader<RawMessage>, _ script: CallScript, _ take: (RawMessage) async throws -> Void
    ) async throws -> Int {
        var count = 0
        while count < script.requestsTaken, let request = try await requests.next() {
            check(request == script.request(count), "message \(count) of call \(script.id) arrived changed")
            count += 1
            try await pause(script)
            try await take(request)
        }
        check(
            count == min(script.requests, script.requestsTaken),
            "the handler of call \(script.id) read \(count) messages of \(script.requests)")
        return count
    }

    /// Begins one more reply and cancels the task that writes it: it must come whole or not at all.
    private func giveUp(_ replies: ResponseWriter<RawMessage>, _ script: CallScript) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await replies.write(script.reply(script.replies)) } catch let failure as Failure
                    where failure.code == .cancelled
                {}
            }
            try await sleep(milliseconds: Int64(script.givesUpMs))
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    /// Runs a handler as its script says, and counts it.
    private func serve<Reply>(
        _ context: ServerContext, _ body: (CallScript) async throws -> Reply
    ) async throws -> Reply {
        guard let bytes = context.metadata.pairs.first(where: { $0.key == "script-bin" })?.value,
            let script = CallScript(bytes)
        else {
            problems.append("a handler got no script")
            throw Failure(.internalError, "no script")
        }
        let connection = context.stream.connection
        enter(connection, context)
        defer { leave(connection, context) }
        do {
            let reply = try await body(script)
            if script.hangs { try await sleep(milliseconds: 100_000) }
            if script.failsWith != 0 {
                throw Failure(StatusCode(rawValue: Int(script.failsWith)) ?? .unknown, reason: "SCRIPT", "As asked.")
            }
            return reply
        } catch {
            // A handler that does not care that it was cancelled.
            if script.stubbornMs > 0 { await insist(milliseconds: Int64(script.stubbornMs)) }
            throw error
        }
    }

    private func enter(_ connection: Connection, _ context: ServerContext) {
        running += 1
        let here = runningOn[ObjectIdentifier(connection), default: 0] + 1
        runningOn[ObjectIdentifier(connection)] = here
        check(here <= connection.limits.streamsMax, "\(here) handlers run on one connection")
        guard context.method.name == "limited" else { return }
        limitedRunning += 1
        check(limitedRunning <= limitedMax, "\(limitedRunning) handlers of the limited method run")
    }

    private func leave(_ connection: Connection, _ context: ServerContext) {
        running -= 1
        runningOn[ObjectIdentifier(connection), default: 0] -= 1
        if context.method.name == "limited" { limitedRunning -= 1 }
    }

    // MARK: Simulated time

    private func pause(_ script: CallScript) async throws {
        if script.pauseMs > 0 { try await sleep(milliseconds: Int64(script.pauseMs)) }
    }

    /// - Throws: `CancellationError` at once when the task is cancelled.
    func sleep(milliseconds: Int64) async throws {
        let sleeper = Sleeper()
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { sleeper.begin($0, on: loop, milliseconds: milliseconds) }
        } onCancel: {
            sleeper.wake(throwing: CancellationError())
        }
    }

    private func insist(milliseconds: Int64) async {
        let sleeper = Sleeper()
        try? await withUnsafeThrowingContinuation { sleeper.begin($0, on: loop, milliseconds: milliseconds) }
    }

    private final class Sleeper: @unchecked Sendable {
        private var continuation: UnsafeContinuation<Void, any Error>?
        private var timer: Scheduled<Void>?
        private var isCancelled = false

        func begin(
            _ continuation: UnsafeContinuation<Void, any Error>, on loop: EmbeddedEventLoop, milliseconds: Int64
        ) {
            guard !isCancelled else { return continuation.resume(throwing: CancellationError()) }
            self.continuation = continuation
            timer = loop.scheduleTask(in: .milliseconds(milliseconds)) { self.wake(throwing: nil) }
        }

        func wake(throwing error: (any Error)?) {
            isCancelled = error != nil
            timer?.cancel()
            guard let continuation else { return }
            self.continuation = nil
            if let error { continuation.resume(throwing: error) } else { continuation.resume() }
        }
    }
}
