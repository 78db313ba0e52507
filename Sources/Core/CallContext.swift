/// What surrounds a piece of work and follows it through calls and jobs: trace, request, caller, deadline.
///
/// Task-local, so that logging and child calls see it without passing it by hand. A value type over one reference that is copied
/// when a shared one is changed: contexts are handed on far more often than they are changed.
public struct CallContext: Sendable {
    private var storage: Storage

    public var trace: TraceContext {
        get { storage.trace }
        set { unique().trace = newValue }
    }
    /// Chosen by the outermost entry point, shown to the user with every error. Written out only when somebody reads it.
    public var requestID: String {
        get { storage.givenRequestID.isEmpty ? storage.madeRequestID?.description ?? "" : storage.givenRequestID }
        set { unique().givenRequestID = newValue }
    }
    /// Given by a caller that groups several requests; empty otherwise.
    public var correlationID: String {
        get { storage.correlationID }
        set { unique().correlationID = newValue }
    }
    /// nil before authentication and for work that nobody asked for.
    public var principal: Principal? {
        get { storage.principal }
        set { unique().principal = newValue }
    }
    /// The bearer credential of the caller, handed on to services called on the caller's behalf. Never logged.
    public var credential: String {
        get { storage.credential }
        set { unique().credential = newValue }
    }
    /// When the caller stops waiting; nil for no limit.
    public var deadline: MonotonicTime? {
        get { storage.deadline }
        set { unique().deadline = newValue }
    }

    public init(
        trace: TraceContext, requestID: String, correlationID: String = "", principal: Principal? = nil,
        credential: String = "", deadline: MonotonicTime? = nil
    ) {
        storage = Storage(
            trace: trace, givenRequestID: requestID, madeRequestID: nil, correlationID: correlationID,
            principal: principal, credential: credential, deadline: deadline)
    }

    /// A context whose caller gave no request id.
    public init(
        trace: TraceContext, madeRequestID: UUIDv7, correlationID: String, credential: String, deadline: MonotonicTime?
    ) {
        storage = Storage(
            trace: trace, givenRequestID: "", madeRequestID: madeRequestID, correlationID: correlationID,
            principal: nil, credential: credential, deadline: deadline)
    }

    /// The context of the running task; nil outside any call.
    @TaskLocal public static var current: CallContext?

    private mutating func unique() -> Storage {
        if !isKnownUniquelyReferenced(&storage) { storage = storage.copy() }
        return storage
    }

    /// Changed only while one context refers to it, which is what makes sharing it safe.
    private final class Storage: @unchecked Sendable {
        @exclusivity(unchecked) var trace: TraceContext
        @exclusivity(unchecked) var givenRequestID: String
        let madeRequestID: UUIDv7?
        @exclusivity(unchecked) var correlationID: String
        @exclusivity(unchecked) var principal: Principal?
        @exclusivity(unchecked) var credential: String
        @exclusivity(unchecked) var deadline: MonotonicTime?

        init(
            trace: TraceContext, givenRequestID: String, madeRequestID: UUIDv7?, correlationID: String,
            principal: Principal?, credential: String, deadline: MonotonicTime?
        ) {
            self.trace = trace
            self.givenRequestID = givenRequestID
            self.madeRequestID = madeRequestID
            self.correlationID = correlationID
            self.principal = principal
            self.credential = credential
            self.deadline = deadline
        }

        func copy() -> Storage {
            Storage(
                trace: trace, givenRequestID: givenRequestID, madeRequestID: madeRequestID,
                correlationID: correlationID, principal: principal, credential: credential, deadline: deadline)
        }
    }
}
