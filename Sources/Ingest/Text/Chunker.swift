internal import Core
internal import Storage

/// A retrieval chunk: what is indexed, found and cited. Its text is exactly the canonical text of its span.
struct TextChunk: Equatable {
    var span: ByteSpan
    /// Page of its first byte; 0 for formats without pages.
    var page: Int
    /// Headings above and at the start of the chunk, outermost first; for rows of a split table the table's header comes last.
    var headingPath: [String]
    var words: Int
    /// Estimate, see `TextScanner`.
    var tokens: Int
    /// The surrounding text that an answer may show; nil when that is the chunk itself.
    var passage: ByteSpan?
    /// SHA-256 of the chunk's text.
    var hash: [UInt8] = []
    /// Counts runs of blocks under one heading; chunks never span two.
    var section: Int
}

/// Cuts canonical text into chunks, structure first.
///
/// Small blocks under one heading are merged up to 120 words. A block that is larger is split into windows of equal size near 100 words that overlap
/// by at most 20 words and end with a sentence (prose) or line (code, tables) where there is one. A heading belongs to the first chunk below it; a heading directly
/// above a deeper one goes with that; a heading above nothing is a chunk of its own. Tables are split between rows, without overlap.
/// No chunk has more than `tokensMax` estimated tokens. Input: any text. Output: chunks in order of their spans, none blank.
struct Chunker {
    /// Words at which a chunk stops growing.
    static let wordsMax = 120
    /// Words that windows of a split block are made for, so that they may end with a sentence a little later.
    static let windowWords = 110
    /// Words that two windows of one block share at most.
    static let overlapWords = 20
    /// A chunk of fewer words is an introduction: it goes with what follows rather than alone.
    static let leadWordsMax = 20
    /// Estimated tokens of a chunk's text. The model reads 256; the rest is for the title and the model's own two.
    static let tokensMax = 224
    /// Words of a passage.
    static let passageWordsMax = 400
    /// Bytes of one heading in a heading path; the text itself keeps the whole heading.
    static let headingBytesMax = 256

    private let text: CanonicalText
    private var chunks: [TextChunk] = []
    /// The chunk that may still grow.
    private var open: TextChunk?
    /// Level of the heading that `open` ends with; nil when it ends with a body block.
    private var openHeadingLevel: Int?
    private var path: [(level: Int, text: String)] = []
    private var section = 0

    private init(_ text: CanonicalText) { self.text = text }

    /// - Parameter progress: told after each block how many bytes of the text are behind.
    static func chunks(of text: CanonicalText, progress: (Int) -> Void = { _ in }) -> [TextChunk] {
        var chunker = Chunker(text)
        for block in text.blocks {
            defer { progress(block.span.end) }
            let measure = TextScanner.measure(text.bytes, block.span.range)
            if measure.isBlank { continue }
            if case .heading(let level) = block.kind {
                chunker.addHeading(block, level, measure)
            } else {
                chunker.addBody(block, measure)
            }
        }
        chunker.close()
        chunker.groupIntoPassages()
        for index in chunker.chunks.indices {
            chunker.chunks[index].hash = text.bytes.withUnsafeBytes {
                ContentHash.of(UnsafeRawBufferPointer(rebasing: $0[chunker.chunks[index].span.range]))
            }
        }
        return chunker.chunks
    }

    // MARK: Blocks

    private mutating func addHeading(_ block: TextBlock, _ level: Int, _ measure: TextMeasure) {
        // Stays open only when everything in it is headings above this one.
        if let above = openHeadingLevel, above < level, fits(measure) {
            setPath(level, block)
            grow(by: measure)
            open?.headingPath = path.map(\.text)
        } else {
            close()
            section += 1
            setPath(level, block)
            if fitsAlone(measure) {
                start(block, measure)
            } else {
                split(block)
            }
        }
        openHeadingLevel = open == nil ? nil : level
    }

    private mutating func addBody(_ block: TextBlock, _ measure: TextMeasure) {
        if fits(measure) {
            if open == nil { start(block, measure) } else { grow(by: measure) }
        } else if fitsAlone(measure), !isLead {
            close()
            start(block, measure)
        } else {
            if !isLead { close() }
            split(block)
        }
        openHeadingLevel = nil
    }

