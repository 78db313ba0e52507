internal import ArgumentParser
internal import Core
internal import Platform
internal import RPC

struct IngestPaste: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "paste", abstract: "Add a text at hand as a document; - reads standard input.",
        discussion: """
            Example:
              acp ingest paste "Backups are kept for seven years." --title "Retention note"
            """)

    /// Bytes of text that the service takes this way.
    private static let textBytesMax = 4_000_000

    @Argument(help: "The text, or - for standard input.")
    var text: String

    @Option(name: .long, help: "Title of the document.")
    var title = ""

    @Option(
        name: .long,
        help: ArgumentHelp("Identity of the document in its collection; the text's hash otherwise.", valueName: "name"))
    var origin = ""

    @Option(name: .long, help: ArgumentHelp("Collection to put the document in.", valueName: "name"))
    var collection = ""

    @Option(name: .long, help: ArgumentHelp("Metadata of the document; repeatable.", valueName: "k=v"))
    var metadata: [KeyValue] = []

    @Flag(inversion: .prefixedNo, help: "Wait until the document is searchable.")
    var wait = true

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let content = text == "-" ? try StandardInput.text(bytesMax: Self.textBytesMax, what: "The text") : text
        guard !content.isEmpty else { throw UsageProblem("the text is empty.") }
        let request = PasteDocumentRequest(
            collection: collection, origin: origin, title: title, text: content,
            metadata: KeyValue.dictionary(metadata))
        let waits = wait
        let fallback = origin
        try await Session.run(options, isInterruptible: true) { session in
            let client = try session.ingest()
            // Repeating it is safe: the same text for the same origin is a no-op.
            let response = try await session.busyRetry.run {
                try await client.pasteDocument(request, options: session.callOptions)
            }
            var result = FileResult(path: response.document?.origin ?? fallback, response: response)
            if waits, result.outcome == .stored {
                let waiter = JobWaiter(client: client, timeout: session.configuration[.timeout])
                result.finish(try await waiter.watch(result.jobID) { _ in })
                try await waiter.waitUntilSearchable()
            }
            try FileResult.emit([result], to: session.output)
            if result.outcome == .failed { throw EndCommand(ExitStatus.failure) }
        }
    }
}
