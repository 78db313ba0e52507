/// What one fork server reads. Two of them, so that text documents are not charged for poppler's memory and
/// run in a sandbox that can open nothing at all.
enum Profile: String {
    case text
    case pdf

    /// What its parsers may open, for reading. Poppler reads the character maps of CJK fonts as it meets them; it needs no fonts for text.
    var readablePaths: [String] {
        switch self {
        case .text: []
        case .pdf: ["/usr/share/poppler"]
        }
    }

    /// Loads what every document needs, so that the children of the server share it and need not open it.
    func makeParsers() throws(ParseFailure) -> [any DocumentParser] {
        switch self {
        case .text:
            let charsets = Charsets()
            return [PlainTextParser(charsets: charsets), MarkdownParser(charsets: charsets), HTMLParser(charsets: charsets)]
        case .pdf:
            return [try PDFParser()]
        }
    }
}
