internal import CGumbo

/// Walks a page in reading order and turns elements into blocks.
struct HTMLWalker {
    struct Found {
        var blocks: [Block] = []
        var drops: [Drop] = []
        var textBytes = 0
    }

    /// What the elements around a text say about it.
    private struct Context {
        var depth = 0
        var heading = 0
        var isQuote = false
        var isCode = false
        var codeLanguage = ""
        /// Inside article, main or section: a header or footer there belongs to the text.
        var isContent = false
        /// Inside the header of the page: only headings count.
        var onlyHeadings = false
    }

    /// Deeper than any page that the guard lets through; keeps the recursion within the stack.
    private static let depthMax = 1500

    private let keepsBoilerplate: Bool
    private var found = Found()
    private var inline = InlineText()
    private var lists: [Int?] = []
    private var itemMarker: String?
    private var dropped: [(reason: Drop.Reason, count: Int)] = []

    private init(keepsBoilerplate: Bool) { self.keepsBoilerplate = keepsBoilerplate }

    /// - Parameter keepsBoilerplate: whether navigation, headers, footers and side bars are text.
    static func walk(_ tree: HTMLTree, keepsBoilerplate: Bool) -> Found {
        var walker = HTMLWalker(keepsBoilerplate: keepsBoilerplate)
        for section in tree.document?.children ?? [] where section.tag != GUMBO_TAG_HEAD {
            walker.walk(section, Context())
            walker.flush(Context())
        }
        for (reason, count) in walker.dropped { walker.found.drops.append(Drop(reason: reason, count: count)) }
        return walker.found
    }

    private mutating func walk(_ node: UnsafeMutablePointer<GumboNode>, _ context: Context) {
        switch node.pointee.type {
        case GUMBO_NODE_TEXT, GUMBO_NODE_CDATA, GUMBO_NODE_WHITESPACE:
            if !context.onlyHeadings || context.heading > 0 { inline.append(node.textBytes, verbatim: context.isCode) }
        case GUMBO_NODE_ELEMENT:
            if context.depth >= Self.depthMax { count(.structureLimit) } else { element(node, context) }
        case GUMBO_NODE_TEMPLATE: count(.activeContent)
        default: break
        }
    }

    private mutating func element(_ node: UnsafeMutablePointer<GumboNode>, _ outer: Context) {
        var context = outer
        context.depth += 1
        if let reason = HTMLElements.dropReason(node) {
            count(reason)
            return
        }
        if !keepsBoilerplate, HTMLElements.isBoilerplate(node, isContent: outer.isContent) {
            if HTMLElements.isPageHeader(node) {
                context.onlyHeadings = true
            }
            found.drops.append(Drop(reason: .boilerplate, bytes: node.byteRange))
            guard context.onlyHeadings else { return }
        }
        switch node.tag {
        case GUMBO_TAG_BR: inline.lineBreak()
        case GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_H4, GUMBO_TAG_H5, GUMBO_TAG_H6:
            context.heading = Int(node.tag.rawValue - GUMBO_TAG_H1.rawValue) + 1
            block(node, outer, context)
        case GUMBO_TAG_PRE, GUMBO_TAG_LISTING, GUMBO_TAG_XMP:
            context.isCode = true
            context.codeLanguage = HTMLElements.codeLanguage(node)
            block(node, outer, context)
        case GUMBO_TAG_BLOCKQUOTE:
            context.isQuote = true
            block(node, outer, context)
        case GUMBO_TAG_ARTICLE, GUMBO_TAG_MAIN, GUMBO_TAG_SECTION:
            context.isContent = true
            block(node, outer, context)
        case GUMBO_TAG_UL, GUMBO_TAG_OL, GUMBO_TAG_MENU, GUMBO_TAG_DIR: list(node, outer, context)
        case GUMBO_TAG_LI: item(node, outer, context)
        case GUMBO_TAG_TABLE: table(node, outer, context)
        case GUMBO_TAG_IMG:
            if let text = node.attribute("alt"), !text.isEmpty, !context.onlyHeadings {
                Array(text.utf8).withUnsafeBytes { inline.append($0, verbatim: false) }
            }
        case _ where HTMLElements.isBlock(node.tag): block(node, outer, context)
        default: for child in node.children { walk(child, context) }
        }
    }

