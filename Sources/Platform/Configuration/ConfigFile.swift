public import Core

/// The configuration file: a flat subset of TOML, `[section]` and `key = value`, one a line.
///
/// It keeps its lines, so that setting one value preserves comments, order and blank lines.
public struct ConfigFile: Sendable {
    /// Largest file read, in bytes.
    public static let fileBytesMax = 1 << 20

    public let path: String
    private(set) var lines: [Line]
    /// What is wrong with single lines; the others are still read.
    private(set) var problems: [Failure.FieldViolation] = []

    /// One line and what it says.
    struct Line: Sendable {
        var text: String
        var meaning: Meaning
    }

    enum Meaning: Sendable {
        /// Blank, a comment, or a line with a problem.
        case nothing
        case section(String)
        /// The full dotted name, the literal, and where the literal stands in the line's text (UTF-8 offsets).
        case assignment(key: String, literal: TOMLLiteral, valueUTF8: Range<Int>)
    }

    /// Reads the file at `path`; a file that does not exist is an empty one.
    /// - Throws: `Failure` when it exists and cannot be read.
    public init(path: String) throws(Failure) {
        do throws(Failure) {
            self.init(path: path, text: try PlatformFile.readText(path, bytesMax: Self.fileBytesMax))
        } catch {
            guard error.code == .notFound else { throw error }
            self.init(path: path, text: "")
        }
    }

    /// Reads `text` as if it stood in the file at `path`.
    public init(path: String, text: String) {
        self.path = path
        self.lines = []
        var section: String?
        var seen: [String: Int] = [:]
        for line in Self.split(text) {
            let number = lines.count + 1
            var meaning = Meaning.nothing
            do throws(TOMLLiteral.SyntaxError) {
                meaning = try Self.meaning(of: line, in: section)
            } catch {
                report(line: number, key: "", error.message)
            }
            switch meaning {
            case .nothing: break
            case .section(let name): section = name
            case .assignment(let key, _, _):
                if let first = seen[key] {
                    report(line: number, key: key, "\(key) is already set in line \(first); remove one of the two")
                    meaning = .nothing
                } else {
                    seen[key] = number
                }
            }
            lines.append(Line(text: line, meaning: meaning))
        }
    }

    private mutating func report(line: Int, key: String, _ text: String) {
        problems.append(.init(field: key, description: "\(path):\(line): \(text)"))
    }

    /// All assignments with their line numbers, in order.
    var assignments: [(key: String, literal: TOMLLiteral, line: Int)] {
        lines.enumerated().compactMap { index, line in
            if case .assignment(let key, let literal, _) = line.meaning { (key, literal, index + 1) } else { nil }
        }
    }

    /// The whole text, ending in a line break unless it is empty.
    var text: String { lines.map { $0.text + "\n" }.joined() }

    /// Sets `entry` to a literal: in its line when it has one, otherwise at the end of its section, otherwise in a new section.
    mutating func set(_ entry: ConfigEntry, literal: String) {
        if let index = index(of: entry.name), case .assignment(_, _, let range) = lines[index].meaning {
            let utf8 = Array(lines[index].text.utf8)
            let text =
                String(decoding: utf8[..<range.lowerBound], as: UTF8.self) + literal
                + String(decoding: utf8[range.upperBound...], as: UTF8.self)
            replace(linesAt: index..<(index + 1), with: [text])
            return
        }
        let (position, inSection) = insertionPoint(for: entry)
        guard let position else {
            let opening = lines.isEmpty || lines.last?.text.isEmpty == true ? [] : [""]
            replace(
                linesAt: lines.count..<lines.count,
                with: opening + ["[\(entry.section ?? "")]", "\(entry.leaf) = \(literal)"])
            return
        }
        replace(linesAt: position..<position, with: ["\(inSection ? entry.leaf : entry.name) = \(literal)"])
    }

    /// Removes the line that sets `name`; nothing happens when there is none.
    mutating func remove(_ name: String) {
        guard let index = index(of: name) else { return }
        replace(linesAt: index..<(index + 1), with: [])
    }

    private func index(of key: String) -> Int? {
        lines.firstIndex { line in
            if case .assignment(key, _, _) = line.meaning { true } else { false }
        }
    }

    /// Where a new line for `entry` goes and whether that place is inside its `[section]`; nil for a new section at the end.
    private func insertionPoint(for entry: ConfigEntry) -> (position: Int?, inSection: Bool) {
        var current: String?
        var afterSection: Int?
        var afterDotted: Int?
        var firstSection: Int?
        for (index, line) in lines.enumerated() {
            switch line.meaning {
            case .section(let name):
                firstSection = firstSection ?? index
                current = name
                if name == entry.section { afterSection = index + 1 }
            case .assignment(let key, _, _):
                if let current, current == entry.section { afterSection = index + 1 }
                if current == nil, let section = entry.section, key.hasPrefix(section + ".") { afterDotted = index + 1 }
            case .nothing: break
            }
        }
        if entry.section == nil { return (firstSection ?? lines.count, false) }
        if let afterSection { return (afterSection, true) }
        return (afterDotted, false)
    }

    private mutating func replace(linesAt range: Range<Int>, with texts: [String]) {
        var all = lines.map(\.text)
        all.replaceSubrange(range, with: texts)
        self = ConfigFile(path: path, text: all.map { $0 + "\n" }.joined())
    }

    private static func split(_ text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        // A Swift character joins CR and LF: split by scalars where a file came from Windows.
        if text.unicodeScalars.contains("\r") {
            lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { scalars in
                String(Substring(scalars.last == "\r" ? scalars.dropLast() : scalars))
            }
        }
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    private static func meaning(
        of line: String, in section: String?
    ) throws(TOMLLiteral.SyntaxError) -> Meaning {
        let text = line.drop { $0 == " " || $0 == "\t" }
        if text.isEmpty || text.first == "#" { return .nothing }
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw .init(message: "the section has no closing ]") }
            try requireEnd(text[text.index(after: end)...])
            return .section(try name(text[text.index(after: text.startIndex)..<end]))
        }
        guard let equals = text.firstIndex(of: "=") else {
            throw .init(message: "expected `key = value` or `[section]`")
        }
        let leaf = try name(text[..<equals])
        let value = text[text.index(after: equals)...].drop { $0 == " " || $0 == "\t" }
        let (literal, rest) = try TOMLLiteral.read(value)
        try requireEnd(rest)
        let start = line.utf8.distance(from: line.startIndex, to: value.startIndex)
        let end = line.utf8.distance(from: line.startIndex, to: rest.startIndex)
        return .assignment(
            key: section.map { "\($0).\(leaf)" } ?? leaf, literal: literal, valueUTF8: start..<end)
    }

    private static func name(_ text: Substring) throws(TOMLLiteral.SyntaxError) -> String {
        let name = text.filter { $0 != " " && $0 != "\t" }
        let allowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard allowed, !name.isEmpty else {
            throw .init(message: "names consist of letters, digits, - and dots, like gateway.port")
        }
        return String(name)
    }

    private static func requireEnd(_ rest: Substring) throws(TOMLLiteral.SyntaxError) {
        let rest = rest.drop { $0 == " " || $0 == "\t" }
        guard rest.isEmpty || rest.first == "#" else {
            throw .init(message: "there is text after the value; only a # comment may follow")
        }
    }
}
