internal import Core
internal import NIOCore
internal import RPC

/// RFC 9457 problem details.
enum Problem {
    static let contentType = "application/problem+json"

    /// `{"type", "title", "status", "detail", "code", "reason", "remedy", "requestId", "traceId", "fieldErrors": [{"field", "description"}]}`;
    /// members without a value are left out.
    static func json(_ failure: Failure, status: Int, _ identity: RequestIdentity) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(512)
        var isFirst = true
        func name(_ name: StaticString) {
            out.append(contentsOf: isFirst ? "{\"".utf8 : ",\"".utf8)
            isFirst = false
            out.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
            out.append(contentsOf: "\":".utf8)
        }
        func text(_ key: StaticString, _ value: String) {
            guard !value.isEmpty else { return }
            name(key)
            JSONString.append(value, to: &out)
        }
        text("type", type(failure))
        text("title", title(failure.code, status))
        name("status")
        out.append(contentsOf: String(status).utf8)
        text("detail", failure.message)
        text("code", failure.code.name)
        text("reason", failure.reason)
        text("remedy", failure.remedy)
        text("requestId", identity.requestID)
        text("traceId", identity.trace.traceID)
        if failure.retryAfterMs > 0 {
            name("retryAfterMs")
            out.append(contentsOf: String(failure.retryAfterMs).utf8)
        }
        if !failure.fields.isEmpty {
            name("fieldErrors")
            for (index, field) in failure.fields.enumerated() {
                out.append(contentsOf: index == 0 ? "[{\"field\":".utf8 : ",{\"field\":".utf8)
                JSONString.append(field.field, to: &out)
                out.append(contentsOf: ",\"description\":".utf8)
                JSONString.append(field.description, to: &out)
                out.append(UInt8(ascii: "}"))
            }
            out.append(UInt8(ascii: "]"))
        }
        out.append(UInt8(ascii: "}"))
        return out
    }

    /// Names the cause; nothing has to be there to fetch.
    private static func type(_ failure: Failure) -> String {
        guard !failure.reason.isEmpty else { return "about:blank" }
        return "urn:acp:problem:" + failure.reason.lowercased().map { $0 == "_" ? "-" : String($0) }.joined()
    }

    private static func title(_ code: StatusCode, _ status: Int) -> String {
        switch status {
        case 400: "Bad request"
        case 401: "Not authenticated"
        case 403: "Forbidden"
        case 404: "Not found"
        case 405: "Method not allowed"
        case 406: "Not acceptable"
        case 408: "Request timeout"
        case 409: "Conflict"
        case 413: "Content too large"
        case 414: "URI too long"
        case 415: "Unsupported media type"
        case 417: "Expectation failed"
        case 429: "Too many requests"
        case 431: "Request header fields too large"
        case 499: "Cancelled"
        case 501: "Not implemented"
        case 503: "Service unavailable"
        case 504: "Deadline exceeded"
        case 507: "Insufficient storage"
        default: code == .internalError || status >= 500 ? "Internal error" : "Refused"
        }
    }
}
