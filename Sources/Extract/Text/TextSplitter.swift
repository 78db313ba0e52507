/// Cuts long text where it hurts least.
enum TextSplitter {
    /// How far back from the limit a better place is looked for, in bytes.
    private static let lookBackBytes = 4096

    /// The end of a part of at most `bytesMax` bytes from `start`: behind a line feed if asked for, else behind a space, else between characters.
    static func end(of text: [UInt8], from start: Int, bytesMax: Int, atLines: Bool) -> Int {
        guard text.count - start > bytesMax else { return text.count }
        let limit = start + bytesMax
        let lowest = max(start + 1, limit - (atLines ? bytesMax : lookBackBytes))
        if atLines, let line = text[lowest..<limit].lastIndex(of: 0x0A) { return line + 1 }
        if let space = text[lowest..<limit].lastIndex(where: { $0 == 0x20 || $0 == 0x0A }) { return space + 1 }
        return max(characterBoundary(text, atMost: limit), start + 1)
    }

    /// The last index up to `limit` that does not cut a character.
    static func characterBoundary(_ text: [UInt8], atMost limit: Int) -> Int {
        var index = min(limit, text.count)
        while index > 0, index < text.count, text[index] & 0xC0 == 0x80 { index -= 1 }
        return index
    }
}

extension Block {
    var isCode: Bool {
        if case .code = kind { true } else { false }
    }

    /// Whether a line of it is a unit: rows of tables, statements of code.
    var prefersLines: Bool {
        switch kind {
        case .code, .table: true
        default: false
        }
    }
}
