/// What a citation claims about a revision's extracted text, and the check of it. Pure: anyone who has the text can
/// run it offline.
///
/// It holds when `quote` is exactly the bytes of `start ..< end`, `chunkHash` is the SHA-256 of the bytes of
/// `chunkStart ..< chunkEnd`, and the quote lies within that chunk.
public struct CitationProof: Sendable, Hashable {
    /// UTF-8 bytes of a chunk at most. Chunks are a few hundred bytes; a "chunk" of a whole book proves nothing.
    public static let chunkBytesMax = 1_048_576

    public var quote: String
    /// Byte range of the quote in the extracted text.
    public var start: UInt64
    public var end: UInt64
    /// Byte range of the chunk around it.
    public var chunkStart: UInt64
    public var chunkEnd: UInt64
    /// 32 bytes.
    public var chunkHash: [UInt8]

    public init(
        quote: String, start: UInt64, end: UInt64, chunkStart: UInt64, chunkEnd: UInt64, chunkHash: [UInt8]
    ) {
        self.quote = quote
        self.start = start
        self.end = end
        self.chunkStart = chunkStart
        self.chunkEnd = chunkEnd
        self.chunkHash = chunkHash
    }

    /// Why a citation does not hold.
    public enum Problem: Error, Sendable, Hashable {
        case emptySpan(start: UInt64, end: UInt64)
        case emptyChunk(start: UInt64, end: UInt64)
        case chunkTooLarge(bytes: UInt64)
        case spanOutsideChunk
        case hashLength(bytes: Int)
        case quoteLength(bytes: Int, spanBytes: UInt64)
        /// The chunk ends behind the text; sizes in bytes.
        case outsideText(end: UInt64, textBytes: UInt64)
        /// The offset lies within a character.
        case insideCharacter(offset: UInt64)
        case quoteDiffers
        case chunkDiffers

        /// One sentence for people.
        public var message: String {
            switch self {
            case .emptySpan(let start, let end): "The span \(start)..<\(end) is empty or runs backwards."
            case .emptyChunk(let start, let end): "The chunk's span \(start)..<\(end) is empty or runs backwards."
            case .chunkTooLarge(let bytes):
                "The chunk's span has \(bytes) bytes; chunks have at most \(CitationProof.chunkBytesMax)."
            case .spanOutsideChunk: "The span of the quote is not within the span of its chunk."
            case .hashLength(let bytes): "The chunk hash has \(bytes) bytes; a SHA-256 has 32."
            case .quoteLength(let bytes, let spanBytes):
                "The quote has \(bytes) bytes of UTF-8, but its span has \(spanBytes)."
            case .outsideText(let end, let textBytes):
                "The chunk ends at byte \(end), but the text has only \(textBytes) bytes."
            case .insideCharacter(let offset): "Byte offset \(offset) is in the middle of a UTF-8 character."
            case .quoteDiffers: "The quote is not what the text says at its span."
            case .chunkDiffers: "The text of the chunk does not have the chunk's hash."
            }
        }
    }

    /// What can be seen to be wrong without the text; nil when nothing.
    public var formProblem: Problem? {
        if end <= start { return .emptySpan(start: start, end: end) }
        if chunkEnd <= chunkStart { return .emptyChunk(start: chunkStart, end: chunkEnd) }
        if chunkEnd - chunkStart > UInt64(Self.chunkBytesMax) { return .chunkTooLarge(bytes: chunkEnd - chunkStart) }
        if start < chunkStart || end > chunkEnd { return .spanOutsideChunk }
        if chunkHash.count != 32 { return .hashLength(bytes: chunkHash.count) }
        if UInt64(quote.utf8.count) != end - start {
            return .quoteLength(bytes: quote.utf8.count, spanBytes: end - start)
        }
        return nil
    }

    /// Checks the citation against the text, or against a part of it that covers the chunk.
    ///
    /// - Parameters:
    ///   - text: UTF-8 of the part.
    ///   - offset: where the part begins in the whole text.
    ///   - sha256: the hash function; passed in so that this module needs no cryptography.
    /// - Returns: nil when the citation holds.
    public func problem(
        in text: [UInt8], at offset: UInt64 = 0, sha256: (ArraySlice<UInt8>) -> [UInt8]
    ) -> Problem? {
        if let problem = formProblem { return problem }
        let textEnd = offset + UInt64(text.count)
        guard chunkStart >= offset, chunkEnd <= textEnd else {
            return .outsideText(end: chunkEnd, textBytes: textEnd)
        }
        func index(_ position: UInt64) -> Int { Int(position - offset) }
        for position in [start, end, chunkStart, chunkEnd] where index(position) < text.count {
            if text[index(position)] & 0xC0 == 0x80 { return .insideCharacter(offset: position) }
        }
        // Bytes, not `==` of strings: that would call canonically equivalent but different texts equal.
        guard text[index(start)..<index(end)].elementsEqual(quote.utf8) else { return .quoteDiffers }
        guard sha256(text[index(chunkStart)..<index(chunkEnd)]) == chunkHash else { return .chunkDiffers }
        return nil
    }
}
