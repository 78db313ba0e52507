import Core
import NIOCore
import Synchronization
import Testing

@testable import RPC

/// A real server on a loopback port, whose handlers do what a test says.
final class Node: Sendable {
    /// Gets the number of the call at this node, from 1.
    typealias Handler = @Sendable (Int, ServerContext) async throws -> Void

    static func method(
        _ name: String, client: Bool = false, server: Bool = false, idempotent: Bool = false
    ) -> MethodDescriptor {
        MethodDescriptor(
            path: "/test.Node/\(name)", service: "test.Node", name: name, requestType: "", responseType: "",
            clientStreaming: client, serverStreaming: server, access: .open, idempotent: idempotent,
            uploadStartField: "", uploadDataField: "", httpRules: [])
    }

    /// Unary; both run the handler and answer with the name of the node.
    static let plain = method("Plain")
    static let safe = method("Safe", idempotent: true)
    /// Runs the handler between the first and the second of three messages.
    static let late = method("Late", server: true, idempotent: true)
    /// Runs the handler before the three messages.
    static let early = method("Early", server: true, idempotent: true)
    static let upload = method("Upload", client: true)
    static let chat = method("Chat", client: true, server: true)

    let name: String
    let server: RPCServer
    /// Handlers that were started.
    let calls = Counter()
    /// The attempt numbers that were seen.
    let attempts = Mutex<[UInt32]>([])
    /// When handlers were started.
    let times = Mutex<[MonotonicTime]>([])
    /// The connections that calls came on, in the order of the calls; kept, so that none has the identity of an earlier one.
    private let seen = Mutex<[Connection]>([])
    var connections: [ObjectIdentifier] { seen.withLock { $0.map { ObjectIdentifier($0) } } }
    /// Opened when a call is refused.
    let refused = Gate()
    /// Opened when a call has ended with a failure.
    let failed = Gate()
    /// Opened when a connection is gone.
    let disconnected = Gate()
    private let handler: Handler
    private let port = Mutex(0)

    init(
        _ name: String, runtime: RPCRuntime, concurrency: ConcurrencyLimit? = nil,
        handler: @escaping Handler = { _, _ in }
    ) {
        self.name = name
        self.handler = handler
        var configuration = RPCServer.Configuration()
        if let concurrency { configuration.concurrency = [Self.plain.path: concurrency, Self.chat.path: concurrency] }
        configuration.observer = Observer(refused, failed, disconnected)
        // The handlers refer to the node, which is whole only after its server.
        let box = Box()
        server = RPCServer(runtime: runtime, router: Self.router(box), configuration: configuration)
        box.node.withLock { $0 = self }
    }

    private final class Box: Sendable {
        let node = Mutex<Node?>(nil)
    }

    private static func router(_ box: Box) -> ServiceRouter {
        @Sendable func run(_ context: ServerContext) async throws -> String {
            guard let node = box.node.withLock({ $0 }) else { return "" }
            return try await node.run(context)
        }
        var router = ServiceRouter()
        for method in [plain, safe] {
            router.unary(method) { (_: RawMessage, context) in text(try await run(context)) }
        }
        router.serverStreaming(late) { (_: RawMessage, responses: ResponseWriter<RawMessage>, context) in
            try await responses.write(bytes(1))
            _ = try await run(context)
            for _ in 0..<2 { try await responses.write(bytes(1)) }
        }
        router.serverStreaming(early) { (_: RawMessage, responses: ResponseWriter<RawMessage>, context) in
            _ = try await run(context)
            for _ in 0..<3 { try await responses.write(bytes(1)) }
        }
        router.clientStreaming(upload) { (requests: RequestReader<RawMessage>, context) -> RawMessage in
            let name = try await run(context)
            for try await _ in requests {}
            return text(name)
        }
        router.bidirectional(chat) {
            (requests: RequestReader<RawMessage>, responses: ResponseWriter<RawMessage>, context) in
            try await responses.write(text(try await run(context)))
            for try await request in requests { try await responses.write(request) }
        }
        return router
    }

    private func run(_ context: ServerContext) async throws -> String {
        calls.add()
        attempts.withLock { $0.append(context.attempt) }
        times.withLock { $0.append(.now()) }
        seen.withLock { $0.append(context.stream.connection) }
        try await handler(attempts.withLock { $0.count }, context)
        return name
    }

    /// Listens; on the same port again after a restart of the name's service.
    func start(port wanted: Int = 0) async throws {
        let bound = try await server.start(host: "127.0.0.1", port: wanted).port ?? 0
        port.withLock { $0 = bound }
    }

