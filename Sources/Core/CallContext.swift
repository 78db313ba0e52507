/// What surrounds a piece of work and follows it through calls and jobs: trace, request, caller, deadline.
///
/// Task-local, so that logging and child calls see it without passing it by hand.
public struct CallContext: Sendable {
    public var trace: TraceContext
    /// Chosen by the outermost entry point, shown to the user with every error. Written out only when somebody reads it.
    public var requestID: String {
        get { givenRequestID.isEmpty ? madeRequestID?.description ?? "" : givenRequestID }
        set { givenRequestID = newValue }
    }
    private var givenRequestID: String
    private var madeRequestID: UUIDv7?
    /// Given by a caller that groups several requests; empty otherwise.
    public var correlationID: String
    /// nil before authentication and for work that nobody asked for.
    public var principal: Principal?
    /// The bearer credential of the caller, handed on to services called on the caller's behalf. Never logged.
    public var credential: String
    /// When the caller stops waiting; nil for no limit.
    public var deadline: MonotonicTime?

    public init(
        trace: TraceContext, requestID: String, correlationID: String = "", principal: Principal? = nil,
        credential: String = "", deadline: MonotonicTime? = nil
    ) {
        self.trace = trace
        givenRequestID = requestID
        madeRequestID = nil
        self.correlationID = correlationID
        self.principal = principal
        self.credential = credential
        self.deadline = deadline
    }

    /// A context whose caller gave no request id.
    public init(
        trace: TraceContext, madeRequestID: UUIDv7, correlationID: String, credential: String, deadline: MonotonicTime?
    ) {
        self.init(
            trace: trace, requestID: "", correlationID: correlationID, credential: credential, deadline: deadline)
        self.madeRequestID = madeRequestID
    }

    /// The context of the running task; nil outside any call.
    @TaskLocal public static var current: CallContext?
}
