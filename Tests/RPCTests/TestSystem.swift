import Core
import NIOCore
import RPC
import Synchronization
import Testing

/// A real server and client with methods that behave as their requests say, over a chosen transport.
struct TestSystem {
    enum Transport: String, CaseIterable, Sendable {
        case tcp, unix, inProcess, tls

        /// TLS needs certificates, and those the command `openssl`.
        static let allCases: [Transport] = [.tcp, .unix, .inProcess] + (TestCertificates.isAvailable ? [.tls] : [])
    }

    let runtime: RPCRuntime
    let server: RPCServer
    let client: RPCClient
    let port: Int

    static func method(
        _ name: String, client: Bool = false, server: Bool = false, access: MethodDescriptor.Access = .open
    )
        -> MethodDescriptor
    {
        MethodDescriptor(
            path: "/test.Control/\(name)", service: "test.Control", name: name, requestType: "", responseType: "",
            clientStreaming: client, serverStreaming: server, access: access, idempotent: false, uploadStartField: "",
            uploadDataField: "", httpRules: [])
    }

    static let echo = method("Echo")
    static let fail = method("Fail")
    static let hang = method("Hang")
    static let context = method("Context")
    static let viewerOnly = method("ViewerOnly", access: .role(.viewer))
    static let adminOnly = method("AdminOnly", access: .role(.admin))
    static let noPolicy = method("NoPolicy", access: .denied)
    static let count = method("Count", server: true)
    static let sum = method("Sum", client: true)
    static let chat = method("Chat", client: true, server: true)
    static let firstOnly = method("FirstOnly", client: true)
    static let slowReader = method("SlowReader", client: true)

    /// What handlers saw, for tests that must know.
    final class Observed: Sendable {
        let cancelled = Mutex(0)
        let gate = Gate()
    }

    static func router(_ observed: Observed) -> ServiceRouter {
        var router = ServiceRouter()
        router.unary(echo) { (request: RawMessage, _) in request }
        router.unary(fail) { (request: SearchRequest, context) -> SearchResponse in
            var trailers = Metadata()
            try trailers.add("why-bin", bytes: [0, 255])
            context.setTrailingMetadata(trailers)
            throw Failure(
                StatusCode(rawValue: Int(request.limit)) ?? .unknown, reason: "ASKED_FOR", request.query,
                remedy: "Ask for something else.", fields: [.init(field: "query", description: "was refused")],
                retryAfterMs: 1234)
        }
        router.unary(hang) { (_: RawMessage, _) -> RawMessage in
            observed.gate.open()
            do { try await Task.sleep(for: .seconds(60)) } catch {
                observed.cancelled.withLock { $0 += 1 }
                throw error
            }
            return RawMessage()
        }
        router.unary(context) { (_: RawMessage, context) -> SearchResponse in
            var metadata = Metadata()
            try metadata.add("seen", "yes")
            context.sendInitialMetadata(metadata)
            guard let current = CallContext.current else { throw Failure(.internalError, "no context") }
            return SearchResponse(
                unmatchedTerms: [
                    current.trace.traceID, current.requestID, current.correlationID, context.metadata["color"] ?? "",
                    context.idempotencyKey, current.deadline == nil ? "none" : "deadline",
                ])
        }
        for method in [viewerOnly, adminOnly, noPolicy] { router.unary(method) { (request: RawMessage, _) in request } }
        addStreaming(to: &router)
        return router
    }

    private static func addStreaming(to router: inout ServiceRouter) {
        router.serverStreaming(count) { (request: SearchRequest, responses: ResponseWriter<SearchResponse>, _) in
            for index in 0..<UInt64(request.limit) {
                try await responses.write(SearchResponse(sequence: index, unmatchedTerms: [request.query]))
            }
        }
        router.clientStreaming(sum) { (requests: RequestReader<SearchRequest>, _) -> SearchResponse in
            var total: UInt64 = 0
            var messages: UInt64 = 0
            for try await request in requests {
                total += UInt64(request.query.utf8.count)
                messages += 1
            }
            return SearchResponse(sequence: total, candidates: messages)
        }
        router.bidirectional(chat) {
            (requests: RequestReader<RawMessage>, responses: ResponseWriter<RawMessage>, _) in
            for try await request in requests { try await responses.write(request) }
        }
        router.clientStreaming(firstOnly) { (requests: RequestReader<RawMessage>, _) -> RawMessage in
            try await requests.next() ?? RawMessage()
        }
        router.clientStreaming(slowReader) { (requests: RequestReader<RawMessage>, context) -> RawMessage in
            _ = try await requests.next()
            try await Task.sleep(for: .seconds(60))
            return RawMessage()
        }
    }

    static func with<T>(
        _ transport: Transport = .inProcess, limits: RPCLimits = RPCLimits(), observed: Observed = Observed(),
        credential: String = "", debug: DebugServer? = nil, _ body: (TestSystem) async throws -> T
    ) async throws -> T {
        let runtime = RPCRuntime(threads: 1)
        var configuration = RPCServer.Configuration()
        configuration.limits = limits
        configuration.authenticator = KeyTable()
        if transport == .tls { configuration.tls = try TLSSystem.serverTLS() }
        var router = router(observed)
        debug?.register(in: &router)
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        debug?.add(server)
        let endpoint: Endpoint
        var port = 0
        switch transport {
        case .inProcess: endpoint = .inProcess(server)
        case .tcp, .tls:
            port = try await server.start(host: "127.0.0.1", port: 0).port ?? 0
            endpoint = transport == .tls ? .tls(host: "localhost", port: port) : .tcp(host: "127.0.0.1", port: port)
        case .unix:
            let path = "/tmp/acp-rpc-\(UUIDv7()).sock"
            try await server.start(unixPath: path)
            endpoint = .unix(path: path)
        }
        var clientConfiguration = RPCClient.Configuration()
        clientConfiguration.limits = limits
        clientConfiguration.credential = credential
        if transport == .tls { clientConfiguration.tls = try TLSSystem.clientTLS() }
        let client = RPCClient(runtime: runtime, endpoint: endpoint, configuration: clientConfiguration)
        let system = TestSystem(runtime: runtime, server: server, client: client, port: port)
        let result: Result<T, any Error>
        do { result = .success(try await body(system)) } catch { result = .failure(error) }
        await client.shutdown()
        await server.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
        return try result.get()
    }

    /// Keys `viewer`, `analyst` and `admin` have those roles.
    struct KeyTable: Authenticator {
        func authenticate(_ credential: String) async throws -> Principal {
            guard let role = Role(name: credential) else {
                throw Failure(.unauthenticated, reason: "UNKNOWN_KEY", "The key is not known.")
            }
            return Principal(id: UUIDv7(), name: credential, role: role)
        }
    }
}

/// Opened once; many may wait.
final class Gate: Sendable {
    private enum State {
        case closed([CheckedContinuation<Void, Never>])
        case open
    }

    private let state = Mutex(State.closed([]))

    func open() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            defer { state = .open }
            if case .closed(let waiting) = state { return waiting }
            return []
        }
        for continuation in waiting { continuation.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state -> Bool in
                guard case .closed(let waiting) = state else { return true }
                state = .closed(waiting + [continuation])
                return false
            }
            if isOpen { continuation.resume() }
        }
    }
}

func bytes(_ count: Int) -> RawMessage { RawMessage(ByteBuffer(repeating: 0x61, count: count)) }

/// The failure that `body` throws.
func failure<T>(_ body: () async throws -> T) async -> Failure? {
    do {
        _ = try await body()
        return nil
    } catch { return Failure(wrapping: error) }
}