    /// Listens on a port that the kernel gives to nobody who asks for any: it can be had again after it was free for a while.
    func startOnLastingPort() async throws {
        var triesLeft = 50
        while true {
            do { return try await start(port: .random(in: 10_000..<30_000)) } catch let failure as Failure {
                triesLeft -= 1
                guard failure.reason == "CANNOT_LISTEN", triesLeft > 0 else { throw failure }
            }
        }
    }

    var host: Endpoint.Host { Endpoint.Host(name: "127.0.0.1", port: port.withLock { $0 }) }

    private struct Observer: ServerObserver, MethodObserver {
        let refused: Gate
        let failed: Gate
        let disconnected: Gate
        private let count = Box()

        private final class Box: Sendable { let value = Mutex(0) }

        init(_ refused: Gate, _ failed: Gate, _ disconnected: Gate) {
            self.refused = refused
            self.failed = failed
            self.disconnected = disconnected
        }

        func observe(_ method: MethodDescriptor) -> any MethodObserver { self }

        func connectionsChanged(_ new: Int) {
            let old = count.value.withLock { value in
                defer { value = new }
                return value
            }
            if new < old { disconnected.open() }
        }

        func callEnded(_ call: CallContext, failure: Failure?, nanoseconds: Int64, queuedNanoseconds: Int64) {
            guard let failure else { return }
            if failure.reason == "OVERLOADED" || failure.reason == "DRAINING" { refused.open() }
            failed.open()
        }
    }
}

extension ServerContext {
    /// Sends what was written and ends the connection without a word, as a process that is killed does.
    func cutConnection() {
        let connection = stream.connection
        connection.execute {
            connection.flush()
            connection.context?.close(promise: nil)
        }
    }

    /// Waits for ever, unless the call is cancelled.
    func hang(_ onCancel: @Sendable () -> Void) async throws {
        do { try await Task.sleep(for: .seconds(60)) } catch {
            onCancel()
            throw error
        }
    }
}

func text(_ string: String) -> RawMessage { RawMessage(ByteBuffer(string: string)) }

/// Some nodes and one client for all of them.
struct Cluster {
    let client: RPCClient
    let runtime: RPCRuntime
    let nodes: [Node]

    static func with<T>(
        _ nodes: [Node], on runtime: RPCRuntime, configure: (inout RPCClient.Configuration) -> Void = { _ in },
        _ body: (Cluster) async throws -> T
    ) async throws -> T {
        for node in nodes { try await node.start() }
        var configuration = RPCClient.Configuration()
        configure(&configuration)
        let client = RPCClient(runtime: runtime, endpoint: .tcp(nodes.map(\.host)), configuration: configuration)
        let result: Result<T, any Error>
        do {
            result = .success(try await body(Cluster(client: client, runtime: runtime, nodes: nodes)))
        } catch { result = .failure(error) }
        await client.shutdown()
        for node in nodes { await node.server.shutdown(grace: .milliseconds(200)) }
        return try result.get()
    }

    /// One node, `a`.
    static func single<T>(_ setup: Setup = Setup(), _ body: (Cluster) async throws -> T) async throws -> T {
        try await withRuntime { runtime in
            let node = Node("a", runtime: runtime, concurrency: setup.concurrency, handler: setup.handler)
            return try await with([node], on: runtime, configure: { $0 = setup.configuration }, body)
        }
    }

    struct Setup {
        var concurrency: ConcurrencyLimit?
        var configuration = RPCClient.Configuration()
        var handler: Node.Handler

        init(
            concurrency: ConcurrencyLimit? = nil, configure: (inout RPCClient.Configuration) -> Void = { _ in },
            handler: @escaping Node.Handler = { _, _ in }
        ) {
            self.concurrency = concurrency
            self.handler = handler
            configure(&configuration)
        }
    }

    static func withRuntime<T>(_ body: (RPCRuntime) async throws -> T) async throws -> T {
        let runtime = RPCRuntime(threads: 2)
        let result: Result<T, any Error>
        do { result = .success(try await body(runtime)) } catch { result = .failure(error) }
        await runtime.shutdown()
        return try result.get()
    }

    /// Calls `method`; returns the name of the node that answered.
    func call(_ method: MethodDescriptor = Node.plain, _ options: CallOptions = CallOptions(timeout: .seconds(20)))
        async throws -> String
    {
        let reply: RawMessage = try await client.unary(method, RawMessage(), options: options)
        return String(buffer: reply.bytes)
    }

    /// Calls until every node has answered: then there is a connection to each.
    func warmUp() async throws {
        var seen: Set<String> = []
        var left = 5000
        while seen.count < nodes.count {
            left -= 1
            try #require(left > 0, "only \(seen) answered")
            seen.insert(try await call(Node.safe))
        }
    }
}
