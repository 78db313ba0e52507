internal import Core
internal import NIOHTTP1

/// Who asks, and how the request is known everywhere: trace, request id, credential.
struct RequestIdentity: Sendable {
    static let idBytesMax = 128
    static let credentialBytesMax = 1024

    /// The gateway's span in the caller's trace, or of a new one.
    var trace: TraceContext
    var requestID: String
    var correlationID = ""
    /// Never logged.
    var credential = ""

    /// Reads everything that cannot fail: malformed ids and traces are replaced, as their specifications ask.
    init(_ headers: HTTPHeaders) {
        trace = Self.trace(headers)
        requestID = Self.identifier(headers["x-request-id"]) ?? UUIDv7().description
        correlationID = Self.identifier(headers["x-correlation-id"]) ?? ""
    }

    init() {
        trace = .root()
        requestID = UUIDv7().description
    }

    /// The context that logs and calls of this request are made in.
    func callContext(deadline: MonotonicTime?) -> CallContext {
        CallContext(
            trace: trace, requestID: requestID, correlationID: correlationID, credential: credential, deadline: deadline
        )
    }

    /// Letters, digits and a few marks only: ids go into logs and headers.
    private static func identifier(_ values: [String]) -> String? {
        guard values.count == 1, let value = values.first, !value.isEmpty, value.utf8.count <= idBytesMax,
            value.utf8.allSatisfy(isIdentifierByte)
        else { return nil }
        return value
    }

    private static func isIdentifierByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5F: true
        default: false
        }
    }

    /// The API key of `Authorization: Bearer …` or `X-API-Key`.
    /// - Throws: `HTTPRefusal` 400 when it is ambiguous, 401 for another scheme.
    static func credential(_ headers: HTTPHeaders) throws -> String {
        let authorizations = headers["authorization"]
        let keys = headers["x-api-key"]
        guard authorizations.count <= 1, keys.count <= 1 else {
            throw HTTPRefusal(
                status: 400, reason: "AMBIGUOUS_CREDENTIALS", "The request brings more than one credential.")
        }
        var credential = keys.first ?? ""
        if let authorization = authorizations.first {
            let parts = authorization.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer" else {
                throw HTTPRefusal(
                    Failure(
                        .unauthenticated, reason: "BAD_SCHEME",
                        "The Authorization header does not carry a bearer credential.",
                        remedy: "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`."))
            }
            let bearer = String(parts[1].drop { $0 == " " })
            guard credential.isEmpty || credential == bearer else {
                throw HTTPRefusal(
                    status: 400, reason: "AMBIGUOUS_CREDENTIALS", "The request brings two different credentials.")
            }
            credential = bearer
        }
        guard credential.utf8.count <= credentialBytesMax, credential.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw HTTPRefusal(Failure(.unauthenticated, reason: "BAD_CREDENTIALS", "The credential is not an API key."))
        }
        return credential
    }

    // MARK: Trace context

    /// A child of the caller's context; a new root when there is none or it is malformed.
    private static func trace(_ headers: HTTPHeaders) -> TraceContext {
        let parents = headers["traceparent"]
        guard parents.count == 1, let parent = parents.first,
            let context = TraceContext(traceparent: parent, state: traceState(headers["tracestate"]))
        else { return .root() }
        return context.child()
    }

    private static let stateMembersMax = 32

    /// The vendor list of all `tracestate` headers together; empty when any of it is malformed, because half a list misleads.
    static func traceState(_ values: [String]) -> String {
        var members: [Substring] = []
        var keys: Set<Substring> = []
        for value in values {
            for piece in value.split(separator: ",") {
                let member = piece.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }
                    .reversed()
                let text = Substring(String(member))
                if text.isEmpty { continue }
                guard let equals = text.firstIndex(of: "="), isStateKey(text[..<equals]),
                    isStateValue(text[text.index(after: equals)...]), keys.insert(text[..<equals]).inserted
                else { return "" }
                members.append(text)
            }
        }
        return members.count <= stateMembersMax ? members.joined(separator: ",") : ""
    }

    /// `key` or `tenant@system` of W3C trace context level 2: lower case, digits and `_-*/`, at most 256 characters.
    private static func isStateKey(_ key: Substring) -> Bool {
        guard (1...256).contains(key.utf8.count), let first = key.utf8.first,
            (0x61...0x7A).contains(first) || (0x30...0x39).contains(first)
        else { return false }
        let parts = key.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { return false }
        if parts.count == 2 {
            guard (1...241).contains(parts[0].utf8.count), (1...14).contains(parts[1].utf8.count),
                let system = parts[1].utf8.first, (0x61...0x7A).contains(system)
            else { return false }
        }
        return key.utf8.allSatisfy { byte in
            switch byte {
            case 0x61...0x7A, 0x30...0x39, 0x5F, 0x2D, 0x2A, 0x2F, 0x40: true
            default: false
            }
        }
    }

    private static func isStateValue(_ value: Substring) -> Bool {
        (1...256).contains(value.utf8.count) && value.utf8.last != 0x20
            && value.utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != 0x2C && $0 != 0x3D }
    }
}
