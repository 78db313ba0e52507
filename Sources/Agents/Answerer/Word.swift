internal import Core
internal import Search

/// A word of a question or sentence: its term, and how it is written, which tells names from common words.
struct Word: Sendable {
    /// Folded and stemmed, as the index holds it.
    var term: String
    /// As written, in lower case.
    var surface: String
    /// Bytes of the text.
    var span: ByteSpan
    var position: Int
    var isStop: Bool
    var isIdentifier: Bool
    var isCapitalised: Bool
    /// Digits only.
    var isNumber: Bool

    /// The words of a text in order. Parts of an identifier follow it with `isStop` false, as the analyser gives them.
    static func words(of text: String) -> [Word] {
        let bytes = Array(text.utf8)
        return Analyzer().tokens(of: text).compactMap { token in
            guard token.kind != .unigram else { return nil }
            let raw = bytes[token.span.range]
            return Word(
                term: token.term, surface: String(decoding: raw, as: UTF8.self).lowercased(), span: token.span,
                position: token.position, isStop: token.isStop, isIdentifier: token.kind == .identifier,
                isCapitalised: raw.first.map { $0 >= 0x41 && $0 <= 0x5A || $0 == 0xC3 } ?? false,
                isNumber: raw.allSatisfy { $0 >= 0x30 && $0 <= 0x39 })
        }
    }
}
