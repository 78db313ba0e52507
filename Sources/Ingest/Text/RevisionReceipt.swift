internal import Core
internal import RPC
internal import Storage

/// Accounts for a whole document: every byte of its text is in at least one chunk or in exactly one drop, every page has text or a drop.
struct RevisionReceipt {
    var textSHA256: [UInt8]
    var textBytes: Int
    var pages: Int
    var chunks: Int
    /// Bytes of text in at least one chunk.
    var chunkedBytes: Int
    /// First what yielded no text, as the parser reported it; then ranges of the text in order.
    var drops: [Drop]
    /// Something could not be read: the job ends `partial`, with this explanation.
    var failure: (reason: String, message: String)?

    /// White space between chunks becomes BLANK drops.
    /// - Throws: `Failure` INTERNAL when the chunks leave out anything else: a document is not published with text that nobody can find.
    init(_ text: CanonicalText, _ chunks: [TextChunk], extracted: [ExtractedContent.Drop], pageCount: Int) throws {
        textSHA256 = ContentHash.of(text.bytes)
        textBytes = text.bytes.count
        pages = pageCount
        self.chunks = chunks.count
        drops = extracted.map(Drop.init)
        drops += Self.silentPages(text, extracted, pageCount)
        failure = Self.failure(drops)
        chunkedBytes = 0
        var covered = 0
        for chunk in chunks {
            if chunk.span.start > covered { try drop(covered..<chunk.span.start, of: text) }
            chunkedBytes += max(0, chunk.span.end - max(covered, chunk.span.start))
            covered = max(covered, chunk.span.end)
        }
        if covered < text.bytes.count { try drop(covered..<text.bytes.count, of: text) }
    }

    private mutating func drop(_ range: Range<Int>, of text: CanonicalText) throws {
        guard TextScanner.isBlank(text.bytes, range) else {
            throw Failure(
                .internalError, reason: "CHUNKS_INCOMPLETE",
                "Bytes \(range.lowerBound) to \(range.upperBound) of the text came into no chunk.")
        }
        drops.append(Drop(start: UInt64(range.lowerBound), end: UInt64(range.upperBound), reason: .blank))
    }

    /// Pages that gave neither text nor a reason.
    private static func silentPages(_ text: CanonicalText, _ extracted: [ExtractedContent.Drop], _ pageCount: Int)
        -> [Drop]
    {
        guard pageCount > 0 else { return [] }
        let known = Set(text.blocks.map(\.page)).union(extracted.map(\.page))
        return (1...pageCount).filter { !known.contains($0) }.map {
            Drop(page: UInt32($0), reason: .parserFailure, detail: "The parser reported nothing about this page.")
        }
    }

    private static func failure(_ drops: [Drop]) -> (reason: String, message: String)? {
        let unreadable = drops.filter { $0.reason == .parserFailure }.count
        let images = drops.filter { $0.reason == .imageWithoutText }.count
        guard unreadable + images > 0 else { return nil }
        var parts: [String] = []
        if images > 0 { parts.append("\(images) \(images == 1 ? "page shows" : "pages show") images without text") }
        if unreadable > 0 { parts.append("\(unreadable) \(unreadable == 1 ? "page" : "pages") could not be read") }
        return (
            unreadable > 0 ? "PARSER_FAILURE" : "IMAGE_WITHOUT_TEXT",
            "\(parts.joined(separator: " and ")); everything else is searchable. The receipt lists the pages."
        )
    }

    /// As stored in `revisions.receipt`.
    var json: String {
        var json = JSONWriter()
        json.object { json in
            json.member("pages", pages)
            json.member("chunks", chunks)
            json.member("chunked_bytes", chunkedBytes)
            json.array("drops", drops) { json, drop in
                json.object { json in
                    if drop.page > 0 { json.member("page", Int(drop.page)) }
                    if drop.end > 0 {
                        json.member("start", Int(drop.start))
                        json.member("end", Int(drop.end))
                    }
                    json.member("reason", drop.reason.protoName)
                    if !drop.detail.isEmpty { json.member("detail", drop.detail) }
                }
            }
        }
        return json.text
    }
}

extension Drop {
    /// What a parser left out, in the receipt's terms. Its byte range is one of the original, not of the text, so it goes into the detail.
    init(_ extracted: ExtractedContent.Drop) {
        var words: String
        let reason: Drop.Reason
        switch extracted.reason {
        case .boilerplate: (reason, words) = (.boilerplate, "navigation, page header, footer or side bar")
        case .activeContent: (reason, words) = (.boilerplate, "script, style or form")
        case .hidden: (reason, words) = (.boilerplate, "text that is not shown")
        case .imageWithoutText:
            (reason, words) = (.imageWithoutText, "image without text; it needs character recognition")
        case .blankPage: (reason, words) = (.blank, "page without text")
        case .pageDamaged: (reason, words) = (.parserFailure, "page that could not be read")
        case .structureLimit:
            (reason, words) = (.overLimit, "structure nested too deeply was flattened; its text is kept")
        }
        if extracted.count > 1 { words += ", \(extracted.count) times" }
        if !extracted.bytes.isEmpty {
            words += ", bytes \(extracted.bytes.lowerBound) to \(extracted.bytes.upperBound) of the original"
        }
        self.init(page: UInt32(clamping: extracted.page), reason: reason, detail: words)
    }
}
