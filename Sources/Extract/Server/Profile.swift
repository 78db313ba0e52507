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

    /// A document of ours for each type, which a server reads once before it forks: what is resolved, cached and loaded at first use then
    /// comes to every child for free. Most of the time of a small document goes there otherwise.
    var warmUpDocuments: [(mediaType: String, bytes: [UInt8])] {
        let markdown =
            "# A\n\n- b *c* &amp;\n  1. d\n\n> e\n\n| f | g |\n|---|---|\n| h | i |\n\n```x\nj\n```\n\n<p>k</p>\n"
        let html = """
            <!DOCTYPE html><html lang="en"><head><title>a</title><meta name="author" content="b"></head><body><header><h1>c</h1></header>
            <nav>d</nav><main><p class="x" style="color: red">e <b>f</b><br>g</p><ul><li>h</li></ul><ol><li>i</li></ol>
            <table><tr><th>j</th><th>k</th></tr><tr><td>l</td><td>m</td></tr></table><pre>n</pre><img alt="o" src="p"></main></body></html>
            """
        return switch self {
        case .text:
            [
                ("text/plain", Array("a\n\nb – c\n".utf8)), ("text/markdown", Array(markdown.utf8)),
                ("text/html", Array(html.utf8)),
            ]
        case .pdf: [("application/pdf", PDFParser.warmUpDocument)]
        }
    }

    /// Loads what every document needs, so that the children of the server share it and need not open it.
    func makeParsers() throws(ParseFailure) -> [any DocumentParser] {
        switch self {
        case .text:
            let charsets = Charsets()
            return [
                PlainTextParser(charsets: charsets), MarkdownParser(charsets: charsets), HTMLParser(charsets: charsets),
            ]
        case .pdf:
            return [try PDFParser()]
        }
    }
}
