internal import Core
internal import NIOCore
internal import NIOHTTP1
internal import RPC

/// HTTP requests to calls and replies to HTTP answers, for every method alike.
struct Transcoder: Sendable {
    let configuration: HTTPGateway.Configuration
    private let clients: [String: RPCClient]
    private let uploads: [String: UploadMethod]

    /// - Throws: `Failure` INTERNAL for an upload whose fields are not what its options say.
    init(configuration: HTTPGateway.Configuration, clients: [String: RPCClient], methods: [MethodDescriptor]) throws {
        self.configuration = configuration
        self.clients = clients
        var uploads: [String: UploadMethod] = [:]
        for method in methods where method.clientStreaming && !method.uploadStartField.isEmpty {
            uploads[method.path] = try UploadMethod(method)
        }
        self.uploads = uploads
    }

    private static let json = "application/json"

    /// How a request to a route is handled; refuses what its head alone rules out.
    func handling(
        _ route: Route, _ variables: [MessageBindings.Parameter], _ request: HTTPRequest, _ identity: RequestIdentity
    ) throws -> Handling {
        let client = try client(of: route)
        let options = try callOptions(route, request)
        let accept = Accept(request.headers["accept"])
        guard request.headers["content-encoding"].allSatisfy({ $0.lowercased() == "identity" }) else {
            throw HTTPRefusal(
                status: 415, reason: "CONTENT_ENCODING", "Bodies with a content encoding are not accepted.",
                remedy: "Send the body uncompressed.")
        }
        if let upload = uploads[route.method.path] {
            _ = try choose(accept, [Self.json])
            return try upload.handling(request, client, options, configuration)
        }
        guard !route.method.clientStreaming else {
            throw HTTPRefusal(
                Failure(.unimplemented, reason: "NOT_OVER_HTTP", "\(route.method.name) is not available over HTTP."))
        }
        try checkBody(route, request)
        let rule = route.rule
        let type = route.method.requestType
        let limits = MessageJSON.Limits(jsonBytesMax: configuration.jsonBytesMax)
        let message: @Sendable (ByteBuffer) throws -> RawMessage = { body in
            RawMessage(
                try MessageJSON.build(
                    type: type,
                    MessageBindings(
                        body: rule.body.isEmpty ? nil : body, bodyField: rule.body, path: variables,
                        query: request.target.parameters), limits: limits))
        }
        let method = route.method
        let bytesMax = rule.body.isEmpty ? 0 : configuration.jsonBytesMax
        guard method.serverStreaming else {
            _ = try choose(accept, [Self.json])
            return .buffered(bytesMax: bytesMax) { exchange, body in
                let reply: RawMessage = try await client.unary(method, try message(body), options: options)
                exchange.answer(.json(try await Self.json(reply.bytes, method.responseType, rule.responseBody)))
            }
        }
        guard request.verb != "HEAD" else {
            throw HTTPRefusal(
                status: 405, code: .unimplemented, reason: "METHOD_NOT_ALLOWED",
                "A stream has no length that HEAD could tell.",
                headers: [("Allow", "\(rule.verb), OPTIONS")])
        }
        let format = try ResponseStream.Format(accept, hasSingle: !rule.responseBody.isEmpty)
        let keepAliveSeconds = configuration.keepAliveSeconds
        return .buffered(bytesMax: bytesMax) { exchange, body in
            let reader: ResponseReader<RawMessage> = try await client.serverStreaming(
                method, try message(body), options: options)
            let stream = ResponseStream(
                exchange, format, type: method.responseType, field: rule.responseBody,
                keepAliveSeconds: keepAliveSeconds)
            try await stream.run(reader)
        }
    }

    private func client(of route: Route) throws -> RPCClient {
        guard let client = clients[route.method.service] else {
            throw HTTPRefusal(
                Failure(
                    .unimplemented, reason: "SERVICE_NOT_CONFIGURED",
                    "This gateway knows no address of \(route.method.service).",
                    remedy: "Ask its operator to configure the service."))
        }
        return client
    }

    private func choose(_ accept: Accept, _ offered: [String]) throws -> String {
        guard let type = accept.choose(offered) else { throw Self.notAcceptable(offered) }
        return type
    }

    static func notAcceptable(_ offered: [String]) -> HTTPRefusal {
        HTTPRefusal(
            status: 406, reason: "NOT_ACCEPTABLE", "The answer exists only as \(offered.joined(separator: ", ")).",
            remedy: "Accept one of them.")
    }

    /// JSON only: other types a browser would send across origins without asking first.
    private func checkBody(_ route: Route, _ request: HTTPRequest) throws {
        guard request.hasBody else { return }
        guard !route.rule.body.isEmpty else {
            throw HTTPRefusal(
                status: 400, reason: "UNEXPECTED_BODY", "\(route.rule.verb) \(route.rule.template) takes no body.",
                remedy: "Send the fields as query parameters.", closes: true)
        }
        let type = try request.single("content-type")?.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
        guard type == Self.json else {
            throw HTTPRefusal(
                status: 415, reason: "NOT_JSON", "The body must be JSON, and its Content-Type must say so.",
                remedy: "Send `Content-Type: application/json`.", closes: true)
        }
    }

    static let timeoutSecondsMax = 86_400.0
    private static let idempotencyKeyBytesMax = 255

    /// Credential, idempotency key and deadline of the calls a request makes. Trace and ids come from the call context.
    private func callOptions(_ route: Route, _ request: HTTPRequest) throws -> CallOptions {
        var options = CallOptions()
        // Also when it is empty: nobody may borrow the gateway's own standing.
        options.credential = try RequestIdentity.credential(request.headers)
        if let key = try request.single("idempotency-key") {
            guard (1...Self.idempotencyKeyBytesMax).contains(key.utf8.count),
                key.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
            else {
                throw HTTPRefusal(
                    status: 400, reason: "BAD_IDEMPOTENCY_KEY",
                    "Idempotency-Key must be 1 to \(Self.idempotencyKeyBytesMax) visible ASCII characters.")
            }
            options.idempotencyKey = key
        }
        if let text = try request.single("request-timeout") {
            guard let seconds = Double(text), seconds > 0, seconds <= Self.timeoutSecondsMax else {
                throw HTTPRefusal(
                    status: 400, reason: "BAD_TIMEOUT",
                    "Request-Timeout must be a number of seconds above 0 and up to \(Int(Self.timeoutSecondsMax)).")
            }
            options.timeout = .seconds(seconds)
        } else if !route.method.serverStreaming, !route.method.clientStreaming {
            options.timeout = .seconds(configuration.callSecondsMax)
        }
        return options
    }

    /// Replies larger than this are written off the loop, which others wait for.
    private static let onLoopBytesMax = 65_536

    static func json(_ message: ByteBuffer, _ type: String, _ field: String) async throws -> [UInt8] {
        let encode: @Sendable () throws -> [UInt8] = {
            guard !field.isEmpty else { return try MessageJSON.encode(message, type: type) }
            return try MessageJSON.encode(message, type: type, field: field) ?? Array("null".utf8)
        }
        return message.readableBytes <= onLoopBytesMax ? try encode() : try await offLoop(encode)
    }
}
