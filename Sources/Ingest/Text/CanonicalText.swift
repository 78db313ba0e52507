internal import Core

/// A block's place in the canonical text.
struct TextBlock: Equatable {
    enum Kind: Equatable {
        /// Level 1 to 6.
        case heading(level: Int)
        /// Lines are rows; the first `headerRows` name the columns.
        case table(headerRows: Int)
        case code
        case prose
    }

    var kind: Kind
    var span: ByteSpan
    /// From 1; 0 for formats without pages.
    var page: Int
}

/// The text of a revision that citations point into: blocks in reading order, headings included, a blank line between them.
///
/// White space between and around blocks is in no block; the receipt accounts for it as BLANK.
struct CanonicalText {
    /// The largest text of one document, in bytes.
    static let textBytesMax = 64 << 20
    private static let separator: [UInt8] = [0x0A, 0x0A]

    private(set) var bytes: [UInt8] = []
    private(set) var blocks: [TextBlock] = []

    /// Joins extracted blocks; one that continues another is its text's end.
    /// - Throws: `Failure` TEXT_TOO_LARGE.
    init(_ extracted: [ExtractedContent.Block]) throws {
        bytes.reserveCapacity(extracted.reduce(0) { $0 + $1.text.utf8.count + 2 })
        for block in extracted {
            if block.continues, let last = blocks.last {
                bytes.append(contentsOf: block.text.utf8)
                blocks[blocks.count - 1].span = ByteSpan(start: last.span.start, end: bytes.count)
            } else {
                if !bytes.isEmpty { bytes.append(contentsOf: Self.separator) }
                let start = bytes.count
                bytes.append(contentsOf: block.text.utf8)
                blocks.append(
                    TextBlock(
                        kind: Self.kind(of: block), span: ByteSpan(start: start, end: bytes.count),
                        page: block.page))
            }
            guard bytes.count <= Self.textBytesMax else {
                throw Failure(
                    .resourceExhausted, reason: "TEXT_TOO_LARGE",
                    "The document holds more than \(Self.textBytesMax) bytes of text.",
                    remedy: "Split it into smaller documents.")
            }
        }
    }

    private static func kind(of block: ExtractedContent.Block) -> TextBlock.Kind {
        switch block.kind {
        case .heading(let level): .heading(level: min(max(level, 1), 6))
        case .table(let headerRows): .table(headerRows: headerRows)
        case .code: .code
        case .paragraph, .listItem, .quote: .prose
        }
    }

    /// The text of a span that lies between characters.
    func text(_ span: ByteSpan) -> String { String(decoding: bytes[span.range], as: UTF8.self) }

    /// First and last byte of every page that has text, in order.
    var pages: [(page: Int, span: ByteSpan)] {
        var pages: [(page: Int, span: ByteSpan)] = []
        for block in blocks where block.page > 0 {
            if let last = pages.last, last.page == block.page {
                pages[pages.count - 1].span.end = block.span.end
            } else {
                pages.append((block.page, block.span))
            }
        }
        return pages
    }
}
