public import Core

/// Where a job is in its life. The machine is drawn in `0001_initial.sql`, whose constraints enforce it.
public enum JobState: String, Sendable, Hashable, CaseIterable {
    /// Waits for a worker; not before `Job.runAt`.
    case queued
    /// A worker holds its lease.
    case running
    case succeeded
    /// Done, but something was dropped for a failure; the result says what.
    case partial
    /// Ended by a failure that repeating cannot cure.
    case failed
    /// Failed as often as it may be tried.
    case dead
    case cancelled

    /// Nothing more happens to the job by itself.
    public var isTerminal: Bool { self != .queued && self != .running }
}

/// A job as it is stored: a snapshot.
public struct Job: Sendable, Hashable {
    public var id: UUIDv7
    public var kind: String
    /// A JSON object, as text.
    public var payload: String
    public var state: JobState
    /// −100 … 100; higher runs first.
    public var priority: Int
    /// How often it was claimed.
    public var attempt: Int
    public var attemptsMax: Int
    /// Not claimed before.
    public var runAt: WallTime
    /// Until when the present worker holds it.
    public var leaseUntil: WallTime?
    public var leaseOwner: String?
    /// Rises with every claim.
    public var fencing: Int64
    /// What the worker is doing, in a word; empty when it has not said, and when the job waits or succeeded. Of other jobs: what it did last.
    public var stage: String
    /// Within the stage; when the job succeeded, of the whole.
    public var progressDone: Int64
    /// 0 while unknown.
    public var progressTotal: Int64
    /// Why the last attempt did not succeed: machine-readable, then for people.
    public var reason: String
    public var message: String
    /// A JSON object, as text.
    public var result: String?
    public var idempotencyKey: String?
    public var traceparent: String
    public var requestID: String
    public var principalID: UUIDv7?
    public var documentID: UUIDv7?
    public var revisionID: UUIDv7?
    public var createdAt: WallTime
    public var updatedAt: WallTime
    public var finishedAt: WallTime?
}

/// A job to enqueue.
public struct NewJob: Sendable, Hashable {
    public static let attemptsMaxDefault = 5
    public static let idempotencyKeyBytesMax = 255

    public var id: UUIDv7
    public var kind: String
    /// A JSON object, as text.
    public var payload: String
    public var priority = 0
    public var attemptsMax = NewJob.attemptsMaxDefault
    /// nil for at once.
    public var runAt: WallTime?
    /// Unique per principal: a second job with the same key is not made.
    public var idempotencyKey: String?
    public var traceparent: String
    public var requestID: String
    public var principalID: UUIDv7?
    public var documentID: UUIDv7?
    public var revisionID: UUIDv7?

    /// Trace, request and principal are those of the running call.
    public init(kind: String, payload: String = "{}", id: UUIDv7 = UUIDv7()) {
        self.id = id
        self.kind = kind
        self.payload = payload
        let context = CallContext.current
        traceparent = context?.trace.traceparent ?? ""
        requestID = context?.requestID ?? ""
        principalID = context?.principal?.id
    }
}

/// The right to commit a job's outcome, held by one worker until the lease ends or someone else claims the job.
public struct JobLease: Sendable, Hashable {
    public let jobID: UUIDv7
    /// Must still be the job's when its outcome is committed.
    public let fencing: Int64
    public let attempt: Int

    public init(jobID: UUIDv7, fencing: Int64, attempt: Int) {
        self.jobID = jobID
        self.fencing = fencing
        self.attempt = attempt
    }
}

/// A job that the caller now works on.
public struct ClaimedJob: Sendable, Hashable {
    public let job: Job
    public let lease: JobLease
}

/// How a job ended, to be committed with what it produced.
public struct JobCompletion: Sendable, Hashable {
    public var lease: JobLease
    /// A terminal state.
    public var state: JobState
    public var result: String?
    public var reason: String
    public var message: String
    /// Of how many things the job's whole was made, and all were done: its progress from now on. nil keeps the progress told last.
    public var count: Int64?

    public init(
        lease: JobLease, state: JobState, result: String?, reason: String, message: String, count: Int64? = nil
    ) {
        precondition(state.isTerminal, "a job ends in a terminal state")
        self.count = count
        self.lease = lease
        self.state = state
        self.result = result
        self.reason = reason
        self.message = message
    }

    /// - Parameter result: a JSON object, as text.
    public static func succeeded(_ lease: JobLease, result: String? = nil, count: Int64? = nil) -> JobCompletion {
        JobCompletion(lease: lease, state: .succeeded, result: result, reason: "", message: "", count: count)
    }

    /// Done, with something dropped for `reason` (upper snake case, never empty).
    public static func partial(
        _ lease: JobLease, reason: String, message: String, result: String? = nil, count: Int64? = nil
    ) -> JobCompletion {
        JobCompletion(lease: lease, state: .partial, result: result, reason: reason, message: message, count: count)
    }
}

/// A change that a transaction made to a job, to be announced once it is committed.
public struct JobTransition: Sendable, Hashable {
    public var id: UUIDv7
    public var kind: String
    public var state: JobState
}

/// Why a job is where it is, and what happens next.
public struct JobExplanation: Sendable, Hashable {
    public var job: Job
    /// Claimable jobs that come before it, at most `JobQueue.positionMax`; nil unless it waits its turn.
    public var ahead: Int?
    /// Jobs that workers hold now.
    public var running: Int
    /// When it will be tried next at the earliest; nil when it will not be.
    public var nextAttempt: WallTime?
    /// The same as one sentence for people.
    public var summary: String
}

extension Job {
    /// Decodes a row of `JobQueue.load`.
    init(_ row: Row) throws {
        guard let state = JobState(rawValue: try row.text(3)) else {
            throw Failure(.internalError, reason: "JOB_STATE", "A job has a state that this version does not know.")
        }
        id = try row.uuid(0)
        kind = try row.text(1)
        payload = try row.json(2)
        self.state = state
        priority = try row.int(4)
        attempt = try row.int(5)
        attemptsMax = try row.int(6)
        runAt = try row.time(7)
        leaseUntil = try row.optionalTime(8)
        leaseOwner = try row.optionalText(9)
        fencing = try row.int64(10)
        stage = try row.text(11)
        progressDone = try row.int64(12)
        progressTotal = try row.int64(13)
        reason = try row.text(14)
        message = try row.text(15)
        result = try row.optionalJSON(16)
        idempotencyKey = try row.optionalText(17)
        traceparent = try row.text(18)
        requestID = try row.text(19)
        principalID = try row.optionalUUID(20)
        documentID = try row.optionalUUID(21)
        revisionID = try row.optionalUUID(22)
        createdAt = try row.time(23)
        updatedAt = try row.time(24)
        finishedAt = try row.optionalTime(25)
    }
}
