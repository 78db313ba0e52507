internal import CMd4c

/// Markdown in GitHub's dialect, by md4c.
struct MarkdownParser: DocumentParser {
    let mediaType = "text/markdown"
    let name = "md4c"
    let version = "1"
    let charsets: Charsets

    func parse(_ input: UnsafeRawBufferPointer, limits: ParseLimits, into writer: FrameWriter) throws(ParseFailure) {
        let text = TextDecoding(charsets: charsets).decode(input) { _ in nil }
        var head = DocumentHead()
        head.encoding = text.encoding
        let front = FrontMatter.parse(text.bytes)
        for (key, value) in front.pairs {
            if key == "title" { head.title = value } else { head.add(key, value) }
        }
        try writer.begin(head)

        let builder = MarkdownBuilder(writer: writer, nestingMax: limits.nestingMax)
        var parser = MD_PARSER()
        parser.flags = UInt32(MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS)
        parser.enter_block = { type, detail, user in
            MarkdownBuilder.from(user) { builder throws(ParseFailure) in try builder.enter(type, detail) }
        }
        parser.leave_block = { type, detail, user in
            MarkdownBuilder.from(user) { builder throws(ParseFailure) in try builder.leave(type, detail) }
        }
        parser.enter_span = { _, _, _ in 0 }
        parser.leave_span = { _, _, _ in 0 }
        parser.text = { type, text, size, user in
            MarkdownBuilder.from(user) { builder throws(ParseFailure) in
                try builder.text(type, UnsafeRawBufferPointer(start: text, count: Int(size)))
            }
        }
        let status = text.bytes.withUnsafeBytes { bytes in
            let body = UnsafeRawBufferPointer(rebasing: bytes[front.bodyStart...])
            return md_parse(
                body.bindMemory(to: MD_CHAR.self).baseAddress, MD_SIZE(body.count), &parser,
                Unmanaged.passUnretained(builder).toOpaque())
        }
        if let failure = builder.failure { throw failure }
        guard status == 0 else { throw .tooLarge("The document needs more memory than a parser may use.") }
        try builder.finish()
    }
}

/// The `---` block of `key: value` lines that many tools put before the text.
struct FrontMatter {
    /// Top-level scalars, keys in lower case.
    private(set) var pairs: [(key: String, value: String)] = []
    /// Where the Markdown starts, in bytes.
    private(set) var bodyStart = 0

    static let bytesMax = 65_536

    static func parse(_ text: [UInt8]) -> FrontMatter {
        var front = FrontMatter()
        var lines = LineReader(text[..<min(text.count, bytesMax)])
        guard let first = lines.next(), trimmed(first) == Array("---".utf8) else { return front }
        var pairs: [(key: String, value: String)] = []
        while let line = lines.next() {
            let content = trimmed(line)
            if content == Array("---".utf8) || content == Array("...".utf8) {
                front.pairs = pairs
                front.bodyStart = lines.position
                return front
            }
            // Indented lines belong to a nested value, which is not kept.
            guard let start = line.first, start != 0x20, start != 0x09, start != UInt8(ascii: "#"),
                start != UInt8(ascii: "-"),
                let colon = line.firstIndex(of: UInt8(ascii: ":"))
            else { continue }
            let key = String(decoding: trimmed(line[..<colon]), as: UTF8.self).lowercased()
            let value = unquoted(trimmed(line[(colon + 1)...]))
            if !value.isEmpty { pairs.append((key, String(decoding: value, as: UTF8.self))) }
        }
        // Without an end it is a thematic break and text.
        return front
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> [UInt8] {
        var line = line
        while let last = line.last, last <= 0x20 { line.removeLast() }
        return Array(line.drop { $0 <= 0x20 })
    }

    private static func unquoted(_ value: [UInt8]) -> [UInt8] {
        guard value.count >= 2, let first = value.first, first == value.last, first == 0x22 || first == 0x27 else {
            return value
        }
        return Array(value[1..<(value.count - 1)])
    }
}

/// Lines without their ends, one after the other.
struct LineReader {
    private let text: ArraySlice<UInt8>
    /// Where the next line starts.
    private(set) var position: Int

    init(_ text: ArraySlice<UInt8>) {
        self.text = text
        position = text.startIndex
    }

    mutating func next() -> ArraySlice<UInt8>? {
        guard position < text.endIndex else { return nil }
        let end = text[position...].firstIndex(of: 0x0A) ?? text.endIndex
        let line = text[position..<end]
        position = min(end + 1, text.endIndex)
        return line
    }
}
