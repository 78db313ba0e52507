internal import ArgumentParser
internal import Core
internal import Platform
internal import RPC

struct IngestStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show one job; exit status 1 when it failed.",
        discussion: """
            Example:
              acp ingest status 01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10 --watch
            """)

    @Argument(help: "The job's id.")
    var job: String

    @Flag(help: "Follow it to its end.")
    var watch = false

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let id = job
        let follows = watch
        try await Session.run(options, isInterruptible: true) { session in
            let client = try session.ingest()
            let job: Job
            if follows {
                let waiter = JobWaiter(client: client, timeout: session.configuration[.timeout])
                job = try await waiter.watch(id) { job in
                    session.console.progress("\(JobTable.word(job.state)) \(JobTable.stage(job))")
                    if session.output.format == .jsonl, !job.isFinished, let json = try? JSONValue(job) {
                        StandardOutput.write(json.json(indent: nil) + "\n")
                    }
                }
                session.console.endProgress()
            } else {
                job = try await client.getJob(GetJobRequest(id: id), options: session.callOptions)
            }
            // Where to send it again; without the document the rest is still worth telling.
            var document: Document?
            if job.isFinished, ![.succeeded, .partial].contains(job.state), session.output.isText {
                document = try? await client.getDocument(
                    GetDocumentRequest(id: job.documentID), options: session.callOptions)
            }
            try session.output.emit(job) { Self.text(job, next: NextStep.after(job, document)) }
            switch job.state {
            case .failed, .dead: throw EndCommand(ExitStatus.failure)
            case .jobCancelled: throw EndCommand(ExitStatus.cancelled)
            default: break
            }
        }
    }

    private static func text(_ job: Job, next: String) -> String {
        var lines = [
            ("job", job.id), ("state", JobTable.word(job.state)), ("stage", JobTable.stage(job)),
            ("attempt", String(job.attempt)), ("origin", Terminal.oneLine(job.origin)), ("document", job.documentID),
            ("created", shortTime(job.createdAt)), ("finished", shortTime(job.finishedAt)), ("trace", job.traceID),
        ]
        if job.state == .queued { lines.append(("before it", String(job.queuePosition))) }
        if job.nextAttemptAt != nil { lines.append(("next try", shortTime(job.nextAttemptAt))) }
        if !job.reason.isEmpty { lines.append(("reason", job.reason)) }
        if !job.message.isEmpty { lines.append(("message", Terminal.oneLine(job.message))) }
        if !next.isEmpty { lines.append(("next", Terminal.oneLine(next))) }
        return lines.map { name, value in
            name + String(repeating: " ", count: max(1, 11 - name.count)) + (value.isEmpty ? "-" : value) + "\n"
        }.joined()
    }
}
