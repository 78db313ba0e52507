import Core
import NIOCore
import RPC
import Synchronization

/// What the services of a test saw and do. Real handlers behind a real server; nothing stands in for the gateway.
final class ServiceLog: Sendable {
    struct Call: Sendable {
        var method: String
        var trace: TraceContext
        var requestID: String
        var correlationID: String
        var credential: String
        var idempotencyKey: String
        var hasDeadline: Bool
    }

    private let state = Mutex<(calls: [Call], uploads: [UploadStart], cancelled: Int)>(([], [], 0))
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    init() { (changes, changed) = AsyncStream.makeStream() }

    var calls: [Call] { state.withLock { $0.calls } }
    var uploads: [UploadStart] { state.withLock { $0.uploads } }
    var cancelled: Int { state.withLock { $0.cancelled } }

    func note(_ context: ServerContext) {
        let call = Call(
            method: context.method.name, trace: context.call.trace, requestID: context.call.requestID,
            correlationID: context.call.correlationID, credential: context.call.credential,
            idempotencyKey: context.idempotencyKey, hasDeadline: context.call.deadline != nil)
        state.withLock { $0.calls.append(call) }
        changed.yield()
    }

    func noteUpload(_ start: UploadStart) { state.withLock { $0.uploads.append(start) } }

    func noteCancelled() {
        state.withLock { $0.cancelled += 1 }
        changed.yield()
    }

    /// Returns when `condition` holds; it is looked at after every change. One waiter at a time.
    func until(_ condition: (ServiceLog) -> Bool) async {
        if condition(self) { return }
        for await _ in changes where condition(self) { return }
    }
}

struct TestSearch: SearchService {
    let log: ServiceLog

    func search(_ request: SearchRequest, _ context: ServerContext) async throws -> SearchResponse {
        log.note(context)
        switch request.query {
        case "busy": throw Failure(.resourceExhausted, reason: "BUSY", "Too much.", remedy: "Wait.", retryAfterMs: 1500)
        case "down": throw Failure(.unavailable, reason: "DOWN", "The index is loading.")
        case "fields": throw Failure.invalid(field: "query", "it is \"bad\"")
        case "hang":
            do { try await Task.sleep(for: .seconds(60)) } catch {
                log.noteCancelled()
                throw error
            }
        case let text where text.hasPrefix("code:"):
            throw Failure(StatusCode(rawValue: Int(text.dropFirst(5)) ?? 13) ?? .internalError, "As asked.")
        default: break
        }
        let hit = Hit(
            documentID: "d", start: 1, end: 1 << 40, hash: [1, 2], score: 0.5, title: request.query,
            metadata: request.filter)
        return SearchResponse(
            hits: Array(repeating: hit, count: Int(request.limit)), sequence: 7,
            candidates: UInt64(request.collections.count))
    }
}

struct TestAnswers: AnswersService {
    let log: ServiceLog

    func ask(_ request: AskRequest, _ responses: ResponseWriter<AskEvent>, _ context: ServerContext) async throws {
        log.note(context)
        if request.question == "refused" { throw Failure.invalid(field: "question", "no") }
        if request.question == "empty" { return }
        try await responses.write(AskEvent(event: .retrieval(Retrieval(sequence: 3, candidates: 2))))
        if request.question == "breaks" { throw Failure(.unavailable, reason: "DOWN", "The index went away.") }
        if request.question == "hang" {
            do { try await Task.sleep(for: .seconds(60)) } catch {
                log.noteCancelled()
                throw error
            }
        }
        if let count = ["some": 100, "much": 2000][request.question] {
            let text = String(repeating: "x", count: 60_000)
            do {
                for _ in 0..<count { try await responses.write(AskEvent(event: .sentence(AnswerSentence(text: text)))) }
            } catch {
                log.noteCancelled()
                throw error
            }
        }
        try await responses.write(AskEvent(event: .sentence(AnswerSentence(text: "line\nbreak"))))
        try await responses.write(AskEvent(event: .answer(Answer(id: "a1", outcome: .abstained))))
    }

    func getAnswer(_ request: GetAnswerRequest, _ context: ServerContext) async throws -> Answer {
        log.note(context)
        return Answer(id: request.id)
    }

    func verifyCitations(_ request: VerifyCitationsRequest, _ context: ServerContext) async throws
        -> VerifyCitationsResponse
    {
        log.note(context)
        return VerifyCitationsResponse(
            checks: request.citations.map { CitationCheck(valid: $0.quote == "q", problem: "") }, allValid: true)
    }
}

