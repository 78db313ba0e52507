internal import Core
public import Logging
internal import Metrics
public import NIOCore
internal import NIOHTTP1
public import RPC
internal import Synchronization

/// HTTP for everything behind ACP/1: translates by descriptor and guards; no business logic, no route written by hand.
///
/// Routes come from the `google.api.http` options of the generated catalogue, messages from protobuf-c's descriptors. Install it as
/// `RPCServer.Configuration.httpFallback` of the gateway's port, whose loops must be those of `runtime`.
public final class HTTPGateway: Sendable {
    /// Which security headers answers carry.
    public enum HeaderProfile: String, Sendable, CaseIterable {
        /// All of them, `X-XSS-Protection` included.
        case seed
        /// Without `X-XSS-Protection`, which OWASP advises against.
        case owasp
    }

    public struct Configuration: Sendable {
        /// `headers.profile`.
        public var headerProfile = HeaderProfile.seed
        /// Bytes of a JSON body.
        public var jsonBytesMax = 5 << 20
        /// Bytes of one uploaded file.
        public var uploadBytesMax = Limits.uploadBytesMax
        /// Bytes of a whole multipart body.
        public var batchBytesMax = 1 << 30
        /// Files of one upload form.
        public var batchFilesMax = Limits.batchFilesMax
        /// Seconds a unary call may take when the request does not say.
        public var callSecondsMax = 60.0
        /// Seconds in which a slow sender or reader is dropped.
        public var slowClientSecondsMax = 10.0
        /// Seconds a connection may be quiet between requests.
        public var idleSecondsMax = 60.0
        /// Silence after which an event stream gets a comment.
        public var keepAliveSeconds = 15.0
        /// Milliseconds a closed connection stays readable, so that its last answer arrives.
        public var lingerMs: Int64 = 1000

        public init() {}
    }

    private let shared: Shared
    private let runtime: RPCRuntime

    /// - Parameters:
    ///   - clients: the client of each service, by full name such as `acp.v1.Search`. They must have no credential of their own: callers
    ///     without one would borrow it.
    ///   - operatorRoutes: `/metrics`, `/healthz`, `/readyz`, `/version`, by path.
    /// - Throws: `Failure` INTERNAL for a catalogue that HTTP cannot carry.
    public init(
        configuration: Configuration = Configuration(), runtime: RPCRuntime, clients: [String: RPCClient],
        operatorRoutes: [String: @Sendable () async -> OperatorSurface.Response], logger: Logger
    ) throws {
        self.runtime = runtime
        shared = Shared(
            configuration: configuration, routes: try RouteTable(Catalogue.methods),
            transcoder: try Transcoder(configuration: configuration, clients: clients, methods: Catalogue.methods),
            operatorRoutes: operatorRoutes, observer: RequestObserver(logger: logger))
    }

