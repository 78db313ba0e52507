public import Core

/// How one call is made. What is not set comes from `CallContext.current`: a call made while serving another inherits its
/// trace, deadline, request id and credential.
public struct CallOptions: Sendable {
    /// Longest time to wait; the earlier of this and the surrounding deadline applies. nil for no limit of its own.
    public var timeout: Duration? {
        didSet { timeoutNanoseconds = timeout?.wholeNanoseconds }
    }
    /// The same, computed once: dividing a `Duration` costs more than the rest of a call's options.
    private var timeoutNanoseconds: Int64?
    /// Bearer credential; nil for the surrounding call's, else the client's.
    public var credential: String?
    public var metadata = Metadata()
    /// Makes a repeat of the call have its effect once.
    public var idempotencyKey = ""
    /// Chosen by the outermost entry point; nil for the surrounding call's, else a new one.
    public var requestID: String?
    public var correlationID: String?
    /// nil for a child of the surrounding call's, else a new root.
    public var trace: TraceContext?
    /// Waits for a connection through any number of failed attempts, until the deadline, instead of failing with the first.
    public var waitForReady = false
    /// Much will be streamed back: takes the connection for bulk, so that short answers do not stand behind it.
    public var isBulk = false
    /// One reference: options are made for every call, and few of them change these.
    private var policies: Policies?

    /// When the call is repeated; nil for the client's policy.
    public var retry: RetryPolicy? {
        get { policies?.retry }
        set { policies = Policies(retry: newValue, hedging: policies?.hedging) }
    }

    /// Copies of a slow call; nil for the client's policy. Applies to idempotent methods that take one message.
    public var hedging: HedgingPolicy? {
        get { policies?.hedging }
        set { policies = Policies(retry: policies?.retry, hedging: newValue) }
    }

    private final class Policies: Sendable {
        let retry: RetryPolicy?
        let hedging: HedgingPolicy?

        init(retry: RetryPolicy?, hedging: HedgingPolicy?) {
            self.retry = retry
            self.hedging = hedging
        }
    }

    public init(timeout: Duration? = nil, credential: String? = nil, idempotencyKey: String = "") {
        self.timeout = timeout
        timeoutNanoseconds = timeout?.wholeNanoseconds
        self.credential = credential
        self.idempotencyKey = idempotencyKey
    }

    /// The REQUEST meta of a call made now.
    /// - Throws: `Failure` DEADLINE_EXCEEDED when no time is left.
    func requestMeta(clientCredential: String) throws -> (meta: RequestMeta, deadline: MonotonicTime?) {
        let current = CallContext.current
        var meta = RequestMeta()
        meta.trace = trace ?? current?.trace.child()
        meta.requestID = requestID ?? current?.requestID ?? ""
        meta.correlationID = correlationID ?? current?.correlationID ?? ""
        meta.idempotencyKey = idempotencyKey
        meta.metadata = metadata
        if let credential {
            meta.credential = credential
        } else if let inherited = current?.credential, !inherited.isEmpty {
            meta.credential = inherited
        } else {
            meta.credential = clientCredential
        }
        var deadline = current?.deadline
        if timeoutNanoseconds != nil || deadline != nil {
            let now = MonotonicTime.now()
            if let timeoutNanoseconds {
                let own = now.advanced(byNanoseconds: timeoutNanoseconds)
                deadline = deadline.map { min($0, own) } ?? own
            }
            let left = deadline.map { now.nanosecondsElapsed(to: $0) / 1000 } ?? 0
            guard left > 0 else {
                throw Failure(.deadlineExceeded, "No time was left to make the call.")
            }
            meta.timeoutMicroseconds = UInt64(left)
        }
        return (meta, deadline)
    }
}
