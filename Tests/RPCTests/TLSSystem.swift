import Core
import NIOCore
import RPC
import Synchronization

/// A server with TLS, or without, and clients of it that are set up as a test wants.
struct TLSSystem {
    static let whoAmI = TestSystem.method("WhoAmI")

    let runtime: RPCRuntime
    let server: RPCServer
    let port: Int
    let events: Events

    /// What the server says of its encryption.
    final class Events: ServerObserver {
        private struct Silent: MethodObserver {
            func callEnded(_ call: CallContext, failure: Failure?, nanoseconds: Int64, queuedNanoseconds: Int64) {}
        }

        private let seen = Mutex<[TLSEvent]>([])
        private let stream = AsyncStream.makeStream(of: Failure.self)

        func observe(_ method: MethodDescriptor) -> any MethodObserver { Silent() }
        func connectionsChanged(_ count: Int) {}
        func tlsChanged(_ event: TLSEvent) {
            seen.withLock { $0.append(event) }
            if case .handshakeFailed(_, let failure) = event { stream.continuation.yield(failure) }
        }

        /// The first handshake that failed and was not asked for before.
        func handshakeFailure() async -> Failure? {
            var iterator = stream.stream.makeAsyncIterator()
            return await iterator.next()
        }

        var kept: [Failure] {
            seen.withLock { $0.compactMap { if case .kept(let failure) = $0 { failure } else { nil } } }
        }
        var loaded: [String] {
            seen.withLock { $0.compactMap { if case .loaded(let name, _) = $0 { name } else { nil } } }
        }
    }

    static func serverTLS(_ name: String = "server") throws -> ServerTLS {
        let files = try TestCertificates.shared.get()
        return ServerTLS(
            identity: TLSIdentity(certificatePath: files.path("\(name).pem"), keyPath: files.path("\(name).key")))
    }

    static func clientTLS(ca: String = "ca", identity: String? = nil) throws -> ClientTLS {
        let files = try TestCertificates.shared.get()
        var tls = ClientTLS()
        tls.caPath = files.path("\(ca).pem")
        tls.identity = identity.map {
            TLSIdentity(certificatePath: files.path("\($0).pem"), keyPath: files.path("\($0).key"))
        }
        return tls
    }

    static func with<T>(
        _ tls: ServerTLS?, host: String = "127.0.0.1", _ change: (inout RPCServer.Configuration) -> Void = { _ in },
        _ body: (TLSSystem) async throws -> T
    ) async throws -> T {
        let runtime = RPCRuntime(threads: 1)
        var configuration = RPCServer.Configuration()
        let events = Events()
        configuration.tls = tls
        configuration.observer = events
        change(&configuration)
        var router = TestSystem.router(TestSystem.Observed())
        router.unary(whoAmI) { (_: RawMessage, context) -> SearchResponse in
            SearchResponse(
                unmatchedTerms: [
                    context.isEncrypted ? "encrypted" : "plain", context.peerCertificateName ?? "nobody",
                    context.peerCertificate?.commonName ?? "", context.call.credential,
                ] + (context.peerCertificate?.alternativeNames ?? []))
        }
        let server = RPCServer(runtime: runtime, router: router, configuration: configuration)
        let result: Result<T, any Error>
        do {
            let port = try await server.start(host: host, port: 0).port ?? 0
            result = .success(try await body(TLSSystem(runtime: runtime, server: server, port: port, events: events)))
        } catch { result = .failure(error) }
        await server.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
        return try result.get()
    }

    /// Calls once over a new connection.
    func call(
        _ tls: ClientTLS, host: String = "localhost", options: CallOptions = CallOptions(timeout: .seconds(10)),
        _ change: (inout RPCClient.Configuration) -> Void = { _ in }
    ) async throws -> [String] {
        try await call(.tls(host: host, port: port), options: options) {
            $0.tls = tls
            change(&$0)
        }
    }

    func call(
        _ endpoint: Endpoint, options: CallOptions = CallOptions(timeout: .seconds(10)),
        _ change: (inout RPCClient.Configuration) -> Void = { _ in }
    ) async throws -> [String] {
        var configuration = RPCClient.Configuration()
        configuration.serviceName = "the test service"
        change(&configuration)
        let client = RPCClient(runtime: runtime, endpoint: endpoint, configuration: configuration)
        let result: Result<SearchResponse, any Error>
        do {
            result = .success(try await client.unary(Self.whoAmI, RawMessage(), options: options))
        } catch { result = .failure(error) }
        await client.shutdown()
        return try result.get().unmatchedTerms
    }
}
