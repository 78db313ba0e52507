internal import CACPProtos
internal import CProtobufC
internal import Glibc

/// The one way out of a parser: cleans text, enforces the limits and writes frames, each behind its length (four bytes, big endian).
final class FrameWriter {
    /// Bytes of text in one block; longer ones are split.
    static let blockBytesMax = 65_536
    /// Drops written one by one; what follows is counted per reason.
    static let dropsMax = 1000
    private static let bufferBytes = 65_536

    private let output: Int32
    private let limits: ParseLimits
    private var parser: (mediaType: String, name: String, version: String) = ("", "", "")
    private var buffer: [UInt8] = []
    private var cleaner = TextCleaner()
    private var outputBytes: UInt64 = 0
    private var pages = 0
    private var blocks = 0
    private var drops = 0
    private var textBytes: UInt64 = 0
    private var furtherDrops: [(reason: Drop.Reason, count: Int)] = []

    init(output: Int32, limits: ParseLimits) {
        self.output = output
        self.limits = limits
        buffer.reserveCapacity(2 * Self.bufferBytes)
    }

    /// Blocks written so far.
    var blockCount: Int { blocks }

    /// Who is going to write.
    func describe(_ parser: any DocumentParser) {
        self.parser = (parser.mediaType, parser.name, parser.version)
    }

    /// Writes the first frame.
    func begin(_ head: DocumentHead) throws(ParseFailure) {
        if head.pageCount > limits.pagesMax {
            throw .tooLarge("The document has \(head.pageCount) pages; the limit is \(limits.pagesMax).")
        }
        let strings = CStrings()
        var properties = head.properties.map { key, value in
            var property = Acp__V1__ExtractedProperty()
            acp__v1__extracted_property__init(&property)
            property.key = strings.add(key)
            property.value = strings.add(value)
            return property
        }
        let title = TextCleaner.line(head.title, bytesMax: DocumentHead.valueBytesMax)
        let done: Result<Void, ParseFailure> = properties.withUnsafeMutableBufferPointer { properties in
            var pointers: [UnsafeMutablePointer<Acp__V1__ExtractedProperty>?] = properties.indices.map {
                properties.baseAddress?.advanced(by: $0)
            }
            return pointers.withUnsafeMutableBufferPointer { pointers in
                var document = Acp__V1__ExtractedDocument()
                acp__v1__extracted_document__init(&document)
                document.title = strings.add(title)
                document.media_type = strings.add(parser.mediaType)
                document.encoding = strings.add(head.encoding)
                document.language = strings.add(TextCleaner.line(head.language, bytesMax: 64))
                document.parser_name = strings.add(parser.name)
                document.parser_version = strings.add(parser.version)
                document.n_properties = pointers.count
                document.properties = pointers.baseAddress
                document.page_count = UInt32(clamping: head.pageCount)
                return withUnsafeMutablePointer(to: &document) { document in
                    Result { () throws(ParseFailure) in
                        try write(ACP__V1__EXTRACT_FRAME__FRAME_DOCUMENT) { $0.document = document }
                    }
                }
            }
        }
        try done.get()
    }

    /// Writes the start of a page.
    func page(_ number: Int, width: Double = 0, height: Double = 0) throws(ParseFailure) {
        // What came before leaves now: whoever waits for a long document sees its pages pass.
        flush()
        pages += 1
        if pages > limits.pagesMax {
            throw .tooLarge("The document has more than \(limits.pagesMax) pages.")
        }
        var page = Acp__V1__ExtractedPage()
        acp__v1__extracted_page__init(&page)
        page.number = UInt32(clamping: number)
        page.width = Float(width)
        page.height = Float(height)
        try withPointer(to: &page) { page throws(ParseFailure) in
            try write(ACP__V1__EXTRACT_FRAME__FRAME_PAGE) { $0.page = page }
        }
    }

    /// Cleans and writes a block, in parts when it is too long; a block without visible text is left out.
    func block(_ block: Block) throws(ParseFailure) {
        let text = cleaner.clean(block.text, keepsIndent: block.isCode)
        guard !text.isEmpty else { return }
        var start = 0
        while start < text.count {
            let end = TextSplitter.end(of: text, from: start, bytesMax: Self.blockBytesMax, atLines: block.prefersLines)
            try write(block, text: text[start..<end], continues: start > 0)
            start = end
        }
    }

