internal import CGumbo

/// What kinds of elements mean for a reader.
enum HTMLElements {
    private static let blocks: Set<UInt32> = Set(
        [
            GUMBO_TAG_BODY, GUMBO_TAG_P, GUMBO_TAG_DIV, GUMBO_TAG_ADDRESS, GUMBO_TAG_FIGURE, GUMBO_TAG_FIGCAPTION,
            GUMBO_TAG_DL,
            GUMBO_TAG_DT, GUMBO_TAG_DD, GUMBO_TAG_HEADER, GUMBO_TAG_FOOTER, GUMBO_TAG_NAV, GUMBO_TAG_ASIDE,
            GUMBO_TAG_HR,
            GUMBO_TAG_FORM, GUMBO_TAG_FIELDSET, GUMBO_TAG_LEGEND, GUMBO_TAG_DETAILS, GUMBO_TAG_SUMMARY,
            GUMBO_TAG_CENTER,
            GUMBO_TAG_TR, GUMBO_TAG_TD, GUMBO_TAG_TH, GUMBO_TAG_CAPTION, GUMBO_TAG_THEAD, GUMBO_TAG_TBODY,
            GUMBO_TAG_TFOOT,
            GUMBO_TAG_HGROUP,
        ].map(\.rawValue))
    private static let active: Set<UInt32> = Set(
        [
            GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE, GUMBO_TAG_NOSCRIPT, GUMBO_TAG_TEMPLATE, GUMBO_TAG_IFRAME,
            GUMBO_TAG_OBJECT,
            GUMBO_TAG_EMBED, GUMBO_TAG_CANVAS, GUMBO_TAG_VIDEO, GUMBO_TAG_AUDIO, GUMBO_TAG_SVG, GUMBO_TAG_SELECT,
            GUMBO_TAG_BUTTON,
            GUMBO_TAG_INPUT, GUMBO_TAG_TEXTAREA, GUMBO_TAG_APPLET, GUMBO_TAG_NOFRAMES, GUMBO_TAG_NOEMBED,
            GUMBO_TAG_DATALIST,
        ].map(\.rawValue))

    static func isBlock(_ tag: GumboTag) -> Bool { blocks.contains(tag.rawValue) }

    /// Why an element is no text for a reader, or nil when it may be.
    static func dropReason(_ node: UnsafeMutablePointer<GumboNode>) -> Drop.Reason? {
        if active.contains(node.tag.rawValue) { return .activeContent }
        if node.attribute("hidden") != nil { return .hidden }
        if let style = node.attribute("style")?.lowercased() {
            let compact = style.filter { $0 != " " }
            if compact.contains("display:none") || compact.contains("visibility:hidden") { return .hidden }
        }
        return nil
    }

    /// Whether an element belongs to the site rather than to the page's text.
    static func isBoilerplate(_ node: UnsafeMutablePointer<GumboNode>, isContent: Bool) -> Bool {
        switch node.tag {
        case GUMBO_TAG_NAV, GUMBO_TAG_ASIDE: return true
        case GUMBO_TAG_HEADER, GUMBO_TAG_FOOTER: return !isContent
        default: break
        }
        switch node.attribute("role")?.lowercased() {
        case "navigation", "contentinfo", "complementary", "search": return true
        case "banner": return !isContent
        default: return false
        }
    }

    /// The page's own header, which often holds its title.
    static func isPageHeader(_ node: UnsafeMutablePointer<GumboNode>) -> Bool {
        node.tag == GUMBO_TAG_HEADER || node.attribute("role")?.lowercased() == "banner"
    }

    /// The language a `pre` or its `code` names by the class `language-…` or `lang-…`.
    static func codeLanguage(_ node: UnsafeMutablePointer<GumboNode>) -> String {
        let elements = [node] + node.children.filter { $0.tag == GUMBO_TAG_CODE }
        for element in elements {
            for name in (element.attribute("class") ?? "").split(separator: " ") {
                for prefix in ["language-", "lang-"] where name.hasPrefix(prefix) {
                    return String(name.dropFirst(prefix.count))
                }
            }
        }
        return ""
    }
}

/// The cells of a table as text.
struct HTMLTable {
    private(set) var rows: [[UInt8]] = []
    private(set) var headerRows = 0
    private(set) var caption: [UInt8] = []
    private var columnsMax = 0
    private var holdsBlocks = false

    /// Longer cells are prose that was laid out in a table, in bytes.
    private static let cellBytesMax = 4096
    private static let depthMax = 1500

    init(_ table: UnsafeMutablePointer<GumboNode>) { collect(table, isHead: false, depth: 0) }

    /// Whether it holds data, rather than laying out the page.
    var isData: Bool { !holdsBlocks && columnsMax > 1 && !rows.isEmpty }

    private mutating func collect(_ node: UnsafeMutablePointer<GumboNode>, isHead: Bool, depth: Int) {
        for child in node.children {
            switch child.tag {
            case GUMBO_TAG_THEAD: collect(child, isHead: true, depth: depth + 1)
            case GUMBO_TAG_TBODY, GUMBO_TAG_TFOOT: collect(child, isHead: false, depth: depth + 1)
            case GUMBO_TAG_CAPTION: caption = cellText(child)
            case GUMBO_TAG_TR: row(child, isHead: isHead)
            default: break
            }
        }
    }

    private mutating func row(_ node: UnsafeMutablePointer<GumboNode>, isHead: Bool) {
        let cells = node.children.filter { $0.tag == GUMBO_TAG_TD || $0.tag == GUMBO_TAG_TH }
        let texts = cells.map { cellText($0) }
        columnsMax = max(columnsMax, cells.count)
        guard texts.contains(where: { !$0.isEmpty }) else { return }
        if rows.count == headerRows, isHead || cells.allSatisfy({ $0.tag == GUMBO_TAG_TH }) { headerRows += 1 }
        rows.append(TableText.row(texts))
    }

    private mutating func cellText(_ cell: UnsafeMutablePointer<GumboNode>) -> [UInt8] {
        var inline = InlineText()
        append(cell, to: &inline, depth: 0)
        let text = inline.take()
        if text.count > Self.cellBytesMax { holdsBlocks = true }
        return text
    }

    private mutating func append(_ node: UnsafeMutablePointer<GumboNode>, to inline: inout InlineText, depth: Int) {
        guard depth < Self.depthMax, !holdsBlocks else { return }
        for child in node.children {
            if HTMLElements.dropReason(child) != nil { continue }
            switch child.tag {
            case GUMBO_TAG_TABLE, GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_PRE, GUMBO_TAG_ARTICLE:
                holdsBlocks = true
            case GUMBO_TAG_IMG:
                if let text = child.attribute("alt") {
                    Array(text.utf8).withUnsafeBytes { inline.append($0, verbatim: false) }
                }
            case GUMBO_TAG_BR: inline.boundary()
            case _ where HTMLElements.isBlock(child.tag) || child.tag == GUMBO_TAG_LI:
                inline.boundary()
                append(child, to: &inline, depth: depth + 1)
                inline.boundary()
            default:
                if child.isElement {
                    append(child, to: &inline, depth: depth + 1)
                } else if child.pointee.type != GUMBO_NODE_COMMENT {
                    inline.append(child.textBytes, verbatim: false)
                }
            }
        }
    }
}
