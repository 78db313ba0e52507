internal import CMd4c

/// Turns md4c's events into blocks.
final class MarkdownBuilder {
    private enum Container {
        case quote
        case list(next: Int?)
        /// Its marker, until its first text is written.
        case item(marker: String?)
    }

    private enum Leaf {
        case none
        case heading(Int)
        case code(language: String)
        case html
        case cell
    }

    /// The first error; md4c stops at it.
    private(set) var failure: ParseFailure?

    private let writer: FrameWriter
    private let nestingMax: Int
    private var containers: [Container] = []
    /// Containers entered beyond the limit, which are not kept.
    private var overflow = 0
    private var overflowed = 0
    private var listDepth = 0
    private var quoteDepth = 0
    private var leaf = Leaf.none
    private var text: [UInt8] = []
    private var table: [[UInt8]] = []
    private var row: [[UInt8]] = []
    private var headerRows = 0

    init(writer: FrameWriter, nestingMax: Int) {
        self.writer = writer
        self.nestingMax = nestingMax
    }

    /// Runs an event on the builder behind md4c's user pointer; 0 goes on, 1 stops.
    static func from(_ user: UnsafeMutableRawPointer?, _ body: (MarkdownBuilder) throws(ParseFailure) -> Void) -> Int32
    {
        guard let user else { return 1 }
        let builder = Unmanaged<MarkdownBuilder>.fromOpaque(user).takeUnretainedValue()
        do throws(ParseFailure) {
            try body(builder)
            return 0
        } catch {
            builder.failure = error
            return 1
        }
    }

    func finish() throws(ParseFailure) {
        if overflowed > 0 { try writer.drop(Drop(reason: .structureLimit, count: overflowed)) }
    }

    func enter(_ type: MD_BLOCKTYPE, _ detail: UnsafeMutableRawPointer?) throws(ParseFailure) {
        switch type {
        case MD_BLOCK_TD, MD_BLOCK_TH: leaf = .cell
        case MD_BLOCK_TR: row = []
        case MD_BLOCK_THEAD, MD_BLOCK_TBODY: break
        default: try flush()
        }
        switch type {
        case MD_BLOCK_QUOTE: enterContainer(.quote)
        case MD_BLOCK_UL: enterContainer(.list(next: nil))
        case MD_BLOCK_OL:
            let start = detail?.load(as: MD_BLOCK_OL_DETAIL.self).start ?? 1
            enterContainer(.list(next: Int(start)))
        case MD_BLOCK_LI: enterContainer(.item(marker: nextMarker(detail?.load(as: MD_BLOCK_LI_DETAIL.self))))
        case MD_BLOCK_H: leaf = .heading(Int(detail?.load(as: MD_BLOCK_H_DETAIL.self).level ?? 1))
        case MD_BLOCK_CODE: leaf = .code(language: Self.language(detail?.load(as: MD_BLOCK_CODE_DETAIL.self)))
        case MD_BLOCK_HTML: leaf = .html
        case MD_BLOCK_TABLE:
            table = []
            headerRows = 0
        default: break
        }
    }

    func leave(_ type: MD_BLOCKTYPE, _ detail: UnsafeMutableRawPointer?) throws(ParseFailure) {
        switch type {
        case MD_BLOCK_TD, MD_BLOCK_TH:
            row.append(text)
            text = []
            leaf = .none
        case MD_BLOCK_TR:
            if row.contains(where: { !$0.isEmpty }) { table.append(TableText.row(row)) }
        case MD_BLOCK_THEAD: headerRows = table.count
        case MD_BLOCK_TBODY: break
        case MD_BLOCK_TABLE:
            try writer.block(Block(kind: .table(headerRows: headerRows), text: TableText.join(table)))
        default:
            try flush()
            leaf = .none
        }
        switch type {
        case MD_BLOCK_QUOTE, MD_BLOCK_UL, MD_BLOCK_OL, MD_BLOCK_LI: leaveContainer()
        default: break
        }
    }

