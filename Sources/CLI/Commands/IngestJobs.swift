internal import ArgumentParser
internal import Core
internal import RPC

struct IngestJobs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "List jobs, newest first, and why those that failed did.",
        discussion: """
            Example:
              acp ingest jobs --state failed --limit 20
            """)

    enum StateName: String, ExpressibleByArgument, CaseIterable {
        case queued, running, succeeded, partial, failed, dead, cancelled

        var state: JobState {
            switch self {
            case .queued: .queued
            case .running: .running
            case .succeeded: .succeeded
            case .partial: .partial
            case .failed: .failed
            case .dead: .dead
            case .cancelled: .jobCancelled
            }
        }
    }

    @Option(name: .long, help: "Only jobs in this state.")
    var state: StateName?

    @Option(name: .long, help: "Most jobs, 1 to 1000.")
    var limit: UInt32 = 50

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        guard (1...1000).contains(limit) else { throw UsageProblem("--limit takes 1 to 1000, not \(limit).") }
        let request = ListJobsRequest(state: state?.state ?? .unspecified, pageSize: limit)
        try await Session.run(options) { session in
            let response = try await session.ingest().listJobs(request, options: session.callOptions)
            try session.output.emit(response, items: { try response.jobs.map { try JSONValue($0) } }) {
                JobTable.render(response.jobs, session.output)
            }
            if response.jobs.isEmpty { session.console.note("No jobs.") }
        }
    }
}

enum JobTable {
    static func render(_ jobs: [Job], _ output: Output) -> String {
        var table = Table("JOB", "STATE", "STAGE", "TRY", "CREATED", "REASON", "ORIGIN")
        var failures = FailureList()
        for job in jobs {
            table.add(
                job.id, word(job.state), stage(job), String(job.attempt), shortTime(job.createdAt),
                job.reason.isEmpty ? "-" : job.reason, job.origin)
            failures.add(job)
        }
        return output.render(table) + failures.rendered
    }

    static func word(_ state: JobState) -> String {
        state == .jobCancelled ? "cancelled" : state.protoName.lowercased()
    }

    /// The stage and how much of it is done.
    static func stage(_ job: Job) -> String {
        let stage = job.stage.isEmpty ? "-" : job.stage
        if job.unit.isEmpty { return stage }
        func shown(_ count: UInt64) -> String { job.unit == "bytes" ? shownBytes(count) : String(count) }
        let total = job.total == 0 || job.total == job.done ? "" : " of \(shown(job.total))"
        return "\(stage) \(shown(job.done))\(total)" + (job.unit == "bytes" ? "" : " \(job.unit)")
    }
}
