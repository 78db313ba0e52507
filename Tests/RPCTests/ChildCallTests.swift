import Core
import NIOCore
import RPC
import Synchronization
import Testing

/// Calls that handlers make: they are part of the call that is being served.
@Suite(.timeLimit(.minutes(1))) struct ChildCallTests {
    private static let outer = TestSystem.method("Outer", access: .role(.viewer))
    private static let middle = TestSystem.method("Middle", access: .role(.viewer))
    private static let inner = TestSystem.method("Inner", access: .role(.viewer))

    /// What handlers were called with.
    private final class Seen: Sendable {
        let contexts = Mutex<[String: CallContext]>([:])
        let cancelled = Gate()

        func note(_ name: String, _ context: ServerContext) {
            contexts.withLock { $0[name] = context.call }
        }

        func context(_ name: String) throws -> CallContext { try #require(contexts.withLock { $0[name] }) }
    }

    private struct Keys: Authenticator {
        func authenticate(_ credential: String) async throws -> Principal {
            guard let role = Role(name: credential) else { throw Failure(.unauthenticated, "The key is not known.") }
            return Principal(id: UUIDv7(), name: credential, role: role)
        }
    }

    /// Three servers in a row, each called by the one before: in process, and over TCP. The clients between them have no credential.
    private func with(_ seen: Seen, hangs: Bool = false, _ body: (RPCClient) async throws -> Void) async throws {
        let runtime = RPCRuntime(threads: 2)
        var configuration = RPCServer.Configuration()
        configuration.authenticator = Keys()
        func server(_ method: MethodDescriptor, _ next: (RPCClient, MethodDescriptor)?) -> RPCServer {
            var router = ServiceRouter()
            router.unary(method) { (request: RawMessage, context) -> RawMessage in
                seen.note(method.name, context)
                if let (client, called) = next {
                    // In a child task: what surrounds a call goes with it.
                    async let reply: RawMessage = client.unary(called, request)
                    return try await reply
                }
                guard hangs else { return request }
                do { try await Task.sleep(for: .seconds(60)) } catch {
                    seen.cancelled.open()
                    throw error
                }
                return request
            }
            return RPCServer(runtime: runtime, router: router, configuration: configuration)
        }
        let last = server(Self.inner, nil)
        let port = try await last.start(host: "127.0.0.1", port: 0).port ?? 0
        let toLast = RPCClient(runtime: runtime, endpoint: .tcp(host: "127.0.0.1", port: port))
        let second = server(Self.middle, (toLast, Self.inner))
        let toSecond = RPCClient(runtime: runtime, endpoint: .inProcess(second))
        let first = server(Self.outer, (toSecond, Self.middle))
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(first))
        let result: Result<Void, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        for client in [client, toSecond, toLast] { await client.shutdown() }
        for server in [first, second, last] { await server.shutdown(grace: .milliseconds(200)) }
        await runtime.shutdown()
        try result.get()
    }

    @Test func theyInheritDeadlineTraceIdsAndCredential() async throws {
        let seen = Seen()
        try await with(seen) { client in
            var options = CallOptions(timeout: .seconds(40), credential: "analyst")
            options.requestID = "request-1"
            options.correlationID = "batch-1"
            options.trace = .root()
            let trace = try #require(options.trace)
            let before = MonotonicTime.now()
            let _: RawMessage = try await client.unary(Self.outer, bytes(1), options: options)
            var spans = [trace.spanID]
            for name in ["Outer", "Middle", "Inner"] {
                let context = try seen.context(name)
                #expect(context.credential == "analyst", "\(name)")
                #expect(context.principal?.role == .analyst, "\(name)")
                #expect(context.requestID == "request-1" && context.correlationID == "batch-1", "\(name)")
                #expect(context.trace.traceID == trace.traceID, "\(name)")
                spans.append(context.trace.spanID)
                let deadline = try #require(context.deadline, "\(name)")
                #expect(before.duration(to: deadline) > .seconds(39), "\(name) has what is left")
            }
            // The first is told of the caller's span as it is; each call made in turn is a child of its own.
            #expect(Set(spans.dropFirst()).count == 3)
            let deadlines = try ["Outer", "Middle", "Inner"].map { try #require(try seen.context($0).deadline) }
            // Microseconds are cut on the wire: a call made on behalf of another never has more time than that.
            #expect(deadlines[1] <= deadlines[0].advanced(by: .milliseconds(50)))
            #expect(deadlines[2] <= deadlines[1].advanced(by: .milliseconds(50)))
        }
    }

    @Test func withoutACredentialTheyHaveNoneEither() async throws {
        let seen = Seen()
        try await with(seen) { client in
            let refused = await failure { () -> RawMessage in try await client.unary(Self.outer, bytes(1)) }
            #expect(refused?.code == .unauthenticated)
            #expect(seen.contexts.withLock { $0.isEmpty })
        }
    }

    @Test func cancellingTheFirstCallCancelsTheLast() async throws {
        let seen = Seen()
        try await with(seen, hangs: true) { client in
            let call = Task { () -> RawMessage in
                try await client.unary(Self.outer, bytes(1), options: CallOptions(credential: "viewer"))
            }
            while seen.contexts.withLock({ $0["Inner"] == nil }) { await Task.yield() }
            call.cancel()
            #expect(await failure { try await call.value }?.code == .cancelled)
            await seen.cancelled.wait()
        }
    }

    @Test func theDeadlineOfTheFirstCallEndsTheLast() async throws {
        let seen = Seen()
        try await with(seen, hangs: true) { client in
            let ended = await failure { () -> RawMessage in
                try await client.unary(
                    Self.outer, bytes(1), options: CallOptions(timeout: .milliseconds(300), credential: "viewer"))
            }
            #expect(ended?.code == .deadlineExceeded)
            // With a slow machine the last may never have begun.
            if seen.contexts.withLock({ $0["Inner"] != nil }) { await seen.cancelled.wait() }
        }
    }
}
