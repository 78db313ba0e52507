internal import Core
internal import RPC

/// The target of a request line, taken apart: raw path segments, and parameters decoded.
struct RequestTarget: Sendable {
    static let bytesMax = 8192
    static let parametersMax = 256

    /// The path as it was written, without the query; `*` for the server itself.
    var path: String
    /// Raw segments without the leading slash: `/v1/a%2Fb` has `v1` and `a%2Fb`.
    var segments: [Substring]
    var parameters: [MessageBindings.Parameter]

    /// Parses origin form (`/path?query`), absolute form whose authority is `host`, and `*`.
    /// - Throws: `HTTPRefusal` 400 or 414.
    init(_ uri: String, host: String) throws {
        guard uri.utf8.count <= Self.bytesMax else {
            throw HTTPRefusal(
                status: 414, reason: "URI_TOO_LONG", "The request's URI is longer than \(Self.bytesMax) bytes.",
                remedy: "Send long values in the body of a POST.", closes: true)
        }
        guard uri.utf8.allSatisfy(Self.isTargetByte) else {
            throw HTTPRefusal.malformed(
                "BAD_TARGET", "The request's URI holds a character that must be percent-encoded.")
        }
        if uri == "*" {
            path = "*"
            segments = []
            parameters = []
            return
        }
        let origin = try Self.originForm(uri, host: host)
        let question = origin.firstIndex(of: "?") ?? origin.endIndex
        path = String(origin[..<question])
        segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for segment in segments where segment.utf8.first == UInt8(ascii: ".") || segment.utf8.first == UInt8(ascii: "%")
        {
            let plain = try Self.decode(segment, plusIsSpace: false)
            guard plain != ".", plain != ".." else {
                throw HTTPRefusal.malformed("BAD_TARGET", "The path holds a dot segment.")
            }
        }
        parameters = try Self.parameters(origin[question...].dropFirst())
    }

    private static func originForm(_ uri: String, host: String) throws -> Substring {
        if uri.utf8.first == UInt8(ascii: "/") { return uri[...] }
        for scheme in ["http://", "https://"] where uri.lowercased().hasPrefix(scheme) {
            let rest = uri.dropFirst(scheme.count)
            let slash = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            guard rest[..<slash].lowercased() == host.lowercased() else {
                throw HTTPRefusal.malformed("BAD_HOST", "The URI and the Host header name different hosts.")
            }
            let path = rest[slash...]
            return path.first == "/" ? path : "/" + path
        }
        throw HTTPRefusal.malformed("BAD_TARGET", "The request's URI is neither a path nor a URL.")
    }

    private static func parameters(_ query: Substring) throws -> [MessageBindings.Parameter] {
        guard !query.isEmpty else { return [] }
        let pieces = query.split(separator: "&")
        guard pieces.count <= parametersMax else {
            throw HTTPRefusal(
                status: 400, reason: "TOO_MANY_PARAMETERS", "The query has more than \(parametersMax) parameters.")
        }
        return try pieces.map { piece in
            let equals = piece.firstIndex(of: "=") ?? piece.endIndex
            return MessageBindings.Parameter(
                try decode(piece[..<equals], plusIsSpace: true),
                try decode(piece[equals...].dropFirst(), plusIsSpace: true))
        }
    }

    /// Percent-decodes to text.
    /// - Throws: `HTTPRefusal` 400 for broken escapes, bytes that are not UTF-8, and NUL.
    static func decode(_ text: Substring, plusIsSpace: Bool) throws -> String {
        let utf8 = text.utf8
        guard utf8.contains(where: { $0 == UInt8(ascii: "%") || (plusIsSpace && $0 == UInt8(ascii: "+")) }) else {
            return String(text)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count)
        var index = utf8.startIndex
        while index < utf8.endIndex {
            let byte = utf8[index]
            index = utf8.index(after: index)
            if byte == UInt8(ascii: "+"), plusIsSpace {
                bytes.append(0x20)
            } else if byte == UInt8(ascii: "%") {
                guard let low = utf8.index(index, offsetBy: 1, limitedBy: utf8.endIndex), low < utf8.endIndex,
                    let first = hexDigitValue(utf8[index]), let second = hexDigitValue(utf8[low])
                else {
                    throw HTTPRefusal.malformed("BAD_TARGET", "The URI holds a percent sign that is not an escape.")
                }
                bytes.append(first << 4 | second)
                index = utf8.index(after: low)
            } else {
                bytes.append(byte)
            }
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw HTTPRefusal.malformed("BAD_TARGET", "The URI holds escapes that are not UTF-8 text.")
        }
        return decoded
    }

    /// What may stand in a URI unescaped (RFC 3986), and brackets, which clients leave as they are.
    private static func isTargetByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "#"), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"),
            UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
            false
        default: (0x21...0x7E).contains(byte)
        }
    }
}