    func text(_ type: MD_TEXTTYPE, _ bytes: UnsafeRawBufferPointer) throws(ParseFailure) {
        switch type {
        case MD_TEXT_NULLCHAR: break
        case MD_TEXT_BR: text.append(0x0A)
        case MD_TEXT_SOFTBR: text.append(0x20)
        case MD_TEXT_ENTITY: text.append(contentsOf: HTMLTree.decodeEntity(bytes))
        case MD_TEXT_HTML:
            if case .html = leaf {
                text.append(contentsOf: bytes)
            } else if Self.isLineBreak(bytes) {
                text.append(0x0A)
            }
        default: text.append(contentsOf: bytes)
        }
    }

    private func enterContainer(_ container: Container) {
        guard containers.count < nestingMax else {
            overflow += 1
            overflowed += 1
            return
        }
        switch container {
        case .list: listDepth += 1
        case .quote: quoteDepth += 1
        case .item: break
        }
        containers.append(container)
    }

    private func leaveContainer() {
        if overflow > 0 {
            overflow -= 1
            return
        }
        switch containers.popLast() {
        case .list: listDepth -= 1
        case .quote: quoteDepth -= 1
        case .item, nil: break
        }
    }

    /// The number of an ordered item, which people refer to, and the box of a task; a bullet says nothing.
    private func nextMarker(_ detail: MD_BLOCK_LI_DETAIL?) -> String {
        var marker = ""
        if overflow == 0, case .list(let next?)? = containers.last {
            containers[containers.count - 1] = .list(next: next + 1)
            marker = "\(next). "
        }
        if let detail, detail.is_task != 0 {
            marker += detail.task_mark == CChar(UInt8(ascii: " ")) ? "[ ] " : "[x] "
        }
        return marker
    }

    private func flush() throws(ParseFailure) {
        guard !text.isEmpty else { return }
        let content = text
        text = []
        switch leaf {
        case .heading(let level): try writer.block(Block(kind: .heading(level: level), text: content))
        case .code(let language): try writer.block(Block(kind: .code(language: language), text: content))
        case .html:
            let tree = HTMLTree(content, nestingMax: nestingMax)
            let found = HTMLWalker.walk(tree, keepsBoilerplate: true)
            for block in found.blocks { try writer.block(block) }
            for drop in found.drops { try writer.drop(Drop(reason: drop.reason, count: drop.count)) }
        case .none, .cell: try flushParagraph(content)
        }
    }

    private func flushParagraph(_ content: [UInt8]) throws(ParseFailure) {
        if case .item(let marker?)? = containers.last {
            containers[containers.count - 1] = .item(marker: nil)
            try writer.block(Block(kind: .listItem(depth: listDepth), text: Array(marker.utf8) + content))
        } else {
            try writer.block(Block(kind: quoteDepth > 0 ? .quote : .paragraph, text: content))
        }
    }

    private static func language(_ detail: MD_BLOCK_CODE_DETAIL?) -> String {
        guard let detail, let start = detail.lang.text else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: Int(detail.lang.size)), as: UTF8.self)
    }

    private static func isLineBreak(_ tag: UnsafeRawBufferPointer) -> Bool {
        tag.count >= 4 && tag[0] == UInt8(ascii: "<") && tag[1] | 0x20 == UInt8(ascii: "b")
            && tag[2] | 0x20 == UInt8(ascii: "r")
            && !(0x61...0x7A).contains(tag[3] | 0x20)
    }
}

/// Tables as text: one line per row, cells joined by ` | `.
enum TableText {
    static func row(_ cells: [[UInt8]]) -> [UInt8] {
        Array(cells.map { cell in cell.map { $0 == 0x0A ? 0x20 : $0 } }.joined(separator: Array(" | ".utf8)))
    }

    static func join(_ rows: [[UInt8]]) -> [UInt8] { Array(rows.joined(separator: [0x0A])) }
}
