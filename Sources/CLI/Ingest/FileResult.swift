internal import Core
internal import RPC

/// What became of one file of an upload.
struct FileResult: Sendable {
    enum Outcome: String, Sendable {
        /// Searchable.
        case published
        /// Searchable, with something left out that could not be read.
        case partial
        /// The same bytes were there already.
        case unchanged
        /// Stored; processing was not waited for.
        case stored
        /// Not sent: nobody asked for this kind of file.
        case skipped
        case failed
        /// The command was stopped before this file's turn.
        case notSent = "not sent"
    }

    var path: String
    var outcome: Outcome
    var documentID = ""
    var jobID = ""
    /// Machine-readable and for people; empty when all is well.
    var reason = ""
    var message = ""

    init(path: String, outcome: Outcome, reason: String = "", message: String = "") {
        self.path = path
        self.outcome = outcome
        self.reason = reason
        self.message = message
    }

    init(path: String, failure: Failure) {
        self.init(
            path: path, outcome: .failed, reason: failure.reason.isEmpty ? failure.code.name : failure.reason,
            message: failure.remedy.isEmpty ? failure.message : "\(failure.message) \(failure.remedy)")
    }

    init(path: String, response: UploadDocumentResponse) {
        self.init(path: path, outcome: .stored)
        documentID = response.document?.id ?? ""
        // Identical bytes whose first processing is still on its way are waited for like new ones.
        if let job = response.job { jobID = job.id } else { outcome = .unchanged }
        if response.unchanged, response.job.map({ $0.isFinished }) ?? true { outcome = .unchanged }
    }

    /// Takes over how the file's job ended.
    mutating func finish(_ job: Job) {
        reason = job.reason
        message = job.message
        switch job.state {
        case .succeeded: outcome = .published
        case .partial: outcome = .partial
        case .failed, .dead, .jobCancelled:
            outcome = .failed
            if reason.isEmpty { reason = job.state.protoName }
        case .unspecified, .queued, .running, .unrecognized: break
        }
    }

    var json: JSONValue {
        .fields(
            ("path", .string(path)), ("outcome", .string(outcome.rawValue)), ("documentId", .string(documentID)),
            ("jobId", .string(jobID)), ("reason", .string(reason)), ("message", .string(message)))
    }

    static func counts(_ results: [FileResult]) -> [(outcome: Outcome, count: Int)] {
        let order: [Outcome] = [.published, .partial, .unchanged, .stored, .skipped, .failed, .notSent]
        return order.compactMap { outcome in
            let count = results.count { $0.outcome == outcome }
            return count > 0 ? (outcome, count) : nil
        }
    }

    static func summary(_ results: [FileResult]) -> String {
        let counts = counts(results)
        return counts.isEmpty ? "no files" : counts.map { "\($0.count) \($0.outcome.rawValue)" }.joined(separator: ", ")
    }

    static func emit(_ results: [FileResult], to output: Output) throws {
        let counts = counts(results).map { JSONValue.Member($0.outcome.rawValue, .integer($0.count)) }
        try output.emit(
            { .fields(("files", .array(results.map(\.json))), ("summary", .object(counts))) },
            items: { results.map(\.json) }
        ) {
            var table = Table("FILE", "RESULT", "DOCUMENT", "DETAIL")
            for result in results {
                table.add(
                    result.path, result.outcome.rawValue, result.documentID.isEmpty ? "-" : result.documentID,
                    result.message)
            }
            return output.render(table)
        }
    }
}

extension Job {
    /// Nothing more happens to it by itself.
    var isFinished: Bool {
        switch state {
        case .succeeded, .partial, .failed, .dead, .jobCancelled: true
        case .unspecified, .queued, .running, .unrecognized: false
        }
    }
}
