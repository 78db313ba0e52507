/// Plain text: paragraphs are parted by blank lines, pages by form feeds.
struct PlainTextParser: DocumentParser {
    let mediaType = "text/plain"
    let name = "text"
    let version = "1"
    let charsets: Charsets

    func parse(_ input: UnsafeRawBufferPointer, limits: ParseLimits, into writer: FrameWriter) throws(ParseFailure) {
        let text = TextDecoding(charsets: charsets).decode(input) { input in
            input.starts(with: Array("<?xml".utf8)) ? TextDecoding.declaredInMarkup(input) : nil
        }
        var head = DocumentHead()
        head.encoding = text.encoding
        let feeds = text.bytes.count { $0 == 0x0C }
        // A form feed at the very end ends the last page and begins none.
        let pages = feeds == 0 ? 0 : feeds + (text.bytes.last == 0x0C ? 0 : 1)
        head.pageCount = pages
        try writer.begin(head)
        guard pages > 0 else { return try Self.paragraphs(of: text.bytes[...], page: 0, into: writer) }

        var number = 0
        for page in text.bytes.split(separator: 0x0C, omittingEmptySubsequences: false).prefix(pages) {
            number += 1
            try writer.page(number)
            let before = writer.blockCount
            try Self.paragraphs(of: page, page: number, into: writer)
            if writer.blockCount == before { try writer.drop(Drop(reason: .blankPage, page: number)) }
        }
    }

    private static func paragraphs(of text: ArraySlice<UInt8>, page: Int, into writer: FrameWriter) throws(ParseFailure)
    {
        var paragraph = text.startIndex
        var line = text.startIndex
        while line < text.endIndex {
            var end = line
            var isBlank = true
            while end < text.endIndex, text[end] != 0x0A, text[end] != 0x0D {
                if text[end] != 0x20, text[end] != 0x09 { isBlank = false }
                end += 1
            }
            let next = Self.behindLineBreak(text, at: end)
            if isBlank {
                if line > paragraph {
                    try writer.block(Block(kind: .paragraph, text: Array(text[paragraph..<line]), page: page))
                }
                paragraph = next
            }
            line = next
        }
        if paragraph < text.endIndex {
            try writer.block(Block(kind: .paragraph, text: Array(text[paragraph...]), page: page))
        }
    }

    private static func behindLineBreak(_ text: ArraySlice<UInt8>, at end: Int) -> Int {
        guard end < text.endIndex else { return end }
        return text[end] == 0x0D && end + 1 < text.endIndex && text[end + 1] == 0x0A ? end + 2 : end + 1
    }
}
