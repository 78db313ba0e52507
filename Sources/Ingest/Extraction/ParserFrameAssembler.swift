internal import Core

/// Puts a parser's output together: bytes as they arrive in, one document out. No I/O.
///
/// The output is not trusted: a parser that was taken over may write anything. Everything it can get through is text.
struct ParserFrameAssembler {
    /// A block's text and what belongs to it, in bytes.
    static let frameBytesMax = 1 << 20
    private static let propertiesMax = 64

    private enum State {
        /// Nothing yet. Next: reading, failed.
        case start
        /// The document's head has come. Next: ended, failed.
        case reading
        /// Everything has come and the counts agree.
        case ended
        /// The parser says that it cannot read the document.
        case failed(reason: String, message: String)
    }

    private let mediaType: MediaType
    private let limits: ExtractionLimits
    private var state = State.start
    private var content: ExtractedContent
    private var pageCount = 0
    private var buffer: [UInt8] = []
    private var receivedBytes: UInt64 = 0

    init(mediaType: MediaType, limits: ExtractionLimits) {
        self.mediaType = mediaType
        self.limits = limits
        content = ExtractedContent(mediaType: mediaType)
    }

    /// A page is done when the next one begins, or the document has ended.
    var progress: ExtractionProgress {
        let begun = content.pages.count
        let done = if case .ended = state { begun } else { max(0, begun - 1) }
        return ExtractionProgress(pagesDone: done, pagesTotal: pageCount, textBytes: content.textBytes)
    }

    /// Takes more output.
    /// - Throws: RESOURCE_EXHAUSTED when there is more than the limit, INTERNAL with reason PARSER_OUTPUT_INVALID when it breaks the format.
    mutating func receive(_ bytes: ArraySlice<UInt8>) throws(Failure) {
        receivedBytes += UInt64(bytes.count)
        // The parser stops itself at the limit, after the frame that crosses it.
        guard receivedBytes <= limits.outputBytesMax + UInt64(2 * Self.frameBytesMax) else {
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "The document holds more text than a document may (\(limits.outputBytesMax) bytes).",
                remedy: "Split the document and upload the parts.")
        }
        buffer.append(contentsOf: bytes)
        var start = 0
        while buffer.count - start >= 4 {
            let length = buffer[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard length <= Self.frameBytesMax else { throw Self.invalid("a frame of \(length) bytes") }
            guard buffer.count - start - 4 >= length else { break }
            let frame = buffer.withUnsafeBytes { bytes in
                ExtractFrameDecoder.frame(UnsafeRawBufferPointer(rebasing: bytes[(start + 4)..<(start + 4 + length)]))
            }
            guard let frame else { throw Self.invalid("a frame that cannot be decoded") }
            try take(frame)
            start += 4 + length
        }
        if start > 0 { buffer.removeFirst(start) }
    }

    private mutating func take(_ frame: ParserFrame) throws(Failure) {
        switch (state, frame) {
        case (.start, .document(let head, let pages)):
            guard head.mediaType == mediaType, head.properties.count <= Self.propertiesMax else {
                throw Self.invalid("a head that does not fit the document")
            }
            content = head
            pageCount = pages
            state = .reading
        case (.reading, .page(let page)):
            guard page.number == content.pages.count + 1, page.number <= Int(limits.pagesMax) else {
                throw Self.invalid("page \(page.number) after page \(content.pages.count)")
            }
            content.pages.append(page)
        case (.reading, .block(let block)):
            guard block.page == content.pages.count, content.blocks.count < Int(limits.blocksMax) else {
                throw Self.invalid("a block of page \(block.page) on page \(content.pages.count)")
            }
            content.textBytes += block.text.utf8.count
            content.blocks.append(block)
        case (.reading, .drop(let drop)): content.drops.append(drop)
        case (.reading, .end(let blocks, let textBytes, let directionControls)):
            guard blocks == content.blocks.count, textBytes == content.textBytes, content.pages.count == pageCount
            else {
                throw Self.invalid("counts that do not agree")
            }
            content.directionControls = directionControls
            state = .ended
        case (.start, .failure(let reason, let message)), (.reading, .failure(let reason, let message)):
            state = .failed(reason: reason, message: message)
        default: throw Self.invalid("a frame out of order")
        }
    }

    /// The document, once the parser has ended.
    func finish(_ report: ParserReport, originalBytes: Int) throws(Failure) -> ExtractedContent {
        try report.check(
            memoryBytes: limits.memoryBytes(byteCount: originalBytes),
            cpuSeconds: limits.cpuSeconds(byteCount: originalBytes))
        switch state {
        case .failed(let reason, let message): throw .refusedByParser(reason: reason, message: message)
        case .ended where buffer.isEmpty: return content.titled()
        case .start, .reading, .ended: throw Self.invalid("an end in the middle")
        }
    }

    private static func invalid(_ what: String) -> Failure {
        Failure(
            .internalError, reason: "PARSER_OUTPUT_INVALID",
            "The document's parser wrote what it must not write: \(what).",
            remedy: "Report this with the document, if you can.")
    }
}

extension ExtractedContent {
    /// With the first heading as title when the document declares none.
    fileprivate func titled() -> ExtractedContent {
        guard title.isEmpty else { return self }
        for block in blocks.prefix(10) {
            if case .heading(let level) = block.kind, level <= 2, block.text.utf8.count <= Limits.nameBytesMax {
                var copy = self
                copy.title = String(block.text.map { $0 == "\n" ? " " : $0 })
                return copy
            }
        }
        return self
    }
}