    /// Whether the open chunk is only headings or a few words, which should not stand alone, and leaves room for more.
    private var isLead: Bool {
        guard let open, open.words <= Self.wordsMax / 2, open.tokens <= Self.tokensMax / 2 else { return false }
        return openHeadingLevel != nil || open.words < Self.leadWordsMax
    }

    private func fitsAlone(_ measure: TextMeasure) -> Bool {
        measure.words <= Self.wordsMax && measure.tokens <= Self.tokensMax
    }

    /// Whether the open chunk can take a block. What a heading or an introduction adds may exceed the words, never the tokens.
    private func fits(_ measure: TextMeasure) -> Bool {
        guard let open else { return fitsAlone(measure) }
        let lead = isLead ? min(open.words, Self.leadWordsMax) : 0
        return open.words + measure.words <= Self.wordsMax + lead && open.tokens + measure.tokens <= Self.tokensMax
    }

    private mutating func start(_ block: TextBlock, _ measure: TextMeasure) {
        open = TextChunk(
            span: measure.span, page: block.page, headingPath: path.map(\.text), words: measure.words,
            tokens: measure.tokens, section: section)
    }

    private mutating func grow(by measure: TextMeasure) {
        open?.span.end = measure.end
        open?.words += measure.words
        open?.tokens += measure.tokens
    }

    private mutating func close() {
        if let open { chunks.append(open) }
        open = nil
        openHeadingLevel = nil
    }

    private mutating func setPath(_ level: Int, _ block: TextBlock) {
        while let last = path.last, last.level >= level { path.removeLast() }
        path.append((level, Self.oneLine(text.text(block.span))))
    }

    /// Single spaces, at most `headingBytesMax` bytes.
    static func oneLine(_ text: String) -> String {
        var line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        while line.utf8.count > headingBytesMax {
            line.unicodeScalars.removeLast(max(1, (line.utf8.count - headingBytesMax) / 4))
        }
        return line
    }

    // MARK: Blocks that are too large

    /// Cuts a block into windows. The open chunk, when there is one, becomes the beginning of the first; the last one stays open.
    private mutating func split(_ block: TextBlock) {
        let atoms = TextScanner.atoms(text.bytes, block.span.range)
        let lead = open
        open = nil
        var splitter = BlockSplitter(
            atoms: atoms, breaks: BlockBreaks.after(atoms, of: block, in: text), overlaps: block.kind.overlaps,
            leadWords: lead?.words ?? 0, leadTokens: lead?.tokens ?? 0)
        var isFirst = true
        while let window = splitter.next() {
            var chunk = TextChunk(
                span: ByteSpan(start: atoms[window.lowerBound].start, end: atoms[window.upperBound - 1].end),
                page: block.page, headingPath: path.map(\.text), words: window.count,
                tokens: atoms[window].reduce(0) { $0 + $1.tokens }, section: section)
            if isFirst, let lead {
                chunk.span.start = lead.span.start
                chunk.page = lead.page
                chunk.words += lead.words
                chunk.tokens += lead.tokens
            }
            if !isFirst, let header = BlockBreaks.tableHeader(of: block, in: text) { chunk.headingPath.append(header) }
            close()
            open = chunk
            isFirst = false
        }
        // A table's rows are not joined with what follows: their heading path would be wrong for it.
        if case .table = block.kind { close() }
    }

    // MARK: Passages

    /// Neighbouring chunks of a section, up to about 400 words, are each other's context.
    private mutating func groupIntoPassages() {
        var first = 0
        while first < chunks.count {
            var last = first
            var words = chunks[first].words
            while last + 1 < chunks.count, chunks[last + 1].section == chunks[first].section,
                words + chunks[last + 1].words <= Self.passageWordsMax
            {
                last += 1
                words += chunks[last].words
            }
            if last > first {
                let passage = ByteSpan(start: chunks[first].span.start, end: chunks[last].span.end)
                for index in first...last { chunks[index].passage = passage }
            }
            first = last + 1
        }
    }
}

extension TextBlock.Kind {
    /// Whether windows of such a block repeat the end of the one before.
    var overlaps: Bool {
        if case .table = self { false } else { true }
    }
}
