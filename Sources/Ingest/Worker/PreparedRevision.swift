internal import Core
internal import Storage

/// A revision ready to be published: everything is computed, nothing is stored.
struct PreparedRevision: Sendable {
    var input: IngestInput
    var title: String
    var parser: String
    var parserVersion: String
    var textFrame: [UInt8]
    var textSHA256: [UInt8]
    var textBytes: Int
    var structure: String
    var receipt: String
    var chunks: [TextChunk]
    /// Texts of the chunks, in their order.
    var chunkTexts: [String]
    /// Something could not be read.
    var failure: (reason: String, message: String)?

    /// Turns what the parser found into text, chunks and receipt. CPU only.
    /// - Parameter progress: told how many bytes of the text have been cut into chunks, and how many there are.
    /// - Throws: `Failure` TEXT_TOO_LARGE; INTERNAL when the chunks do not account for the text.
    init(
        _ content: ExtractedContent, _ input: IngestInput, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) throws {
        let text = try CanonicalText(content.blocks)
        let chunks = Chunker.chunks(of: text) { progress($0, text.bytes.count) }
        let receipt = try RevisionReceipt(
            text, chunks, extracted: content.drops, pageCount: content.pages.last?.number ?? 0)
        self.input = input
        title =
            UploadDescription.clippedTitle(input.title) ?? UploadDescription.clippedTitle(content.title)
            ?? UploadDescription.lastComponent(of: input.origin)
        parser = content.parserName.isEmpty ? "unknown" : content.parserName
        parserVersion = content.parserVersion
        textFrame = try Zstd.compress(text.bytes)
        textSHA256 = receipt.textSHA256
        textBytes = receipt.textBytes
        structure = Self.structure(of: text, content)
        self.receipt = receipt.json
        self.chunks = chunks
        chunkTexts = chunks.map { text.text($0.span) }
        failure = receipt.failure
    }

    /// How the job ends when this is published.
    var completion: JobCompletion {
        var json = JSONWriter()
        json.object { json in
            json.member("chunks", chunks.count)
            json.member("text_bytes", textBytes)
        }
        let count = Int64(chunks.count)
        guard let failure else { return .succeeded(input.lease, result: json.text, count: count) }
        return .partial(
            input.lease, reason: failure.reason, message: failure.message, result: json.text, count: count)
    }

    /// Headings, pages and tables with their spans, and what the document says of itself.
    private static func structure(of text: CanonicalText, _ content: ExtractedContent) -> String {
        var json = JSONWriter()
        json.object { json in
            if !content.language.isEmpty { json.member("language", content.language) }
            if !content.encoding.isEmpty { json.member("encoding", content.encoding) }
            if content.directionControls > 0 { json.member("direction_controls", content.directionControls) }
            json.array("headings", text.blocks.filter(\.kind.isHeading)) { json, block in
                guard case .heading(let level) = block.kind else { return }
                json.object { json in
                    json.member("level", level)
                    json.span(block.span)
                }
            }
            json.array("tables", text.blocks.filter(\.kind.isTable)) { json, block in
                json.object { $0.span(block.span) }
            }
            json.array("pages", text.pages) { json, page in
                json.object { json in
                    json.member("page", page.page)
                    json.span(page.span)
                }
            }
        }
        return json.text
    }
}

extension JSONWriter {
    fileprivate mutating func span(_ span: ByteSpan) {
        member("start", span.start)
        member("end", span.end)
    }
}

extension TextBlock.Kind {
    fileprivate var isHeading: Bool {
        if case .heading = self { true } else { false }
    }

    fileprivate var isTable: Bool {
        if case .table = self { true } else { false }
    }
}
