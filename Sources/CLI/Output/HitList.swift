internal import RPC

/// Passages for people: one line about the place, one with the text around the match.
enum HitList {
    /// Bytes of text shown around the first match.
    private static let snippetBytes = 240
    private static let leadBytes = 60

    static func render(_ hits: [Hit], isWide: Bool) -> String {
        guard !hits.isEmpty else { return "" }
        var text = Terminal.bold("SCORE   PASSAGE") + "\n"
        for hit in hits {
            text += "\(score(hit.score))  \(Terminal.bold(place(hit.title, hit.headingPath, hit.page)))\n"
            text += "        \(snippet(hit))\n"
            if isWide {
                text +=
                    Terminal.dim(
                        "        document \(hit.documentID) revision \(hit.revisionID) bytes \(hit.start)..<\(hit.end) "
                            + "collection \(Terminal.oneLine(hit.collection)) origin \(Terminal.oneLine(hit.origin))")
                    + "\n"
            }
        }
        return text
    }

    /// `Title › Heading › Heading, page 3`.
    static func place(_ title: String, _ headings: [String], _ page: UInt32) -> String {
        // A document's title is often its first heading, too.
        let parts = [title] + (headings.first == title ? Array(headings.dropFirst()) : headings)
        let place = parts.filter { !$0.isEmpty }.map(Terminal.oneLine).joined(separator: " › ")
        return page > 0 ? "\(place), page \(page)" : place
    }

    /// Six columns with three digits behind the point.
    static func score(_ score: Double) -> String {
        let thousandths = Int((min(max(score, 0), 9_999) * 1000).rounded())
        let fraction = String(thousandths % 1000)
        let text = "\(thousandths / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
        return String(repeating: " ", count: max(0, 6 - text.count)) + text
    }

    private static func snippet(_ hit: Hit) -> String {
        let bytes = Array(hit.text.utf8)
        let first = hit.highlights.first.map { Int($0.start) } ?? 0
        let start = boundary(bytes, max(0, min(first, bytes.count) - leadBytes))
        let end = boundary(bytes, min(bytes.count, start + snippetBytes))
        var text = start > 0 ? "…" : ""
        var position = start
        for highlight in hit.highlights {
            let from = boundary(bytes, min(Int(highlight.start), bytes.count))
            let to = boundary(bytes, min(Int(highlight.end), bytes.count))
            guard from >= position, to > from, to <= end else { continue }
            text += piece(bytes[position..<from]) + Terminal.bold(piece(bytes[from..<to]))
            position = to
        }
        return text + piece(bytes[position..<end]) + (end < bytes.count ? "…" : "")
    }

    /// The offset moved back to the start of a character.
    private static func boundary(_ bytes: [UInt8], _ offset: Int) -> Int {
        var offset = offset
        while offset > 0, offset < bytes.count, bytes[offset] & 0xC0 == 0x80 { offset -= 1 }
        return offset
    }

    /// One line of a piece, with the space at its ends kept.
    private static func piece(_ bytes: ArraySlice<UInt8>) -> String {
        guard let first = bytes.first, let last = bytes.last else { return "" }
        let text = Terminal.oneLine(String(decoding: bytes, as: UTF8.self))
        if text.isEmpty { return " " }
        return (isSpace(first) ? " " : "") + text + (isSpace(last) ? " " : "")
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
