public import Core

/// A term of a text: what the index holds and where the text says it.
public struct Token: Sendable, Hashable {
    /// What a token stands for.
    public enum Kind: UInt8, Sendable, Hashable {
        /// A word, or one part of an identifier.
        case word
        /// An identifier as a whole, beside its parts: `abc-123`, `snake_case`, `1.2.3`, `parsehttprequest`.
        case identifier
        /// One character of a longer ideographic run, beside the run's bigrams.
        case unigram
    }

    /// Folded and, for words, stemmed.
    public var term: String
    /// Bytes of the text that the term stands for.
    public var span: ByteSpan
    /// Number of the word in the text. An identifier has the position of its first part.
    public var position: Int
    public var kind: Kind
    /// Carries no topic: not scored unless the query has nothing else.
    public var isStop: Bool

    public init(term: String, span: ByteSpan, position: Int, kind: Kind, isStop: Bool) {
        self.term = term
        self.span = span
        self.position = position
        self.kind = kind
        self.isStop = isStop
    }
}

/// Text to terms. Index, queries, highlights and the answerer all use this one analysis.
///
/// Words are runs of letters and digits of any script, lower-cased, without accents, stemmed (Snowball English) when they are ASCII letters only.
/// Runs joined by `-`, `_`, `.` or by a change to a capital are split; when they look like identifiers (a digit, `_`, `.` or an inner capital) the
/// whole is a term too. Ideographic runs become bigrams, and single characters beside them.
public struct Analyzer: Sendable {
    /// Changes whenever the same text would give other terms; an index of another version is rebuilt.
    public static let version: UInt32 = 1
    /// Longer terms are cut, in UTF-8 bytes.
    public static let termBytesMax = 64

    public init() {}

    /// All tokens, stop words included, in order of their start; an identifier comes before its parts.
    public func tokens(of text: String) -> [Token] {
        var tokens: [Token] = []
        var scanner = TokenScanner()
        var text = text
        text.withUTF8 { bytes in
            _ = scanner.scan(bytes) { raw in
                tokens.append(
                    Token(
                        term: String(decoding: raw.term, as: UTF8.self), span: ByteSpan(start: raw.start, end: raw.end),
                        position: raw.position, kind: raw.kind, isStop: raw.isStop))
            }
        }
        return tokens
    }

    /// The distinct terms that carry topic, in order of first occurrence: no stop words.
    public func terms(of text: String) -> [String] {
        var seen: Set<String> = []
        return tokens(of: text).compactMap { token in
            !token.isStop && token.kind != .unigram && seen.insert(token.term).inserted ? token.term : nil
        }
    }
}
