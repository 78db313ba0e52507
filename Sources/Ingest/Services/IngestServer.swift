internal import Core
internal import RPC
internal import Storage

/// `acp.v1.Ingest`.
struct IngestServer: IngestService {
    /// Items of a page, and how many when the caller does not say.
    private static let pageMax = 1000
    private static let pageDefault = 100

    let uploads: UploadService
    let store: DocumentStore
    let texts: RevisionText
    let queue: JobQueue
    let status: IngestStatus
    /// Called after a deletion: followers should look.
    let changed: @Sendable () -> Void

    // MARK: Documents

    func uploadDocument(
        _ requests: RequestReader<UploadDocumentRequest>, _ context: ServerContext
    ) async throws -> UploadDocumentResponse {
        try await uploads.upload(requests, idempotencyKey: context.idempotencyKey)
    }

    func pasteDocument(_ request: PasteDocumentRequest, _ context: ServerContext) async throws -> UploadDocumentResponse
    {
        try await uploads.paste(request, idempotencyKey: context.idempotencyKey)
    }

    func listDocuments(_ request: ListDocumentsRequest, _ context: ServerContext) async throws -> ListDocumentsResponse
    {
        let (limit, after) = try Self.page(size: request.pageSize, token: request.pageToken)
        if case .unrecognized = request.state { throw Failure.invalid(field: "state", "is not a state of a document") }
        let documents = try await store.database.run { connection in
            if !request.collection.isEmpty { try DocumentQueries.requireCollection(request.collection, on: connection) }
            return try DocumentQueries.page(
                collection: request.collection, state: request.state, after: after, limit: limit + 1,
                includeDeleted: request.includeDeleted, on: connection)
        }
        let page = Array(documents.prefix(limit))
        return ListDocumentsResponse(
            documents: page, nextPageToken: documents.count > limit ? page.last?.id ?? "" : "")
    }

    func getDocument(_ request: GetDocumentRequest, _ context: ServerContext) async throws -> RPC.Document {
        let id = try Self.id("id", request.id)
        return try await store.database.run { connection in
            guard var document = try DocumentQueries.load([id], on: connection).first else {
                throw DocumentQueries.notFound(id)
            }
            document.receipt = try DocumentQueries.receipt(ofDocument: id, on: connection)
            return document
        }
    }

    func deleteDocument(_ request: DeleteDocumentRequest, _ context: ServerContext) async throws -> RPC.Document {
        let (document, ended) = try await store.delete(try Self.id("id", request.id))
        changed()
        await queue.announce(ended)
        return document
    }

    func getText(_ request: GetTextRequest, _ context: ServerContext) async throws -> GetTextResponse {
        try await texts.range(
            revision: try Self.id("revision_id", request.revisionID), start: request.start, end: request.end)
    }

    // MARK: Jobs

    func getJob(_ request: GetJobRequest, _ context: ServerContext) async throws -> RPC.Job {
        try await job(try Self.id("id", request.id))
    }

    func watchJob(
        _ request: GetJobRequest, _ responses: ResponseWriter<RPC.Job>, _ context: ServerContext
    ) async throws {
        let id = try Self.id("id", request.id)
        var last: RPC.Job?
        for try await _ in queue.updates(id) {
            let job = try await job(id)
            if job != last { try await responses.write(job) }
            last = job
            if Storage.JobState(job.state)?.isTerminal == true { return }
        }
    }

    func listJobs(_ request: ListJobsRequest, _ context: ServerContext) async throws -> ListJobsResponse {
        let (limit, after) = try Self.page(size: request.pageSize, token: request.pageToken)
        var states: Set<Storage.JobState> = []
        if request.state != .unspecified {
            guard let state = Storage.JobState(request.state) else {
                throw Failure.invalid(field: "state", "is not a state of a job")
            }
            states = [state]
        }
        // One more than a page tells whether there is another.
        let found = try await queue.list(after: after, limit: limit + 1, states: states).map(\.id)
        let page = Array(found.prefix(limit))
        let jobs = try await store.database.run { try JobView.load(page, on: $0) }.sorted { $0.id > $1.id }
        return ListJobsResponse(jobs: jobs, nextPageToken: found.count > limit ? page.last?.description ?? "" : "")
    }

    func getStatus(_ request: GetStatusRequest, _ context: ServerContext) async throws -> GetStatusResponse {
        try await status.get()
    }

    /// A job with its place in the queue.
    /// - Throws: NOT_FOUND.
    private func job(_ id: UUIDv7) async throws -> RPC.Job {
        guard var job = try await store.database.run({ try JobView.load([id], on: $0) }).first else {
            // Says it in the queue's words.
            _ = try await queue.get(id)
            throw Failure(.notFound, reason: "JOB_NOT_FOUND", "There is no job \(id).")
        }
        if job.state == .queued { job.queuePosition = UInt32(clamping: try await queue.explain(id).ahead ?? 0) }
        return job
    }

    // MARK: Requests

    private static func id(_ field: String, _ text: String) throws -> UUIDv7 {
        var check = FieldChecks()
        let id = check.id(field, text)
        try check.finish()
        guard let id else { throw Failure.invalid(field: field, "is not an id") }
        return id
    }

    private static func page(size: UInt32, token: String) throws -> (limit: Int, after: UUIDv7?) {
        var check = FieldChecks()
        check.require("page_size", size <= UInt32(pageMax), "must be 1 to \(pageMax), or 0 for \(pageDefault)")
        let after = token.isEmpty ? nil : UUIDv7(token)
        check.require("page_token", token.isEmpty || after != nil, "is not a token of an answer before")
        try check.finish()
        return (size == 0 ? pageDefault : Int(size), after)
    }
}
