/// The start of a file that is text, reduced to what tells one kind of text from another: ASCII, in lower case where names matter.
struct TextSample {
    /// One byte per character; characters outside ASCII are whatever their bytes are.
    private let bytes: [UInt8]
    private let lines: [ArraySlice<UInt8>]

    private static let bytesMax = 32_768

    /// nil when the bytes are no text in any encoding.
    init?(_ head: UnsafeRawBufferPointer) {
        var sample = Array(head.prefix(Self.bytesMax))
        var text = sample
        if sample.starts(with: [0xFF, 0xFE]) || sample.starts(with: [0xFE, 0xFF]) || Self.looksLikeUTF16(sample) {
            sample.removeAll { $0 == 0 }
            text = sample.filter { $0 != 0xFF && $0 != 0xFE }
        } else if sample.starts(with: [0xEF, 0xBB, 0xBF]) {
            text.removeFirst(3)
        } else if sample.starts(with: [0x00, 0x00, 0xFE, 0xFF]) {
            text = sample.dropFirst(4).filter { $0 != 0 }
        }
        guard Self.isText(text) else { return nil }
        bytes = text
        lines = text.split(omittingEmptySubsequences: false) { $0 == 0x0A || $0 == 0x0D }
    }

    private static func looksLikeUTF16(_ sample: [UInt8]) -> Bool {
        var zeros = (even: 0, odd: 0)
        for (index, byte) in sample.enumerated() where byte == 0 {
            if index.isMultiple(of: 2) { zeros.even += 1 } else { zeros.odd += 1 }
        }
        let pairs = sample.count / 2
        return zeros.even * 10 > pairs * 3 && zeros.odd * 20 < pairs
            || zeros.odd * 10 > pairs * 3 && zeros.even * 20 < pairs
    }

    /// Text has no NUL and hardly any other control character; ISO 2022 and terminal logs use ESC.
    private static func isText(_ sample: [UInt8]) -> Bool {
        var controls = 0
        for byte in sample {
            if byte == 0 { return false }
            if byte < 0x20, !(0x07...0x0D).contains(byte), byte != 0x1B { controls += 1 }
        }
        return controls * 50 <= sample.count
    }

    // MARK: HTML

    private static let htmlStarts = [
        "<!doctypehtml", "<html", "<head", "<body", "<title", "<meta", "<script", "<style",
    ]
    private static let htmlBodies = [
        "<p", "<div", "<h1", "<h2", "<h3", "<table", "<ul", "<ol", "<section", "<article", "<main", "<span", "<br",
        "<pre", "<a",
    ]

    func isHTML(hint: FileNameHint) -> Bool {
        let start = startOfMarkup()
        let head = bytes[start...].prefix(4096).map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        let compact = head.prefix(64).filter { $0 > 0x20 }
        if Self.htmlStarts.contains(where: { Self.startsTag(compact, $0) }) { return true }
        let isHinted = ["html", "htm", "xhtml"].contains(hint.fileExtension) || hint.declared == "text/html"
        if isHinted { return head.contains(UInt8(ascii: "<")) || hint.declared == "text/html" }
        // A page without a head. Markdown may start with a tag too, so a name that says so wins.
        guard hint.fileExtension.isEmpty || hint.fileExtension == "txt" else { return false }
        return Self.htmlBodies.contains { Self.startsTag(head, $0) }
            && bytes.count { $0 == UInt8(ascii: "<") } >= 4
    }

    /// Whether `text` starts with `tag` and its name ends there.
    private static func startsTag(_ text: [UInt8], _ tag: String) -> Bool {
        let tag = Array(tag.utf8)
        guard text.starts(with: tag) else { return false }
        return tag[1] == UInt8(ascii: "!") || text.count == tag.count || !(0x61...0x7A).contains(text[tag.count])
            // White space was removed: `<html lang` reads `<htmllang`.
            || tag.count > 4
    }

    /// Behind white space, comments and an XML declaration.
    private func startOfMarkup() -> Int {
        var index = 0
        while true {
            while index < bytes.count, bytes[index] <= 0x20 { index += 1 }
            let rest = bytes[index...]
            let end: [UInt8]
            if rest.starts(with: Array("<!--".utf8)) {
                end = Array("-->".utf8)
            } else if rest.starts(with: Array("<?".utf8)) {
                end = Array("?>".utf8)
            } else {
                return index
            }
            while index < bytes.count, !bytes[index...].starts(with: end) { index += 1 }
            index = min(index + end.count, bytes.count)
        }
    }

    // MARK: Mail

    /// Whether it is a message as sent, with headers a person would not write.
    func isMail(hint: FileNameHint) -> Bool {
        if bytes.starts(with: Array("From ".utf8)), hint.fileExtension == "mbox" { return true }
        var known = 0
        for line in lines.prefix(60) {
            if line.isEmpty { break }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
            switch String(decoding: line[..<colon], as: UTF8.self).lowercased() {
            case "received", "return-path", "message-id", "mime-version", "dkim-signature", "delivered-to": known += 2
            case "from", "to", "subject", "date", "content-type": known += 1
            default: break
            }
        }
        return known >= (hint.fileExtension == "eml" ? 2 : 5)
    }

    // MARK: Markdown

    private static let markdownExtensions = ["md", "markdown", "mdown", "mkd", "mkdn", "mdx"]

    func isMarkdown(hint: FileNameHint) -> Bool {
        if Self.markdownExtensions.contains(hint.fileExtension) || hint.declared == "text/markdown" { return true }
        // Other names of text, such as `.conf` or `.py`, use the same characters for other things.
        guard hint.fileExtension.isEmpty || hint.fileExtension == "txt" else { return false }
        var headings = 0
        var others = 0
        var afterBlank = true
        for line in lines.prefix(2000) {
            let content = line.drop { $0 == 0x20 }
            if afterBlank, Self.isHeading(content) { headings += 1 }
            if content.starts(with: Array("```".utf8)) || Self.holdsLink(content) || Self.isRule(content) {
                others += 1
            }
            if content.starts(with: Array("- ".utf8)) || content.starts(with: Array("* ".utf8)) { others += 1 }
            afterBlank = content.isEmpty
        }
        return headings >= 1 && others >= 2 || headings >= 3
    }

    private static func isHeading(_ line: ArraySlice<UInt8>) -> Bool {
        let marks = line.prefix { $0 == UInt8(ascii: "#") }.count
        return (1...6).contains(marks) && line.dropFirst(marks).first == 0x20
    }

    private static func holdsLink(_ line: ArraySlice<UInt8>) -> Bool {
        guard let close = line.firstIndex(of: UInt8(ascii: "]")), line[..<close].contains(UInt8(ascii: "[")) else {
            return false
        }
        return line[(close + 1)...].first == UInt8(ascii: "(") && line[(close + 1)...].contains(UInt8(ascii: ")"))
    }

    /// The line under the header of a table.
    private static func isRule(_ line: ArraySlice<UInt8>) -> Bool {
        line.count >= 5 && line.contains(UInt8(ascii: "|"))
            && line.allSatisfy { [0x7C, 0x2D, 0x3A, 0x20].contains($0) } && line.contains(UInt8(ascii: "-"))
    }
}