    /// Makes `channel` speak HTTP. Called on the channel's loop before any byte is read.
    public func configure(_ channel: any Channel) throws {
        let pace = ClientPace(shared.configuration)
        let connection = HTTPConnection(gateway: shared, executor: runtime.executor(of: channel.eventLoop), pace: pace)
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = RequestCheck.headerBytesMax
        limits.maxHeaderListSize = RequestCheck.headerBytesMax + RequestTarget.bytesMax
        limits.maxHeaderFieldCount = RequestCheck.headersMax + 1
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(pace)
        try pipeline.addHandler(HTTPResponseEncoder())
        try pipeline.addHandler(
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits)))
        try pipeline.addHandler(HTTPServerPipelineHandler())
        try pipeline.addHandler(connection)
    }

    /// Closes idle connections now and the others after their answer; after `grace` all of them.
    public func shutdown(grace: Duration) async {
        for connection in shared.connections.all() { connection.drain() }
        let deadline = MonotonicTime.now().advanced(by: grace)
        while !shared.connections.isEmpty, MonotonicTime.now() < deadline {
            // A cancelled sleep means that whoever stops us has no patience left.
            do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
        }
        for connection in shared.connections.all() { connection.closeNow() }
    }

    /// What all connections use.
    final class Shared: Sendable {
        let configuration: Configuration
        let securityHeaders: SecurityHeaders
        let observer: RequestObserver
        let connections: HTTPConnectionSet
        private let routes: RouteTable
        private let transcoder: Transcoder
        private let operatorRoutes: [String: @Sendable () async -> OperatorSurface.Response]

        init(
            configuration: Configuration, routes: RouteTable, transcoder: Transcoder,
            operatorRoutes: [String: @Sendable () async -> OperatorSurface.Response], observer: RequestObserver
        ) {
            self.configuration = configuration
            self.routes = routes
            self.transcoder = transcoder
            self.operatorRoutes = operatorRoutes
            self.observer = observer
            securityHeaders = SecurityHeaders(configuration.headerProfile)
            connections = HTTPConnectionSet()
        }

        /// Decides what a request is.
        /// - Throws: `HTTPRefusal`.
        func admit(_ request: HTTPRequest, _ exchange: Exchange) throws -> Handling {
            let path = request.target.path
            if path == "*" {
                guard request.verb == "OPTIONS" else {
                    throw HTTPRefusal.malformed("BAD_TARGET", "Only OPTIONS may ask about the server itself.")
                }
                return .answer(Self.options(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]))
            }
            if let page = Pages.all[path] {
                exchange.pattern = path
                return try reading(request, path) { .answer(page) }
            }
            if let route = operatorRoutes[path] {
                exchange.pattern = path
                return try reading(request, path) {
                    .buffered(bytesMax: 0) { exchange, _ in
                        let response = await route()
                        exchange.answer(
                            HTTPAnswer(
                                status: response.status, headers: [("Content-Type", response.contentType)],
                                body: ByteBuffer(bytes: response.body)))
                    }
                }
            }
            switch try routes.find(request.verb, request.target.segments) {
            case .found(let route, let variables):
                exchange.pattern = route.rule.template
                return try transcoder.handling(route, variables, request, exchange.identity)
            case .otherVerbs(let verbs):
                return try otherVerb(request, path, verbs.contains("GET") ? verbs + ["HEAD"] : verbs)
            case .unknown:
                throw HTTPRefusal(
                    status: 404, code: .notFound, reason: "UNKNOWN_PATH", "Nothing is served at this path.",
                    remedy: "GET /openapi.json lists what is.")
            }
        }

        private func reading(_ request: HTTPRequest, _ path: String, _ handling: () -> Handling) throws -> Handling {
            guard request.verb == "GET" || request.verb == "HEAD" else {
                return try otherVerb(request, path, ["GET", "HEAD"])
            }
            return handling()
        }

        private func otherVerb(_ request: HTTPRequest, _ path: String, _ verbs: [String]) throws -> Handling {
            let allowed = Set(verbs + ["OPTIONS"]).sorted()
            if request.verb == "OPTIONS" { return .answer(Self.options(allowed)) }
            throw HTTPRefusal(
                status: 405, code: .unimplemented, reason: "METHOD_NOT_ALLOWED",
                "\(request.verb) is not possible at this path.",
                remedy: "Possible are \(allowed.joined(separator: ", ")).",
                headers: [("Allow", allowed.joined(separator: ", "))])
        }

        private static func options(_ verbs: [String]) -> HTTPAnswer {
            HTTPAnswer(status: 204, headers: [("Allow", verbs.joined(separator: ", "))])
        }
    }
}

/// The open connections of a gateway.
final class HTTPConnectionSet: Sendable {
    private let members = Mutex<[ObjectIdentifier: HTTPConnection]>([:])
    private let gauge = RequestObserver.connectionsGauge()

    var isEmpty: Bool { members.withLock { $0.isEmpty } }

    func insert(_ connection: HTTPConnection) {
        gauge.set(
            members.withLock { members -> Int in
                members[ObjectIdentifier(connection)] = connection
                return members.count
            })
    }

    func remove(_ connection: HTTPConnection) {
        gauge.set(
            members.withLock { members -> Int in
                members[ObjectIdentifier(connection)] = nil
                return members.count
            })
    }

    func all() -> [HTTPConnection] { members.withLock { Array($0.values) } }
}
