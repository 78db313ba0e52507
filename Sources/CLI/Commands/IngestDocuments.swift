internal import ArgumentParser
internal import Core
internal import RPC

struct IngestDocuments: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "documents", abstract: "List documents, and why those that failed did.",
        discussion: """
            Example:
              acp ingest documents --collection handbook
              acp ingest documents --state failed
            """)

    enum StateName: String, ExpressibleByArgument, CaseIterable {
        case pending, published, failed, retracted

        var state: Document.State {
            switch self {
            case .pending: .pending
            case .published: .published
            case .failed: .failed
            case .retracted: .retracted
            }
        }
    }

    private static let pageSize: UInt32 = 1000

    @Option(name: .long, help: ArgumentHelp("Only this collection.", valueName: "name"))
    var collection = ""

    @Option(name: .long, help: "Only documents whose newest revision is in this state.")
    var state: StateName?

    @Flag(name: .customLong("include-deleted"), help: "Deleted documents, too.")
    var includeDeleted = false

    @Option(name: .long, help: "Most documents, 1 to 100000.")
    var limit = 1000

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        guard (1...100_000).contains(limit) else { throw UsageProblem("--limit takes 1 to 100000, not \(limit).") }
        let most = limit
        let first = ListDocumentsRequest(
            collection: collection, pageSize: min(UInt32(most), Self.pageSize), includeDeleted: includeDeleted,
            state: state?.state ?? .unspecified)
        try await Session.run(options) { session in
            let client = try session.ingest()
            var request = first
            var all = ListDocumentsResponse()
            repeat {
                let page = try await client.listDocuments(request, options: session.callOptions)
                all.documents += page.documents.prefix(most - all.documents.count)
                all.nextPageToken = page.nextPageToken
                request.pageToken = page.nextPageToken
            } while !request.pageToken.isEmpty && all.documents.count < most
            let documents = all.documents
            try session.output.emit(all, items: { try documents.map { try JSONValue($0) } }) {
                var table = Table(
                    "DOCUMENT", "COLLECTION", "STATE", "TYPE", "BYTES", "REVISIONS", "UPDATED", "TITLE", "ORIGIN")
                var failures = FailureList()
                for document in documents {
                    table.add(
                        document.id, document.collection,
                        document.deleted ? "deleted" : document.state.protoName.lowercased(), document.mediaType,
                        String(document.sizeBytes), String(document.revisions), shortTime(document.updatedAt),
                        document.title, document.origin)
                    failures.add(document)
                }
                return session.output.render(table) + failures.rendered
            }
            if documents.isEmpty { session.console.note("No documents.") }
            if !all.nextPageToken.isEmpty { session.console.note("There are more: raise --limit.") }
        }
    }
}

struct IngestDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Take a document out of search.",
        discussion: """
            Its revisions stay for the citations that name them.

            Example:
              acp ingest delete 01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10 --yes
            """)

    @Argument(help: "The document's id.")
    var document: String

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let id = document
        try await Session.run(options) { session in
            let client = try session.ingest()
            try session.confirm("Take the document \(Terminal.oneLine(id)) out of search?")
            let deleted = try await client.deleteDocument(DeleteDocumentRequest(id: id), options: session.callOptions)
            try session.output.emit(deleted) { "deleted \(deleted.id) \(Terminal.oneLine(deleted.origin))\n" }
        }
    }
}
