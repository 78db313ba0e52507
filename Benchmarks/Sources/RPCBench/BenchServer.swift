import Core
import Glibc
import Logging
import Platform
import RPC

/// The methods of Benchmarks/Protos/bench.proto with the messages of acp.v1, which have the same fields.
enum BenchMethods {
    static let echo = method("Echo", reply: SearchRequest.typeName)
    static let search = method("Search", reply: SearchResponse.typeName)
    static let stream = method("Stream", reply: UploadDocumentRequest.typeName, serverStreaming: true)

    private static func method(_ name: String, reply: String, serverStreaming: Bool = false) -> MethodDescriptor {
        MethodDescriptor(
            path: "/acp.bench.v1.Bench/\(name)", service: "acp.bench.v1.Bench", name: name,
            requestType: SearchRequest.typeName, responseType: reply, clientStreaming: false,
            serverStreaming: serverStreaming, access: .open, idempotent: true, uploadStartField: "",
            uploadDataField: "", httpRules: [])
    }
}

enum BenchServer {
    /// With its two-byte tag and length of three bytes or less, a message of 64 KiB.
    static let chunkBytes = 65_532

    /// Connections of the idle scenario.
    private static let connectionsMax = 10_000

    static func run() async throws {
        // For all scenarios but one fewer would do, so being refused is no error here.
        try? FileLimit.raise(to: connectionsMax + FileLimit.spare)
        MetricsRegistry.bootstrap()
        let runtime = RPCRuntime(threads: 1)
        var configuration = RPCServer.Configuration()
        var logger = Logger(label: "bench")
        logger.logLevel = .info
        configuration.observer = CallObserver(service: "bench", logger: logger)
        let server = RPCServer(runtime: runtime, router: router(), configuration: configuration)
        let address = try await server.start(host: "127.0.0.1", port: 0)
        print(address.port ?? 0)
        fflush(nil)
        while readLine() != nil {}
        await server.shutdown(grace: .milliseconds(100))
        await runtime.shutdown()
    }

    private static func router() -> ServiceRouter {
        let texts = ReplyTexts()
        let chunk = UploadDocumentRequest(part: .data([UInt8](repeating: 0x78, count: chunkBytes)))
        var router = ServiceRouter()
        router.unary(BenchMethods.echo) { (request: SearchRequest, _) in request }
        router.unary(BenchMethods.search) { (_: SearchRequest, _) in texts.reply() }
        router.serverStreaming(BenchMethods.stream) {
            (request: SearchRequest, replies: ResponseWriter<UploadDocumentRequest>, _) in
            for _ in 0..<request.limit { try await replies.write(chunk) }
        }
        return router
    }
}

/// What the search reply says; the same as Benchmarks/Peers/Shared/bench.h.
struct ReplyTexts: Sendable {
    private static let hits = 5
    private static let textBytes = 444

    private let documentIDs = (1...hits).map { "0190f3c2-7a1b-7c3d-8e4f-00000000000\($0)" }
    private let revisionIDs = (1...hits).map { "0190f3c2-7a1c-7c3d-8e4f-00000000000\($0)" }
    private let chunkIDs = (1...hits).map { "0190f3c2-7a1d-7c3d-8e4f-00000000000\($0)" }
    private let text: String
    private let title = "Carrier label service: interface specification"
    private let headings = ["Interfaces", "Label printing and retries"]
    private let origin = "upload:specifications/label-service.pdf"

    init() {
        let sentence = "The carrier answers within two seconds or the label is printed from the cached template. "
        text = String(String(repeating: sentence, count: 6).prefix(Self.textBytes))
    }

    func reply() -> SearchResponse {
        var response = SearchResponse()
        response.hits.reserveCapacity(Self.hits)
        for index in 0..<Self.hits { response.hits.append(hit(index)) }
        response.sequence = 48_213
        response.candidates = 137
        response.coverage = 0.82
        response.indexUs = 412
        return response
    }

    private func hit(_ index: Int) -> Hit {
        let start = UInt64(1000 * index + 17)
        return Hit(
            documentID: documentIDs[index], revisionID: revisionIDs[index], chunkID: chunkIDs[index], start: start,
            end: start + UInt64(Self.textBytes), hash: [UInt8](repeating: UInt8(index + 1), count: 32),
            score: 12.5 - Double(index), title: title, headingPath: headings, page: UInt32(index + 3), text: text,
            highlights: [
                Highlight(start: 12, end: 19), Highlight(start: 64, end: 71), Highlight(start: 200, end: 210),
            ],
            collection: "projects", origin: origin, metadata: ["author": "M. Keller", "status": "approved"])
    }
}
