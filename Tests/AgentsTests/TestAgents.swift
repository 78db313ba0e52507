import Agents
import Core
import Logging
import RPC
import Search
import Storage
import Synchronization
import TestSupport

/// A real agents server on a real database, in front of a text and search server whose honesty the test chooses. All calls are ACP/1.
struct TestAgents {
    let client: AnswersClient
    let textServer: TextServer
    let system: AgentsSystem
    let database: Database
    let corpus: IndexedCorpus

    /// Runs `body` with everything started, and stops it.
    static func with<T>(
        _ configuration: AgentsSystem.Configuration = .init(), _ body: (TestAgents) async throws -> T
    ) async throws -> T {
        let corpus = try IndexedCorpus.project()
        let database = try await TestPostgres.shared().freshDatabase()
        try await publish(corpus, in: database)
        let runtime = RPCRuntime(threads: 1)
        let textServer = TextServer(corpus)
        var router = ServiceRouter()
        textServer.register(in: &router)
        let ingestServer = RPCServer(runtime: runtime, router: router, configuration: .authenticated)
        let ingest = RPCClient(runtime: runtime, endpoint: .inProcess(ingestServer))
        let system = AgentsSystem(
            database: database, ingest: ingest, configuration: configuration,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var agentsRouter = ServiceRouter()
        system.register(in: &agentsRouter)
        let server = RPCServer(runtime: runtime, router: agentsRouter, configuration: .authenticated)
        let client = RPCClient(runtime: runtime, endpoint: .inProcess(server))
        let agents = TestAgents(
            client: AnswersClient(client), textServer: textServer, system: system, database: database, corpus: corpus)
        let result: Result<T, any Error>
        do { result = .success(try await body(agents)) } catch { result = .failure(error) }
        system.stop()
        await client.shutdown()
        await server.shutdown(grace: .milliseconds(200))
        await ingest.shutdown()
        await ingestServer.shutdown(grace: .milliseconds(200))
        await runtime.shutdown()
        database.close()
        return try result.get()
    }

    /// Every event of one question.
    func ask(
        _ question: String, sentencesMax: UInt32 = 0, key: String = "viewer", timeout: Duration? = nil
    ) async throws -> [AskEvent.Event] {
        var events: [AskEvent.Event] = []
        let request = AskRequest(question: question, sentencesMax: sentencesMax)
        for try await event in try await client.ask(request, options: CallOptions(timeout: timeout, credential: key)) {
            if let event = event.event { events.append(event) }
        }
        return events
    }

    /// The final answer of one question.
    func answer(_ question: String, key: String = "viewer") async throws -> Answer {
        guard case .answer(let answer) = try await ask(question, key: key).last else {
            throw Failure(.internalError, "the stream ended without an answer")
        }
        return answer
    }

    func count(_ table: StaticString) async throws -> Int {
        try await database.run { try $0.execute(table).one().int(0) }
    }

    /// The corpus as ingestion would have left it in the database.
    private static func publish(_ corpus: IndexedCorpus, in database: Database) async throws {
        try await database.transaction { connection in
            for name in KeyTable.principals.keys.sorted() {
                guard let principal = KeyTable.principals[name] else { continue }
                try connection.execute(
                    "INSERT INTO principals (id, name, role) VALUES ($1, $2, $3)",
                    [.uuid(principal.id), .text(name), .text(principal.role.name)])
            }
            for document in corpus.documents {
                let hash = ContentHash.of(document.text)
                let size = document.text.utf8.count
                try connection.execute(
                    "INSERT INTO originals (sha256, size) VALUES ($1, $2)", [.bytes(hash), .int(size)])
                try connection.execute(
                    """
                    INSERT INTO documents (id, collection_id, origin, title)
                    SELECT $1, id, $2, $3 FROM collections WHERE name = 'default'
                    """, [.uuid(document.id), .text(document.origin), .text(document.title)])
                try connection.execute(
                    """
                    INSERT INTO revisions (id, document_id, sequence, original_sha256, size, media_type, state, parser,
                                           text_zstd, text_sha256, text_size, structure, receipt, published_at)
                    VALUES ($1, $2, 1, $3, $4, 'text/markdown', 'published', 'test', $5, $3, $4, '{}', '{}', now())
                    """,
                    [
                        .uuid(document.revision), .uuid(document.id), .bytes(hash), .int(size),
                        .bytes(try Zstd.compress(Array(document.text.utf8))),
                    ])
                for (ordinal, chunk) in document.chunks.enumerated() {
                    try connection.execute(
                        """
                        INSERT INTO chunks (id, revision_id, ordinal, span_start, span_end, heading_path, hash, text)
                        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                        """,
                        [
                            .uuid(chunk.id), .uuid(document.revision), .int(ordinal), .int(chunk.span.start),
                            .int(chunk.span.end), .textArray(chunk.headingPath), .bytes(chunk.hash), .text(chunk.text),
                        ])
                }
            }
        }
    }
}

/// Search and text over a corpus: what the agents service calls.
final class TextServer: SearchService {
    enum Conduct: Sendable {
        case honest
        /// GetText returns text in which the letter e has become a 3.
        case altersText
        /// Search returns hits whose text is not the chunk's.
        case altersHits
        /// GetText says that nothing is there.
        case hidesText
        /// GetText never answers.
        case hangs
    }