    private func write(_ block: Block, text: ArraySlice<UInt8>, continues: Bool) throws(ParseFailure) {
        blocks += 1
        textBytes += UInt64(text.count)
        if blocks > limits.blocksMax {
            throw .tooLarge(
                "The document has more than \(limits.blocksMax) paragraphs, headings, list items and tables.")
        }
        let strings = CStrings()
        var message = Acp__V1__ExtractedBlock()
        acp__v1__extracted_block__init(&message)
        switch block.kind {
        case .heading(let level):
            message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_HEADING
            message.level = UInt32(min(max(level, 1), 6))
        case .paragraph: message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_PARAGRAPH
        case .listItem(let depth):
            message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_LIST_ITEM
            message.level = UInt32(max(depth, 1))
        case .table(let headerRows):
            message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_TABLE
            message.header_rows = continues ? 0 : UInt32(headerRows)
        case .code(let language):
            message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_CODE
            message.language = strings.add(TextCleaner.line(language, bytesMax: 64))
        case .quote: message.kind = ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_QUOTE
        }
        message.text = strings.add(text)
        message.page = UInt32(clamping: block.page)
        message.continues = continues ? 1 : 0
        try withPointer(to: &message) { message throws(ParseFailure) in
            try write(ACP__V1__EXTRACT_FRAME__FRAME_BLOCK) { $0.block = message }
        }
    }

    /// Records something that did not become text.
    func drop(_ drop: Drop) throws(ParseFailure) {
        if drops >= Self.dropsMax {
            if let index = furtherDrops.firstIndex(where: { $0.reason == drop.reason }) {
                furtherDrops[index].count += drop.count
            } else {
                furtherDrops.append((drop.reason, drop.count))
            }
            return
        }
        try write(drop)
    }

    private func write(_ drop: Drop) throws(ParseFailure) {
        drops += 1
        var message = Acp__V1__ExtractedDrop()
        acp__v1__extracted_drop__init(&message)
        message.reason = drop.reason.message
        message.page = UInt32(clamping: drop.page)
        message.byte_start = UInt64(clamping: drop.bytes.lowerBound)
        message.byte_end = UInt64(clamping: drop.bytes.upperBound)
        message.count = UInt32(clamping: drop.count)
        try withPointer(to: &message) { message throws(ParseFailure) in
            try write(ACP__V1__EXTRACT_FRAME__FRAME_DROP) { $0.drop = message }
        }
    }

    /// Writes the last frame of a document that was read.
    func end() throws(ParseFailure) {
        for further in furtherDrops { try write(Drop(reason: further.reason, count: further.count)) }
        var end = Acp__V1__ExtractEnd()
        acp__v1__extract_end__init(&end)
        end.pages = UInt32(clamping: pages)
        end.blocks = UInt32(clamping: blocks)
        end.drops = UInt32(clamping: drops)
        end.text_bytes = textBytes
        end.direction_controls = UInt32(clamping: cleaner.directionControls)
        try withPointer(to: &end) { end throws(ParseFailure) in
            try write(ACP__V1__EXTRACT_FRAME__FRAME_END) { $0.end = end }
        }
        flush()
    }

    /// Writes the last frame of a document that cannot be read.
    func fail(_ failure: ParseFailure) {
        let strings = CStrings()
        var message = Acp__V1__ExtractFailure()
        acp__v1__extract_failure__init(&message)
        message.reason = strings.add(failure.reason)
        message.message = strings.add(failure.message)
        var frame = Acp__V1__ExtractFrame()
        acp__v1__extract_frame__init(&frame)
        withUnsafeMutablePointer(to: &message) { message in
            frame.frame_case = ACP__V1__EXTRACT_FRAME__FRAME_FAILURE
            frame.failure = message
            append(&frame)
        }
        flush()
    }

    private func write(
        _ kind: Acp__V1__ExtractFrame__FrameCase, _ set: (inout Acp__V1__ExtractFrame) -> Void
    ) throws(ParseFailure) {
        var frame = Acp__V1__ExtractFrame()
        acp__v1__extract_frame__init(&frame)
        frame.frame_case = kind
        set(&frame)
        append(&frame)
        if outputBytes > limits.outputBytesMax {
            throw .tooLarge("The document holds more text than a document may (\(limits.outputBytesMax) bytes).")
        }
        if buffer.count >= Self.bufferBytes { flush() }
    }

    private func append(_ frame: inout Acp__V1__ExtractFrame) {
        let size = acp__v1__extract_frame__get_packed_size(&frame)
        let start = buffer.count
        for shift in [24, 16, 8, 0] { buffer.append(UInt8(truncatingIfNeeded: size >> shift)) }
        buffer.append(contentsOf: repeatElement(0, count: size))
        buffer.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            acp__v1__extract_frame__pack(&frame, (base + start + 4).assumingMemoryBound(to: UInt8.self))
        }
        outputBytes += UInt64(size + 4)
    }

    private func flush() {
        var written = 0
        while written < buffer.count {
            let count = buffer.withUnsafeBytes {
                Glibc.write(output, $0.baseAddress.map { $0 + written }, $0.count - written)
            }
            if count < 0, errno == EINTR { continue }
            // The worker has lost interest; there is nobody to tell.
            guard count > 0 else { _exit(74) }
            written += count
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// `withUnsafeMutablePointer` for bodies with typed throws.
private func withPointer<Value>(
    to value: inout Value, _ body: (UnsafeMutablePointer<Value>) throws(ParseFailure) -> Void
) throws(ParseFailure) {
    try withUnsafeMutablePointer(to: &value, body)
}
