/// The one error of the project: what happened, to what, why, and what to do next.
///
/// It is thrown by every layer, travels in a STATUS frame unchanged, and is what the CLI prints and the gateway renders as problem+json.
/// Text in it is for people and leaves the process: never put secrets or document text into it.
public struct Failure: Error, Sendable, Hashable {
    /// The class of the failure; decides HTTP status, exit status and whether a retry can help.
    public var code: StatusCode
    /// Machine-readable cause within the code, upper snake case, from a closed set per feature (e.g. `PDF_ENCRYPTED`). Empty when the code says it all.
    public var reason: String
    /// One sentence: what happened, to what, and why.
    public var message: String
    /// What the reader can do next; empty when nothing can be done.
    public var remedy: String
    /// Request fields that were refused, with their path in the request.
    public var fields: [FieldViolation]
    /// How long to wait before trying again, in milliseconds; 0 when waiting does not help or is unknown.
    public var retryAfterMs: UInt32

    public init(
        _ code: StatusCode, reason: String = "", _ message: String, remedy: String = "",
        fields: [FieldViolation] = [], retryAfterMs: UInt32 = 0
    ) {
        self.code = code
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.fields = fields
        self.retryAfterMs = retryAfterMs
    }

    /// A request field that was refused.
    public struct FieldViolation: Sendable, Hashable {
        /// Path in the request with proto names, e.g. `filter.metadata[2].key`.
        public var field: String
        /// Why it was refused and what is accepted.
        public var description: String

        public init(field: String, description: String) {
            self.field = field
            self.description = description
        }
    }

    /// INVALID_ARGUMENT for one field.
    public static func invalid(field: String, _ description: String) -> Failure {
        Failure(
            .invalidArgument, "\(field): \(description)",
            fields: [FieldViolation(field: field, description: description)])
    }

    /// Reason used whenever something is larger than its limit; becomes 413 over HTTP.
    public static let tooLarge = "TOO_LARGE"
    /// Reason used whenever a volume has no room left; becomes 507 over HTTP.
    public static let diskFull = "DISK_FULL"

    /// HTTP status: the code's, except that exceeding a size is 413 and a full disk 507, which no waiting for one's turn cures.
    public var httpStatus: Int {
        guard code == .resourceExhausted else { return code.httpStatus }
        return switch reason {
        case Failure.tooLarge: 413
        case Failure.diskFull: 507
        default: code.httpStatus
        }
    }

    /// Any error as a failure: failures as they are, cancellation as CANCELLED, anything else UNKNOWN without its text
    /// (an error nobody designed may carry data that must not leave the process; log it where it is caught).
    public init(wrapping error: any Error) {
        if let failure = error as? Failure {
            self = failure
        } else if error is CancellationError {
            self.init(.cancelled, "The call was cancelled.")
        } else {
            self.init(
                .unknown, reason: "UNEXPECTED", "The service met an error it did not expect.",
                remedy: "Look up the request id in the service's log.")
        }
    }
}

extension Failure: CustomStringConvertible {
    public var description: String {
        var text = reason.isEmpty ? code.name : "\(code.name) (\(reason))"
        text += ": \(message)"
        if !remedy.isEmpty { text += " \(remedy)" }
        return text
    }
}
