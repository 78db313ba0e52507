internal import CGumbo

/// Web pages, by gumbo (the HTML5 algorithm).
struct HTMLParser: DocumentParser {
    let mediaType = "text/html"
    let name = "gumbo"
    let version = "1"
    let charsets: Charsets

    /// A page with less text than this outside its navigation is taken to be wrongly marked up, and is read as a whole.
    private static let mainTextBytesMin = 200

    func parse(_ input: UnsafeRawBufferPointer, limits: ParseLimits, into writer: FrameWriter) throws(ParseFailure) {
        let text = TextDecoding(charsets: charsets).decode(input, declared: TextDecoding.declaredInMarkup)
        let tree = HTMLTree(text.bytes, nestingMax: limits.nestingMax)
        guard let document = tree.document else { throw .tooLarge("The page needs more memory than a parser may use.") }
        var head = HTMLHead.read(document)
        head.encoding = text.encoding
        try writer.begin(head)

        var found = HTMLWalker.walk(tree, keepsBoilerplate: false)
        if found.textBytes < Self.mainTextBytesMin, found.drops.contains(where: { $0.reason == .boilerplate }) {
            let whole = HTMLWalker.walk(tree, keepsBoilerplate: true)
            if whole.textBytes > 2 * found.textBytes { found = whole }
        }
        for block in found.blocks { try writer.block(block) }
        for drop in found.drops { try writer.drop(drop) }
        if tree.overLimit > 0 { try writer.drop(Drop(reason: .structureLimit, count: tree.overLimit)) }
    }
}

/// Title, language and declared properties of a page.
enum HTMLHead {
    /// `name` or `property` of meta elements, and what they are called here.
    private static let properties: [String: String] = [
        "description": "description", "og:description": "description", "author": "author", "article:author": "author",
        "keywords": "keywords", "article:published_time": "created", "date": "created", "dc.date": "created",
        "article:modified_time": "modified", "og:site_name": "site", "generator": "generator",
    ]

    static func read(_ document: UnsafeMutablePointer<GumboNode>) -> DocumentHead {
        var head = DocumentHead()
        head.language = document.attribute("lang") ?? ""
        for section in document.children where section.tag == GUMBO_TAG_HEAD {
            for element in section.children {
                switch element.tag {
                case GUMBO_TAG_TITLE where head.title.isEmpty:
                    head.title = element.children.map { String(decoding: $0.textBytes, as: UTF8.self) }.joined()
                case GUMBO_TAG_META:
                    if let name = element.attribute("name") ?? element.attribute("property"),
                        let key = properties[name.lowercased()], let value = element.attribute("content")
                    {
                        head.add(key, value)
                    }
                case GUMBO_TAG_LINK where element.attribute("rel")?.lowercased() == "canonical":
                    head.add("canonical", element.attribute("href") ?? "")
                default: break
                }
            }
        }
        return head
    }
}
