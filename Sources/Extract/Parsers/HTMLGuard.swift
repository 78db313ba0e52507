/// Keeps gumbo's running time linear: it searches the open elements for many tags, and all attributes for each attribute.
///
/// Reads the page roughly as a browser's tokenizer would and overwrites with spaces the tags that are nested too deep and the attributes
/// that are too many. Text stays, and every offset stays true.
struct HTMLGuard {
    static let attributesMax = 128

    private let text: UnsafeMutableBufferPointer<UInt8>
    private let nestingMax: Int
    /// Hashes of the names of open elements.
    private var open: [UInt64] = []
    /// Start tags blanked because of their depth whose end tags are still to come.
    private var pending = 0
    private var blanked = 0

    /// Elements that hold no others, and those that end where the next begins.
    private static let shallow = Set(
        [
            "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
            "wbr",
            "html", "head", "body", "p", "li", "dd", "dt", "option", "tr", "td", "th", "thead", "tbody", "tfoot",
            "colgroup",
        ].map(hash))
    /// Elements whose content is not markup.
    private static let raw: [UInt64: [UInt8]] = Dictionary(
        uniqueKeysWithValues: ["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"].map {
            (hash($0), Array($0.utf8))
        })

    init(_ text: UnsafeMutableBufferPointer<UInt8>, nestingMax: Int) {
        self.text = text
        self.nestingMax = nestingMax
    }

    /// Returns how many tags and attributes were blanked.
    mutating func blankWhatIsOverLimits() -> Int {
        var index = 0
        while index < text.count {
            guard text[index] == UInt8(ascii: "<"), index + 1 < text.count else {
                index += 1
                continue
            }
            let next = text[index + 1]
            if next == UInt8(ascii: "!") {
                index = endOfDeclaration(index)
            } else if Self.isLetter(next) {
                index = startTag(at: index)
            } else if next == UInt8(ascii: "/"), index + 2 < text.count, Self.isLetter(text[index + 2]) {
                index = endTag(at: index)
            } else {
                index += 1
            }
        }
        return blanked
    }

    private mutating func startTag(at start: Int) -> Int {
        let (name, nameEnd) = name(at: start + 1)
        let (end, selfCloses) = endOfTag(from: nameEnd, limitsAttributes: true)
        if Self.shallow.contains(name) || selfCloses { return end }
        if let rawName = Self.raw[name] { return endOfRaw(rawName, from: end) }
        if open.count >= nestingMax {
            blank(start..<end)
            pending += 1
        } else {
            open.append(name)
        }
        return end
    }

    private mutating func endTag(at start: Int) -> Int {
        let (name, nameEnd) = name(at: start + 2)
        let (end, _) = endOfTag(from: nameEnd, limitsAttributes: false)
        if Self.shallow.contains(name) { return end }
        if pending > 0 {
            pending -= 1
            blank(start..<end)
        } else if let index = open.lastIndex(of: name) {
            open.removeSubrange(index...)
        }
        return end
    }

    /// FNV-1a of the name in lower case, and the index behind it.
    private func name(at start: Int) -> (hash: UInt64, end: Int) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var index = start
        while index < text.count, !Self.endsName(text[index]) {
            let byte = text[index]
            hash = (hash ^ UInt64((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)) &* 0x100_0000_01B3
            index += 1
        }
        return (hash, index)
    }

    private static func hash(_ name: String) -> UInt64 {
        name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// Behind the `>` of a tag, with quoted values skipped.
    private mutating func endOfTag(from start: Int, limitsAttributes: Bool) -> (end: Int, selfCloses: Bool) {
        var index = start
        var attributes = 0
        var excess: Int?
        while index < text.count, text[index] != UInt8(ascii: ">") {
            if Self.endsName(text[index]) {
                index += 1
                continue
            }
            attributes += 1
            if limitsAttributes, attributes > Self.attributesMax, excess == nil { excess = index }
            index = endOfAttribute(index)
        }
        let selfCloses = index > start && index < text.count && text[index - 1] == UInt8(ascii: "/")
        if let excess {
            blank(excess..<index)
            blanked += attributes - Self.attributesMax - 1
        }
        return (min(index + 1, text.count), selfCloses)
    }

    private func endOfAttribute(_ start: Int) -> Int {
        // A name may start with "=", and it ends there otherwise.
        var index = start + 1
        while index < text.count, !Self.endsName(text[index]), text[index] != UInt8(ascii: "=") { index += 1 }
        var value = index
        while value < text.count, Self.isSpace(text[value]) { value += 1 }
        guard value < text.count, text[value] == UInt8(ascii: "=") else { return index }
        value += 1
        while value < text.count, Self.isSpace(text[value]) { value += 1 }
        guard value < text.count else { return value }
        if text[value] == 0x22 || text[value] == 0x27 {
            let quote = text[value]
            value += 1
            while value < text.count, text[value] != quote { value += 1 }
            return min(value + 1, text.count)
        }
        while value < text.count, !Self.isSpace(text[value]), text[value] != UInt8(ascii: ">") { value += 1 }
        return value
    }

    /// Behind a comment, or a declaration such as the doctype.
    private func endOfDeclaration(_ start: Int) -> Int {
        let isComment =
            start + 3 < text.count && text[start + 2] == UInt8(ascii: "-") && text[start + 3] == UInt8(ascii: "-")
        var index = isComment ? start + 4 : start + 2
        while index < text.count {
            if text[index] == UInt8(ascii: ">"),
                !isComment || text[index - 1] == UInt8(ascii: "-") && text[index - 2] == UInt8(ascii: "-")
            {
                return index + 1
            }
            index += 1
        }
        return index
    }

    private func endOfRaw(_ name: [UInt8], from start: Int) -> Int {
        var index = start
        while index + name.count + 2 <= text.count {
            if text[index] == UInt8(ascii: "<"), text[index + 1] == UInt8(ascii: "/"),
                name.indices.allSatisfy({ text[index + 2 + $0] | 0x20 == name[$0] })
            {
                return index
            }
            index += 1
        }
        return text.count
    }

    private mutating func blank(_ range: Range<Int>) {
        for index in range { text[index] = 0x20 }
        blanked += 1
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    private static func endsName(_ byte: UInt8) -> Bool {
        isSpace(byte) || byte == UInt8(ascii: ">") || byte == UInt8(ascii: "/")
    }
}
