internal import Core
internal import RPC
internal import Storage

/// Jobs as callers see them.
enum JobView {
    /// Those jobs of `ids` that exist, in no particular order.
    static func load(_ ids: [UUIDv7], on connection: isolated PostgresConnection) throws -> [RPC.Job] {
        try connection.execute(
            """
            SELECT j.id, j.state, j.stage, j.progress_done, j.progress_total, j.attempt, j.reason, j.message, j.document_id,
                j.revision_id, coalesce(d.origin, ''), j.created_at, j.finished_at, j.run_at, j.traceparent
            FROM jobs j LEFT JOIN documents d ON d.id = j.document_id WHERE j.id = ANY($1)
            """, [.uuidArray(ids)]
        ).map { row in
            let state = Storage.JobState(rawValue: try row.text(1)) ?? .queued
            let stage = stage(state, try row.text(2))
            let (done, total) = (UInt64(clamping: try row.int(3)), UInt64(clamping: try row.int(4)))
            return RPC.Job(
                id: try row.uuid(0).description, state: RPC.JobState(state), stage: stage, done: done, total: total,
                attempt: UInt32(clamping: try row.int(5)), reason: try row.text(6), message: try row.text(7),
                documentID: try row.optionalUUID(8)?.description ?? "",
                revisionID: try row.optionalUUID(9)?.description ?? "", origin: try row.text(10),
                createdAt: Timestamp(try row.time(11)), finishedAt: try row.optionalTime(12).map { Timestamp($0) },
                nextAttemptAt: state == .queued ? Timestamp(try row.time(13)) : nil,
                traceID: TraceContext(traceparent: try row.text(14))?.traceID ?? "",
                unit: unit(stage, done: done, total: total))
        }
    }

    /// What a stage counts; see `IngestWorker.process`.
    private static func unit(_ stage: String, done: UInt64, total: UInt64) -> String {
        guard done > 0 || total > 0 else { return "" }
        return switch IngestStage(rawValue: stage) {
        // Only pages are known before they are read.
        case .extracting: total > 0 ? "pages" : "bytes"
        case .chunking: "bytes"
        case .publishing, .published: "chunks"
        case .received, nil: ""
        }
    }

    /// The stage's name: what the worker says, or what the state implies.
    private static func stage(_ state: Storage.JobState, _ said: String) -> String {
        switch state {
        case .succeeded, .partial: IngestStage.published.rawValue
        case .queued, .running, .failed, .dead, .cancelled: said.isEmpty ? IngestStage.received.rawValue : said
        }
    }
}

extension RPC.JobState {
    init(_ state: Storage.JobState) {
        self =
            switch state {
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

extension Storage.JobState {
    /// nil for a state that is none.
    init?(_ state: RPC.JobState) {
        guard let known = Storage.JobState.allCases.first(where: { RPC.JobState($0) == state }) else { return nil }
        self = known
    }
}