struct TestIngest: IngestService {
    let log: ServiceLog

    func uploadDocument(
        _ requests: RequestReader<UploadDocumentRequest>, _ context: ServerContext
    ) async throws -> UploadDocumentResponse {
        log.note(context)
        var count: UInt64 = 0
        var sum: UInt64 = 0
        var start = UploadStart()
        do {
            for try await request in requests {
                switch request.part {
                case .start(let value):
                    start = value
                    log.noteUpload(value)
                    if start.origin == "refused" {
                        throw Failure(.invalidArgument, reason: "WRONG_TYPE", "Not a document.")
                    }
                case .data(let bytes):
                    count += UInt64(bytes.count)
                    for byte in bytes { sum = sum &* 31 &+ UInt64(byte) }
                case nil: break
                }
            }
        } catch {
            if Failure(wrapping: error).code == .cancelled { log.noteCancelled() }
            throw error
        }
        return UploadDocumentResponse(
            document: Document(
                id: String(sum), collection: start.collection, origin: start.origin, title: start.title,
                mediaType: start.mediaType, metadata: start.metadata, sizeBytes: count))
    }

    func pasteDocument(_ request: PasteDocumentRequest, _ context: ServerContext) async throws -> UploadDocumentResponse
    {
        log.note(context)
        return UploadDocumentResponse(
            document: Document(title: request.title, sizeBytes: UInt64(request.text.utf8.count)))
    }

    func listDocuments(_ request: ListDocumentsRequest, _ context: ServerContext) async throws -> ListDocumentsResponse
    {
        log.note(context)
        return ListDocumentsResponse(nextPageToken: "\(request.pageSize) \(request.includeDeleted)")
    }

    func getDocument(_ request: GetDocumentRequest, _ context: ServerContext) async throws -> Document {
        log.note(context)
        return Document(id: request.id)
    }

    func deleteDocument(_ request: DeleteDocumentRequest, _ context: ServerContext) async throws -> Document {
        log.note(context)
        return Document(id: request.id, deleted: true)
    }

    func getText(_ request: GetTextRequest, _ context: ServerContext) async throws -> GetTextResponse {
        log.note(context)
        return GetTextResponse(revisionID: request.revisionID, start: request.start, end: request.end, text: "Ω")
    }

    func getJob(_ request: GetJobRequest, _ context: ServerContext) async throws -> Job {
        log.note(context)
        return Job(id: request.id)
    }

    func watchJob(_ request: GetJobRequest, _ responses: ResponseWriter<Job>, _ context: ServerContext) async throws {
        log.note(context)
        try await responses.write(Job(id: request.id, state: .running))
        if request.id == "quiet" {
            do { try await Task.sleep(for: .seconds(60)) } catch {
                log.noteCancelled()
                throw error
            }
        }
        try await responses.write(Job(id: request.id, state: .succeeded))
    }

    func listJobs(_ request: ListJobsRequest, _ context: ServerContext) async throws -> ListJobsResponse {
        log.note(context)
        return ListJobsResponse(jobs: [Job(state: request.state)])
    }

    func getStatus(_ request: GetStatusRequest, _ context: ServerContext) async throws -> GetStatusResponse {
        log.note(context)
        return GetStatusResponse(documents: 5)
    }
}

struct TestKeys: KeysService {
    let log: ServiceLog

    func createKey(_ request: CreateKeyRequest, _ context: ServerContext) async throws -> CreateKeyResponse {
        log.note(context)
        return CreateKeyResponse(key: ApiKey(name: request.name), secret: "s")
    }

    func listKeys(_ request: ListKeysRequest, _ context: ServerContext) async throws -> ListKeysResponse {
        log.note(context)
        return ListKeysResponse()
    }

    func revokeKey(_ request: RevokeKeyRequest, _ context: ServerContext) async throws -> ApiKey {
        log.note(context)
        return ApiKey(id: request.id, revoked: true)
    }

    func whoAmI(_ request: WhoAmIRequest, _ context: ServerContext) async throws -> WhoAmIResponse {
        log.note(context)
        return WhoAmIResponse(name: context.call.principal?.name ?? "")
    }
}

struct TestAuthenticator: Authenticator {
    func authenticate(_ credential: String) async throws -> Principal {
        let roles: [String: Role] = ["admin-key": .admin, "viewer-key": .viewer]
        guard let role = roles[credential] else {
            throw Failure(.unauthenticated, reason: "BAD_KEY", "The API key is not known.")
        }
        return Principal(id: UUIDv7(), name: role.name, role: role)
    }
}
