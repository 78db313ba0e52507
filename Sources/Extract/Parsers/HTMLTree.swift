internal import CGumbo
internal import Glibc

/// A parsed web page, with the text it points into.
final class HTMLTree {
    private let text: UnsafeMutableBufferPointer<UInt8>
    private let output: UnsafeMutablePointer<GumboOutput>?
    /// Tags and attributes that were beyond a limit and were blanked before parsing.
    let overLimit: Int

    init(_ bytes: [UInt8], nestingMax: Int) {
        text = .allocate(capacity: max(bytes.count, 1))
        _ = text.update(fromContentsOf: bytes)
        let content = UnsafeMutableBufferPointer(rebasing: text[..<bytes.count])
        var guardian = HTMLGuard(content, nestingMax: nestingMax)
        overLimit = guardian.blankWhatIsOverLimits()
        var options = kGumboDefaultOptions
        options.max_errors = 0
        output = content.withMemoryRebound(to: CChar.self) { content in
            gumbo_parse_with_options(&options, content.baseAddress, content.count)
        }
    }

    deinit {
        // Gumbo frees recursively. A page that had to be cut down is left to the end of the process rather than trusted with the stack.
        if overLimit == 0, let output {
            withUnsafePointer(to: kGumboDefaultOptions) { gumbo_destroy_output($0, output) }
        }
        text.deallocate()
    }

    var document: UnsafeMutablePointer<GumboNode>? { output?.pointee.root }

    /// The character an entity such as `&eacute;` stands for; the entity itself when it stands for none.
    static func decodeEntity(_ entity: UnsafeRawBufferPointer) -> [UInt8] {
        let tree = HTMLTree(Array(entity), nestingMax: 8)
        for child in tree.document?.children ?? [] where child.tag == GUMBO_TAG_BODY {
            for node in child.children
            where node.pointee.type == GUMBO_NODE_TEXT || node.pointee.type == GUMBO_NODE_WHITESPACE {
                return Array(node.textBytes)
            }
        }
        return Array(entity)
    }
}

extension UnsafeMutablePointer<GumboNode> {
    var isElement: Bool { pointee.type == GUMBO_NODE_ELEMENT || pointee.type == GUMBO_NODE_TEMPLATE }

    /// The element's tag; unknown for anything else.
    var tag: GumboTag { isElement ? pointee.v.element.tag : GUMBO_TAG_UNKNOWN }

    var children: [UnsafeMutablePointer<GumboNode>] {
        guard isElement else { return [] }
        let vector = pointee.v.element.children
        return (0..<Int(vector.length)).compactMap { vector.data[$0]?.assumingMemoryBound(to: GumboNode.self) }
    }

    /// The value of an attribute, or nil.
    func attribute(_ name: String) -> String? {
        guard isElement else { return nil }
        let found = withUnsafePointer(to: pointee.v.element.attributes) { gumbo_get_attribute($0, name) }
        return found.map { String(cString: $0.pointee.value) }
    }

    /// The UTF-8 of a text node.
    var textBytes: UnsafeRawBufferPointer {
        guard !isElement, let start = pointee.v.text.text else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(start: start, count: strlen(start))
    }

    /// Where the element is in the page, in bytes.
    var byteRange: Range<Int> {
        guard isElement else { return 0..<0 }
        let start = Int(pointee.v.element.start_pos.offset)
        let end = Int(pointee.v.element.end_pos.offset) + Int(pointee.v.element.original_end_tag.length)
        return start..<max(start, end)
    }
}
