internal import Core

/// A term of a query.
struct QueryTerm: Hashable {
    /// As the index holds it.
    var bytes: [UInt8]
    /// As the query says it.
    var surface: String
}

/// Terms at distances from the first one.
struct QueryPhrase: Hashable {
    struct Member: Hashable {
        var bytes: [UInt8]
        var offset: Int
    }
    var members: [Member]
}

/// What a query text asks for.
struct ParsedQuery {
    /// Limits of one query.
    static let termsMax = 256
    static let phrasesMax = 16
    static let phraseTermsMax = 64

    /// Distinct terms that are scored, in the order of the text.
    var terms: [QueryTerm] = []
    var required: [QueryPhrase] = []
    var excluded: [QueryPhrase] = []

    init(_ text: String) throws {
        var parser = QueryParser(text)
        parser.parse()
        guard parser.required.count <= Self.phrasesMax, parser.excluded.count <= Self.phrasesMax else {
            throw Failure.invalid(field: "query", "has more than \(Self.phrasesMax) phrases or exclusions")
        }
        required = try parser.required.compactMap(Self.phrase)
        excluded = try parser.excluded.compactMap(Self.phrase)
        // Single ideographs are searched only where they stand alone; otherwise their bigrams say more.
        let tokens = parser.positive.filter { $0.token.kind != .unigram }
        let topical = tokens.filter { !$0.token.isStop }
        var seen: Set<[UInt8]> = []
        for (token, surface) in topical.isEmpty ? tokens : topical {
            let bytes = Array(token.term.utf8)
            if seen.insert(bytes).inserted { terms.append(QueryTerm(bytes: bytes, surface: surface)) }
        }
    }

    /// A phrase of the text between quotes; nil when it has no words.
    private static func phrase(_ text: String) throws -> QueryPhrase? {
        let tokens = Analyzer().tokens(of: text).filter { $0.kind != .unigram }
        guard tokens.count <= phraseTermsMax else {
            throw Failure.invalid(field: "query", "has a phrase of more than \(phraseTermsMax) words")
        }
        guard let first = tokens.first else { return nil }
        return QueryPhrase(
            members: tokens.map { .init(bytes: Array($0.term.utf8), offset: $0.position - first.position) })
    }
}

/// Takes the operators out of a query text: quotes and leading minus signs.
private struct QueryParser {
    private let bytes: [UInt8]
    private var index = 0
    /// Text outside quotes and exclusions since the last of them.
    private var plain: [UInt8] = []
    private(set) var positive: [(token: Token, surface: String)] = []
    private(set) var required: [String] = []
    private(set) var excluded: [String] = []

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func parse() {
        while index < bytes.count {
            let atWordStart = index == 0 || Self.isSpace(bytes[index - 1])
            let isExclusion = atWordStart && bytes[index] == UInt8(ascii: "-")
            if let phrase = quoted(at: isExclusion ? index + 1 : index) {
                if isExclusion {
                    excluded.append(phrase)
                } else {
                    flushPlain()
                    analyze(phrase)
                    required.append(phrase)
                }
            } else if isExclusion, index + 1 < bytes.count, Self.startsWord(bytes[index + 1]) {
                var end = index + 1
                while end < bytes.count, !Self.isSpace(bytes[end]) { end += 1 }
                excluded.append(String(decoding: bytes[index + 1..<end], as: UTF8.self))
                index = end
            } else {
                plain.append(bytes[index])
                index += 1
            }
        }
        flushPlain()
    }

    /// The text between quotes that open at `start`, with `index` moved behind them; nil when none open or none close.
    private mutating func quoted(at start: Int) -> String? {
        guard let open = Self.quoteLength(at: start, of: bytes) else { return nil }
        var end = start + open
        while end < bytes.count {
            if let close = Self.quoteLength(at: end, of: bytes) {
                index = end + close
                return String(decoding: bytes[start + open..<end], as: UTF8.self)
            }
            end += 1
        }
        return nil
    }

    /// `"`, or the curly quotes that word processors put in its place.
    private static func quoteLength(at index: Int, of bytes: [UInt8]) -> Int? {
        guard index < bytes.count else { return nil }
        if bytes[index] == UInt8(ascii: "\"") { return 1 }
        guard index + 2 < bytes.count, bytes[index] == 0xE2, bytes[index + 1] == 0x80 else { return nil }
        return (0x9C...0x9F).contains(bytes[index + 2]) ? 3 : nil
    }

    /// A letter; `-5` is a number and `--` a dash.
    private static func startsWord(_ byte: UInt8) -> Bool { byte >= 0x80 || (0x61...0x7A).contains(byte | 0x20) }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte >= 0x09 && byte <= 0x0D }

    private mutating func flushPlain() {
        analyze(String(decoding: plain, as: UTF8.self))
        plain = []
    }

    private mutating func analyze(_ text: String) {
        let utf8 = Array(text.utf8)
        for token in Analyzer().tokens(of: text) {
            positive.append((token, String(decoding: utf8[token.span.range], as: UTF8.self)))
        }
    }
}
