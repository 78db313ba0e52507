import Core
import Gateway
import Logging
import NIOCore
import RPC
import Testing

/// A gateway on a loopback port, in front of a real RPC server reached over the in-process transport.
struct TestSystem {
    let runtime: RPCRuntime
    let log: ServiceLog
    let address: SocketAddress

    func connect(reads: Bool = true) async throws -> RawConnection {
        try await RawConnection.connect(address, group: runtime.group, reads: reads)
    }

    /// Runs one request on a connection of its own.
    func send(_ request: String) async throws -> RawConnection.Answer {
        let connection = try await connect()
        try await connection.send(request)
        let answer = try await connection.answer(toHEAD: request.hasPrefix("HEAD"))
        await connection.close()
        return answer
    }

    func send(
        _ verb: String, _ uri: String, _ headers: [String: String] = [:], key: String? = "admin-key",
        body: String? = nil,
        type: String? = "application/json"
    ) async throws -> RawConnection.Answer {
        try await send(Self.request(verb, uri, headers, key: key, body: body.map { Array($0.utf8) }, type: type))
    }

    static func request(
        _ verb: String, _ uri: String, _ headers: [String: String] = [:], key: String? = "admin-key",
        body: [UInt8]? = nil,
        type: String? = "application/json"
    ) -> String {
        var text = "\(verb) \(uri) HTTP/1.1\r\nHost: localhost\r\n"
        if let key { text += "Authorization: Bearer \(key)\r\n" }
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { text += "\(name): \(value)\r\n" }
        if let body {
            if let type { text += "Content-Type: \(type)\r\n" }
            text += "Content-Length: \(body.count)\r\n\r\n" + String(decoding: body, as: UTF8.self)
        } else {
            text += "\r\n"
        }
        return text
    }

    static func run(
        _ settings: HTTPGateway.Configuration = HTTPGateway.Configuration(), without services: Set<String> = [],
        _ body: (TestSystem) async throws -> Void
    ) async throws {
        let runtime = RPCRuntime(threads: 1)
        let log = ServiceLog()
        var router = ServiceRouter()
        TestSearch(log: log).register(in: &router)
        TestAnswers(log: log).register(in: &router)
        TestIngest(log: log).register(in: &router)
        TestKeys(log: log).register(in: &router)
        HealthServer { _ in HealthCheckResponse(status: .serving) }.register(in: &router)
        var behindConfiguration = RPCServer.Configuration()
        behindConfiguration.authenticator = TestAuthenticator()
        let behind = RPCServer(runtime: runtime, router: router, configuration: behindConfiguration)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(behind))
        // Connected before anything is measured or cut short.
        _ = try await HealthClient(client).check(HealthCheckRequest())
        var clients: [String: RPCClient] = [:]
        for service in router.services where !services.contains(service) { clients[service] = client }

        var configuration = settings
        configuration.lingerMs = 200
        let gateway = try HTTPGateway(
            configuration: configuration, runtime: runtime, clients: clients,
            operatorRoutes: [
                "/healthz": { .init(status: 200, contentType: "text/plain", body: Array("ok\n".utf8)) },
                "/readyz": { .init(status: 503, contentType: "application/json", body: Array("{}".utf8)) },
            ], logger: Logger(label: "gateway") { _ in SwiftLogNoOpLogHandler() })
        var frontConfiguration = RPCServer.Configuration()
        frontConfiguration.httpFallback = { try gateway.configure($0) }
        let front = RPCServer(runtime: runtime, router: ServiceRouter(), configuration: frontConfiguration)
        let address = try await front.start(host: "127.0.0.1", port: 0)
        let result: Result<Void, any Error>
        do {
            try await body(TestSystem(runtime: runtime, log: log, address: address))
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await front.shutdown(grace: .seconds(1))
        await gateway.shutdown(grace: .milliseconds(200))
        await client.shutdown()
        await behind.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
        try result.get()
    }
}

extension HTTPGateway.Configuration {
    static func with(_ change: (inout Self) -> Void) -> Self {
        var configuration = Self()
        change(&configuration)
        return configuration
    }
}

/// The headers that operations.md wants on everything.
let requiredHeaders = [
    "x-content-type-options", "x-frame-options", "strict-transport-security", "content-security-policy",
    "x-xss-protection",
    "referrer-policy", "permissions-policy", "cross-origin-opener-policy", "cross-origin-embedder-policy",
    "cross-origin-resource-policy", "cache-control", "x-request-id", "traceparent", "date",
]

func expectHeaders(_ answer: RawConnection.Answer, _ what: Comment) {
    for name in requiredHeaders {
        #expect(answer.headers.count { $0.name == name } == 1, "\(what): \(name)")
    }
}