    /// Text before a block element, in it, and after it are different blocks.
    private mutating func block(_ node: UnsafeMutablePointer<GumboNode>, _ outer: Context, _ context: Context) {
        flush(outer)
        for child in node.children { walk(child, context) }
        flush(context)
    }

    private mutating func list(_ node: UnsafeMutablePointer<GumboNode>, _ outer: Context, _ context: Context) {
        flush(outer)
        let isOrdered = node.tag == GUMBO_TAG_OL
        lists.append(isOrdered ? node.attribute("start").flatMap { Int($0) } ?? 1 : nil)
        for child in node.children { walk(child, context) }
        flush(context)
        lists.removeLast()
    }

    private mutating func item(_ node: UnsafeMutablePointer<GumboNode>, _ outer: Context, _ context: Context) {
        flush(outer)
        itemMarker = ""
        if let last = lists.indices.last, let next = lists[last] {
            itemMarker = "\(next). "
            lists[last] = next &+ 1
        }
        for child in node.children { walk(child, context) }
        flush(context)
        itemMarker = nil
    }

    /// Data becomes one block; a table that only lays out the page is walked as if it were not there.
    private mutating func table(_ node: UnsafeMutablePointer<GumboNode>, _ outer: Context, _ context: Context) {
        flush(outer)
        guard !context.onlyHeadings else { return }
        let table = HTMLTable(node)
        guard table.isData else {
            for child in node.children { walk(child, context) }
            flush(context)
            return
        }
        if !table.caption.isEmpty { add(Block(kind: .paragraph, text: table.caption)) }
        add(Block(kind: .table(headerRows: table.headerRows), text: TableText.join(table.rows)))
    }

    private mutating func flush(_ context: Context) {
        let text = inline.take()
        guard !text.isEmpty else { return }
        let kind: Block.Kind
        if context.heading > 0 {
            kind = .heading(level: context.heading)
        } else if context.isCode {
            kind = .code(language: context.codeLanguage)
        } else if let marker = itemMarker {
            itemMarker = nil
            add(Block(kind: .listItem(depth: lists.count), text: Array(marker.utf8) + text))
            return
        } else {
            kind = context.isQuote ? .quote : .paragraph
        }
        add(Block(kind: kind, text: text))
    }

    private mutating func add(_ block: Block) {
        found.textBytes += block.text.count
        found.blocks.append(block)
    }

    private mutating func count(_ reason: Drop.Reason) {
        if let index = dropped.firstIndex(where: { $0.reason == reason }) {
            dropped[index].count += 1
        } else {
            dropped.append((reason, 1))
        }
    }
}

/// Text of inline content with white space collapsed as a browser shows it.
struct InlineText {
    private var text: [UInt8] = []
    private var gap = false

    mutating func append(_ bytes: UnsafeRawBufferPointer, verbatim: Bool) {
        if verbatim {
            text.append(contentsOf: bytes)
            return
        }
        for byte in bytes {
            if byte == 0x20 || (0x09...0x0D).contains(byte) {
                gap = true
                continue
            }
            space()
            text.append(byte)
        }
    }

    mutating func lineBreak() {
        gap = false
        if !text.isEmpty { text.append(0x0A) }
    }

    /// A boundary that must not glue two words together.
    mutating func boundary() { gap = true }

    private mutating func space() {
        if gap, let last = text.last, last != 0x0A { text.append(0x20) }
        gap = false
    }

    /// The text so far; empty when it is only white space.
    mutating func take() -> [UInt8] {
        defer {
            text = []
            gap = false
        }
        return text.contains { $0 > 0x20 } ? text : []
    }
}
