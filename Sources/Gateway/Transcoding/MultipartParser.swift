internal import Core
internal import NIOCore

/// `multipart/form-data` (RFC 7578), strictly, piece by piece. Holds at most one boundary and one part's headers; no I/O.
struct MultipartParser {
    static let partHeaderBytesMax = 8192
    static let boundaryBytesMax = 70

    struct Part: Hashable {
        var name: String
        /// nil for a plain field.
        var fileName: String?
        var contentType: String
    }

    enum Event: Hashable {
        case part(Part)
        case data(ByteBuffer)
        case partEnd
    }

    private enum State {
        /// Before the first boundary.
        case start
        /// Behind a boundary: CRLF for another part, `--` for the end.
        case boundary
        case headers
        case content
        case finished
    }

    /// CRLF, two dashes and the boundary.
    private let delimiter: [UInt8]
    private var buffer = ByteBuffer()
    private var state = State.start

    init(boundary: String) { delimiter = Array("\r\n--\(boundary)".utf8) }

    var isFinished: Bool {
        if case .finished = state { return true }
        return false
    }

    static func malformed(_ why: String) -> HTTPRefusal {
        HTTPRefusal(
            status: 400, reason: "MALFORMED_MULTIPART", "The multipart body is malformed: \(why).", closes: true)
    }

    /// The boundary of a Content-Type; nil when the type is not multipart/form-data.
    /// - Throws: `HTTPRefusal` when the boundary is missing or malformed.
    static func boundary(_ contentType: String) throws -> String? {
        let type = contentType.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
        guard type == "multipart/form-data" else { return nil }
        guard let boundary = parameters(contentType)["boundary"], (1...boundaryBytesMax).contains(boundary.utf8.count),
            boundary.utf8.allSatisfy(isBoundaryByte), boundary.last != " "
        else { throw malformed("its Content-Type has no proper boundary") }
        return boundary
    }

