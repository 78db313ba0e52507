internal import Core

/// An answer that is not what was asked for, with everything HTTP says about it.
struct HTTPRefusal: Error {
    var status: Int
    var failure: Failure
    var headers: [(String, String)] = []
    /// The connection cannot go on: what follows on it may not be what it seems.
    var closes = false

    /// A failure of a call, by the one table of codes.
    init(_ failure: Failure) {
        status = failure.httpStatus
        self.failure = failure
        if failure.code == .unauthenticated { headers.append(("WWW-Authenticate", "Bearer realm=\"acp\"")) }
        if status == 429 || status == 503 {
            // Whole seconds, rounded up; a second when the service did not say.
            headers.append(("Retry-After", String(max(1, (Int(failure.retryAfterMs) + 999) / 1000))))
        }
    }

    /// A refusal that only HTTP knows.
    init(
        status: Int, code: StatusCode = .invalidArgument, reason: String, _ message: String, remedy: String = "",
        headers: [(String, String)] = [], closes: Bool = false
    ) {
        self.status = status
        failure = Failure(code, reason: reason, message, remedy: remedy)
        self.headers = headers
        self.closes = closes
    }

    /// The request is ambiguous or not HTTP: answered once, then the connection is closed.
    static func malformed(_ reason: String, _ message: String) -> HTTPRefusal {
        HTTPRefusal(status: 400, reason: reason, message, closes: true)
    }

    static func tooLarge(_ bytesMax: Int) -> HTTPRefusal {
        HTTPRefusal(
            status: 413, code: .resourceExhausted, reason: Failure.tooLarge,
            "The request's body is larger than the \(bytesMax) bytes that are accepted here.",
            remedy: "Send less, or raise the limit in the gateway's configuration.", closes: true)
    }

    /// Any error as an answer.
    init(wrapping error: any Error) {
        self = (error as? HTTPRefusal) ?? HTTPRefusal(Failure(wrapping: error))
    }
}