    let conduct = Mutex(Conduct.honest)
    /// Credentials and request ids of the calls that came.
    let callers = Mutex<[(credential: String, requestID: String)]>([])
    private let corpus: IndexedCorpus

    init(_ corpus: IndexedCorpus) { self.corpus = corpus }

    func register(in router: inout ServiceRouter) {
        (self as any SearchService).register(in: &router)
        router.unary(IngestMethods.getText) { try await self.getText($0, $1) }
        HealthServer { _ in HealthCheckResponse(status: .serving) }.register(in: &router)
    }

    func search(_ request: SearchRequest, _ context: ServerContext) async throws -> SearchResponse {
        callers.withLock { $0.append((context.call.credential, context.call.requestID)) }
        var response = try await offLoop { [corpus] in try corpus.search(request) }
        if case .altersHits = conduct.withLock({ $0 }) {
            for index in response.hits.indices { response.hits[index].text += " " }
        }
        return response
    }

    func getText(_ request: GetTextRequest, _ context: ServerContext) async throws -> GetTextResponse {
        callers.withLock { $0.append((context.call.credential, context.call.requestID)) }
        let conduct = conduct.withLock { $0 }
        if case .hangs = conduct { try await Task.sleep(for: .seconds(60)) }
        guard let document = corpus.documents.first(where: { $0.revision.description == request.revisionID }) else {
            throw Failure(.notFound, reason: "REVISION_NOT_FOUND", "There is no such revision.")
        }
        if case .hidesText = conduct {
            throw Failure(.notFound, reason: "REVISION_NOT_FOUND", "There is no such revision.")
        }
        let bytes = Array(document.text.utf8)
        let (start, end) = (Int(clamping: request.start), request.end == 0 ? bytes.count : Int(clamping: request.end))
        guard start <= end, end <= bytes.count else {
            throw Failure(
                .outOfRange, reason: "TEXT_RANGE", "The text has \(bytes.count) bytes; the range ends at \(end).")
        }
        for offset in [start, end] where offset < bytes.count && bytes[offset] & 0xC0 == 0x80 {
            throw Failure.invalid(field: "start", "byte \(offset) is inside a character")
        }
        var text = String(decoding: bytes[start..<end], as: UTF8.self)
        if case .altersText = conduct { text = String(text.map { $0 == "e" ? "3" : $0 }) }
        return GetTextResponse(
            revisionID: request.revisionID, documentID: document.id.description, start: UInt64(start),
            end: UInt64(end), text: text, textBytes: UInt64(bytes.count))
    }
}

/// Keys `viewer`, `other` (a viewer too) and `admin`.
struct KeyTable: Authenticator {
    static let principals = [
        "viewer": Principal(id: UUIDv7(high: 0x7000, low: 0x8000_0000_0000_0101), name: "viewer", role: .viewer),
        "other": Principal(id: UUIDv7(high: 0x7000, low: 0x8000_0000_0000_0102), name: "other", role: .viewer),
        "admin": Principal(id: UUIDv7(high: 0x7000, low: 0x8000_0000_0000_0103), name: "admin", role: .admin),
    ]

    func authenticate(_ credential: String) async throws -> Principal {
        guard let principal = Self.principals[credential] else {
            throw Failure(.unauthenticated, reason: "UNKNOWN_KEY", "The key is not known.")
        }
        return principal
    }
}

extension RPCServer.Configuration {
    static var authenticated: RPCServer.Configuration {
        var configuration = RPCServer.Configuration()
        configuration.authenticator = KeyTable()
        return configuration
    }
}

/// The failure that `body` throws; nil when it throws none.
func failure<T>(_ body: () async throws -> T) async -> Failure? {
    do {
        _ = try await body()
        return nil
    } catch { return Failure(wrapping: error) }
}
