internal import Core
internal import NIOHTTP1

/// What a request's head must be before anything looks at it. llhttp in its strict mode has refused bare line feeds, characters that
/// may not stand in names and values, and spaces before colons; this refuses what is left of the smuggling repertoire.
enum RequestCheck {
    static let headerBytesMax = 16_384
    static let headersMax = 100

    /// How the request's body is framed.
    enum Framing: Hashable {
        case none
        case length(Int)
        case chunked
    }

    /// - Returns: how the body is framed, and the value of Host (empty for HTTP/1.0 without one).
    /// - Throws: `HTTPRefusal` with status 400, 417, 431 or 505; the connection closes after each.
    static func check(_ head: HTTPRequestHead) throws -> (framing: Framing, host: String) {
        guard head.version.major == 1, head.version.minor <= 1 else {
            throw HTTPRefusal(
                status: 505, reason: "BAD_VERSION", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", closes: true)
        }
        try checkFields(head.headers)
        let host = try host(head)
        let framing = try framing(head)
        if let expectation = head.headers.first(name: "expect"), expectation.lowercased() != "100-continue" {
            throw HTTPRefusal(
                status: 417, reason: "BAD_EXPECTATION", "The only expectation understood is 100-continue.", closes: true
            )
        }
        return (framing, host)
    }

    private static func checkFields(_ headers: HTTPHeaders) throws {
        var bytes = 0
        var count = 0
        for (name, value) in headers {
            count += 1
            bytes += name.utf8.count + value.utf8.count + 4
        }
        guard bytes <= headerBytesMax, count <= headersMax else {
            throw HTTPRefusal(
                status: 431, reason: "HEADERS_TOO_LARGE",
                "The request has more than \(headerBytesMax) bytes of headers or more than \(headersMax) of them.",
                closes: true)
        }
    }

    private static func host(_ head: HTTPRequestHead) throws -> String {
        let hosts = head.headers["host"]
        guard hosts.count <= 1 else {
            throw HTTPRefusal.malformed("BAD_HOST", "The request has more than one Host header.")
        }
        guard let host = hosts.first else {
            guard head.version.minor == 0 else {
                throw HTTPRefusal.malformed("BAD_HOST", "The request has no Host header.")
            }
            return ""
        }
        guard isHost(host) else {
            throw HTTPRefusal.malformed("BAD_HOST", "The Host header is not a host name or address.")
        }
        return host
    }

    private static func framing(_ head: HTTPRequestHead) throws -> Framing {
        let lengths = head.headers["content-length"]
        let codings = head.headers["transfer-encoding"]
        if !codings.isEmpty {
            guard lengths.isEmpty else {
                throw HTTPRefusal.malformed(
                    "AMBIGUOUS_LENGTH", "The request has both Content-Length and Transfer-Encoding.")
            }
            guard head.version.minor == 1, codings.count == 1, codings[0].lowercased() == "chunked" else {
                throw HTTPRefusal.malformed(
                    "BAD_TRANSFER_ENCODING", "The only transfer encoding understood is chunked, once.")
            }
            return .chunked
        }
        guard lengths.count <= 1 else {
            throw HTTPRefusal.malformed("AMBIGUOUS_LENGTH", "The request has more than one Content-Length.")
        }
        guard let text = lengths.first else { return .none }
        guard !text.isEmpty, text.utf8.count <= 18, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let length = Int(text)
        else { throw HTTPRefusal.malformed("BAD_CONTENT_LENGTH", "Content-Length is not a number of bytes.") }
        return length == 0 ? .none : .length(length)
    }

    /// `host`, `host:port`, `[v6]:port`. Nothing of it is used to find anything: this only keeps nonsense out.
    static func isHost(_ text: String) -> Bool {
        var name = text[...]
        if let colon = name.lastIndex(of: ":"), !name.hasSuffix("]") {
            let port = name[name.index(after: colon)...]
            guard port.utf8.count <= 5, port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), Int(port) ?? 0 <= 65_535
            else {
                return false
            }
            name = name[..<colon]
        }
        if name.hasPrefix("[") {
            return name.hasSuffix("]") && name.utf8.count > 3
                && name.dropFirst().dropLast().utf8.allSatisfy { hexDigitValue($0) != nil || $0 == 0x3A || $0 == 0x2E }
        }
        return !name.isEmpty && name.utf8.count <= 255
            && name.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
                default: false
                }
            }
    }
}