    private static func isBoundaryByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "'()+_,-./:=? ".utf8.contains(byte)
        }
    }

    mutating func feed(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next event; nil when more bytes are needed or the body is finished. What follows the last boundary is ignored.
    mutating func next() throws -> Event? {
        while true {
            switch state {
            case .start:
                let first = delimiter.dropFirst(2)
                guard buffer.readableBytes >= first.count else { return nil }
                guard buffer.readBytes(length: first.count).map({ $0.elementsEqual(first) }) == true else {
                    throw Self.malformed("it does not start with its boundary")
                }
                state = .boundary
            case .boundary:
                guard let mark = buffer.readBytes(length: 2) else { return nil }
                if mark.elementsEqual("--".utf8) {
                    state = .finished
                } else if mark.elementsEqual("\r\n".utf8) {
                    state = .headers
                } else {
                    throw Self.malformed("a boundary is followed by something else than the end of its line")
                }
            case .headers:
                guard let part = try readHeaders() else { return nil }
                state = .content
                return .part(part)
            case .content: return readContent()
            case .finished: return nil
            }
        }
    }

    private mutating func readContent() -> Event? {
        let view = buffer.readableBytesView
        guard let at = Self.find(delimiter, in: view) else {
            // The tail may be the beginning of a delimiter.
            let safe = view.count - (delimiter.count - 1)
            guard safe > 0, let bytes = buffer.readSlice(length: safe) else { return nil }
            return .data(bytes)
        }
        if at > 0, let bytes = buffer.readSlice(length: at) { return .data(bytes) }
        buffer.moveReaderIndex(forwardBy: delimiter.count)
        state = .boundary
        return .partEnd
    }

    /// Distance of the first occurrence of `pattern` from the start of `bytes`.
    private static func find(_ pattern: [UInt8], in bytes: ByteBufferView) -> Int? {
        bytes.withUnsafeBytes { bytes in
            guard bytes.count >= pattern.count else { return nil }
            var index = 0
            let last = bytes.count - pattern.count
            while index <= last {
                if bytes[index] == pattern[0],
                    UnsafeRawBufferPointer(rebasing: bytes[index..<(index + pattern.count)]).elementsEqual(pattern)
                {
                    return index
                }
                index += 1
            }
            return nil
        }
    }

    // MARK: Headers

    private mutating func readHeaders() throws -> Part? {
        let end: [UInt8] = Array("\r\n\r\n".utf8)
        guard let length = Self.find(end, in: buffer.readableBytesView) else {
            guard buffer.readableBytes <= Self.partHeaderBytesMax else {
                throw Self.malformed("a part's headers are too long")
            }
            return nil
        }
        guard length <= Self.partHeaderBytesMax, let bytes = buffer.readBytes(length: length),
            let text = String(validating: bytes, as: UTF8.self)
        else { throw Self.malformed("a part's headers are too long or not UTF-8") }
        buffer.moveReaderIndex(forwardBy: end.count)
        var disposition: String?
        var contentType = ""
        for line in text.components(separatedByCRLF: ()) {
            guard let colon = line.firstIndex(of: ":"),
                !line.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F })
            else {
                throw Self.malformed("a part's header is not a header")
            }
            let value = String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
            switch line[..<colon].lowercased() {
            case "content-disposition":
                guard disposition == nil else { throw Self.malformed("a part has two dispositions") }
                disposition = value
            case "content-type": contentType = value.lowercased()
            case "content-transfer-encoding" where !["binary", "8bit", "7bit"].contains(value.lowercased()):
                throw Self.malformed("a part has a transfer encoding, which forms do not use")
            default: break
            }
        }
        return try part(disposition ?? "", contentType)
    }

    private func part(_ disposition: String, _ contentType: String) throws -> Part {
        guard disposition.prefix(while: { $0 != ";" }).lowercased().filter({ $0 != " " }) == "form-data" else {
            throw Self.malformed("a part is not form-data")
        }
        let parameters = Self.parameters(disposition)
        guard let name = parameters["name"], !name.isEmpty else { throw Self.malformed("a part has no name") }
        let fileName = parameters["filename"]
        guard name.utf8.count <= Limits.nameBytesMax, (fileName ?? "").utf8.count <= Limits.nameBytesMax else {
            throw Self.malformed("the name of a part or file is longer than \(Limits.nameBytesMax) bytes")
        }
        return Part(name: name, fileName: fileName, contentType: contentType)
    }

    /// The parameters behind the first semicolon; values plain or quoted, `\"` and `%22` for a quote as browsers write it.
    static func parameters(_ header: String) -> [String: String] {
        var result: [String: String] = [:]
        var rest = header[(header.firstIndex(of: ";") ?? header.endIndex)...]
        while rest.first == ";" {
            rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
            guard let equals = rest.firstIndex(of: "=") else { break }
            let name = rest[..<equals].lowercased().filter { $0 != " " }
            rest = rest[rest.index(after: equals)...]
            var value = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let character = rest.first, character != "\"" {
                    rest = rest.dropFirst()
                    if character == "\\", rest.first == "\"" {
                        value.append("\"")
                        rest = rest.dropFirst()
                    } else {
                        value.append(character)
                    }
                }
                rest = rest.dropFirst().drop { $0 != ";" }
            } else {
                value = String(rest.prefix { $0 != ";" }).trimmedBlanks
                rest = rest.drop { $0 != ";" }
            }
            if result[name] == nil { result[name] = value }
        }
        return result.mapValues { $0.replacingEscapes }
    }
}

extension String {
    fileprivate func components(separatedByCRLF _: Void) -> [Substring] {
        // Swift sees CRLF as one character.
        split(separator: "\r\n", omittingEmptySubsequences: false)
    }

    fileprivate var trimmedBlanks: String {
        var text = self[...]
        while text.last == " " || text.last == "\t" { text = text.dropLast() }
        return String(text)
    }

    /// `%22`, the one escape that browsers write into names.
    fileprivate var replacingEscapes: String {
        guard contains("%22") else { return self }
        return split(separator: "%22", omittingEmptySubsequences: false).joined(separator: "\"")
    }
}
