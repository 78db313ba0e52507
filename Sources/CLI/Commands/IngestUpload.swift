internal import ArgumentParser
internal import Core
internal import Platform
internal import RPC
internal import Synchronization

struct IngestUpload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upload", abstract: "Upload files and directories, and wait until they are searchable.",
        discussion: """
            Directories are walked in order of names; hidden files, symbolic links and types that cannot be read are skipped.
            Markdown, plain text, HTML and PDF are read. Exit status 1 when a file failed.

            Example:
              acp ingest upload docs/ notes.md --collection handbook --metadata team=ops
            """)

    @Argument(help: "Files and directories.")
    var paths: [String]

    @Option(name: .long, help: ArgumentHelp("Collection to put the documents in.", valueName: "name"))
    var collection = ""

    @Option(name: .long, help: ArgumentHelp("Metadata of the documents; repeatable.", valueName: "k=v"))
    var metadata: [KeyValue] = []

    @Flag(inversion: .prefixedNo, help: "Wait until the documents are searchable.")
    var wait = true

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let upload = Upload(
            paths: paths, collection: collection, metadata: KeyValue.dictionary(metadata), waits: wait)
        try await Session.run(options, isInterruptible: true) { try await upload.run($0) }
    }
}

/// One run of `acp ingest upload`.
private struct Upload: Sendable {
    let paths: [String]
    let collection: String
    let metadata: [String: String]
    let waits: Bool

    func run(_ session: Session) async throws {
        let reader = try FileReader()
        var (files, others) = try await list(reader)
        // The same file named twice is one document.
        var seen: Set<String> = []
        files = files.filter { seen.insert($0.origin).inserted }
        let client = try session.ingest()
        let uploader = Uploader(
            client: client, reader: reader, collection: collection, metadata: metadata,
            bytesMax: session.configuration[.ingestUploadBytesMax], timeout: session.configuration[.timeout],
            busy: session.busyRetry)
        let uploaded = await uploader.upload(
            files, progress: UploadProgress(files) { session.console.progress($0) })
        var results = uploaded.results
        do {
            if waits, uploaded.stopped == nil { try await wait(&results, client, session) }
        } catch {
            // Whatever was acknowledged is stored: say so before saying what went wrong.
            session.console.endProgress()
            try FileResult.emit(results + others, to: session.output)
            throw error
        }
        session.console.endProgress()
        if uploaded.stopped == nil || results.contains(where: { $0.outcome == .stored }) {
            try FileResult.emit(results + others, to: session.output)
            session.console.note(FileResult.summary(results + others))
        }
        others += results
        if let stopped = uploaded.stopped { throw stopped }
        try Task.checkCancellation()
        if others.contains(where: { $0.outcome == .failed }) { throw EndCommand(ExitStatus.failure) }
    }

    /// The files to send, and what becomes of the rest.
    private func list(_ reader: FileReader) async throws -> ([FileTree.File], [FileResult]) {
        var files: [FileTree.File] = []
        var others: [FileResult] = []
        for path in paths {
            do {
                let listing = try await reader.files(at: path)
                files += listing.files
                others += listing.skipped.map {
                    FileResult(path: $0.path, outcome: .skipped, reason: "SKIPPED", message: $0.reason)
                }
                others += listing.failed.map { FileResult(path: $0.path, failure: $0.failure) }
            } catch {
                others.append(FileResult(path: path, failure: Failure(wrapping: error)))
            }
        }
        return (files, others)
    }

    private func wait(_ results: inout [FileResult], _ client: IngestClient, _ session: Session) async throws {
        let ids = Set(results.filter { $0.outcome == .stored }.map(\.jobID))
        guard !ids.isEmpty else { return }
        let ended = Mutex<[String: Job]>([:])
        let origins = Dictionary(results.map { ($0.jobID, $0.path) }) { first, _ in first }
        let waiter = JobWaiter(client: client, timeout: session.configuration[.timeout])
        defer {
            let jobs = ended.withLock { $0 }
            for index in results.indices {
                if let job = jobs[results[index].jobID] { results[index].finish(job) }
            }
        }
        try await waiter.wait(for: ids) { job in
            ended.withLock { jobs in
                if job.isFinished { jobs[job.id] = job }
                let now = job.state == .running ? "; \(JobTable.stage(job)): \(origins[job.id] ?? job.origin)" : ""
                session.console.progress("processed \(jobs.count) of \(ids.count) files\(now)")
            }
        }
        try await waiter.waitUntilSearchable()
    }
}
