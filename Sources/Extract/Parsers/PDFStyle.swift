/// Turns the lines of pages into blocks, by what the document's pages have in common.
struct PDFStyle {
    /// The size most text has, in points.
    private let bodySize: Double
    private let outline: [[UInt8]: Int]

    /// Headings are short, in bytes of UTF-8.
    private static let headingBytesMax = 240
    private static let headingLinesMax = 3

    init(sample: some Sequence<PDFPage>, outline: [[UInt8]: Int]) {
        var sizes: [Double: Int] = [:]
        for page in sample {
            for line in page.lines { sizes[line.fontSize, default: 0] += line.text.count }
        }
        bodySize = sizes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? 0
        self.outline = outline
    }

    /// The blocks of a page, in reading order.
    func blocks(of page: PDFPage) -> [Block] {
        let pitch = Self.usualPitch(page.lines)
        var blocks: [Block] = []
        var group: [PDFLine] = []
        for line in page.lines {
            if let last = group.last, startsBlock(line, after: last, pitch: pitch) {
                blocks.append(block(of: group, page: page.number))
                group = []
            }
            group.append(line)
        }
        if !group.isEmpty { blocks.append(block(of: group, page: page.number)) }
        return blocks
    }

    /// The distance between the tops of lines that follow each other in a paragraph, in points: the lower quartile, as pages of
    /// headings and lists have more gaps than lines.
    private static func usualPitch(_ lines: [PDFLine]) -> Double {
        let pitches = zip(lines.dropFirst(), lines).map { $0.top - $1.top }.filter { $0 > 1 && $0.isFinite }.sorted()
        return pitches.isEmpty ? 0 : pitches[pitches.count / 4]
    }

    private func startsBlock(_ line: PDFLine, after last: PDFLine, pitch: Double) -> Bool {
        let step = line.top - last.top
        // Pieces of one line: cells, or a number and its title.
        if abs(step) < 0.35 * max(last.fontSize, 1) { return false }
        if Self.isBullet(line.text) { return true }
        if abs(line.fontSize - last.fontSize) > 0.08 * max(line.fontSize, last.fontSize) { return true }
        if line.isBold != last.isBold || isOutlined(line) || isOutlined(last) { return true }
        let endsSentence = Self.endsSentence(last.text)
        // Up the page: the next column. A sentence goes on there, a paragraph does not.
        if step < 0 { return endsSentence || Self.startsUpper(line.text) }
        let usual = pitch > 0 ? min(pitch, 2.2 * max(line.fontSize, 1)) : 1.4 * line.fontSize
        if step > 1.35 * max(usual, 1.05 * line.fontSize) { return true }
        let indent = line.left - last.left
        if endsSentence, indent > 0.8 * line.fontSize, indent < 6 * line.fontSize { return true }
        // A line that ends well before the next one does was the last of its paragraph.
        return endsSentence && last.right < line.right - 0.15 * max(line.right - line.left, 1)
            && Self.startsUpper(line.text)
    }

    /// Whether a line is a title of the outline, all by itself.
    private func isOutlined(_ line: PDFLine) -> Bool {
        !outline.isEmpty && line.text.count <= Self.headingBytesMax && outline[PDFOutline.key(line.text)] != nil
    }

    private func block(of lines: [PDFLine], page: Int) -> Block {
        let text = Self.join(lines)
        let kind: Block.Kind
        if let level = headingLevel(lines, text) {
            kind = .heading(level: level)
        } else if let first = lines.first, Self.isBullet(first.text) {
            return Block(kind: .listItem(depth: 1), text: Self.withoutBullet(text), page: page)
        } else {
            kind = .paragraph
        }
        return Block(kind: kind, text: text, page: page)
    }

    private func headingLevel(_ lines: [PDFLine], _ text: [UInt8]) -> Int? {
        guard let first = lines.first, lines.count <= Self.headingLinesMax, text.count <= Self.headingBytesMax else {
            return nil
        }
        let letters = text.count { PDFOutline.isLetter($0) }
        guard letters >= 2, letters * 2 >= text.count else { return nil }
        if let level = outline[PDFOutline.key(text)] { return level }
        guard bodySize > 0, !Self.endsSentence(text) else { return nil }
        let ratio = first.fontSize / bodySize
        if ratio >= 1.75 { return 1 }
        if ratio >= 1.35 { return 2 }
        if ratio >= 1.12 { return 3 }
        return first.isBold && ratio > 0.95 && text.last != UInt8(ascii: ":") ? 4 : nil
    }

    /// One text: lines joined by spaces, words that were divided at the end of a line put together again.
    static func join(_ lines: [PDFLine]) -> [UInt8] {
        var text: [UInt8] = []
        for line in lines {
            let content = line.text.drop { $0 <= 0x20 }
            while let last = text.last, last <= 0x20 { text.removeLast() }
            if text.isEmpty {
                text = Array(content)
                continue
            }
            if text.last == UInt8(ascii: "-"), let first = content.first, (0x61...0x7A).contains(first),
                text.count > 1, (0x61...0x7A).contains(text[text.count - 2])
            {
                text.removeLast()
            } else {
                text.append(0x20)
            }
            text.append(contentsOf: content)
        }
        return text
    }

    private static let bullets: [[UInt8]] = ["•", "▪", "◦", "‣", "●", "○", "■", "–", "\u{F0B7}", "\u{F0A7}"].map {
        Array($0.utf8)
    }

    private static func bulletLength(_ text: some Collection<UInt8>) -> Int {
        let text = Array(text.prefix(8))
        for bullet in bullets where text.starts(with: bullet) && text.count > bullet.count && text[bullet.count] == 0x20
        {
            return bullet.count
        }
        return 0
    }

    static func isBullet(_ text: [UInt8]) -> Bool { bulletLength(text.drop { $0 <= 0x20 }) > 0 }

    static func withoutBullet(_ text: [UInt8]) -> [UInt8] {
        let content = text.drop { $0 <= 0x20 }
        return Array(content.dropFirst(bulletLength(content)))
    }

    private static func endsSentence(_ text: [UInt8]) -> Bool {
        guard let last = text.last(where: { $0 > 0x20 }) else { return false }
        return last == UInt8(ascii: ".") || last == UInt8(ascii: "!") || last == UInt8(ascii: "?")
    }

    private static func startsUpper(_ text: [UInt8]) -> Bool {
        guard let first = text.first(where: { $0 > 0x20 }) else { return false }
        return !(0x61...0x7A).contains(first)
    }
}
