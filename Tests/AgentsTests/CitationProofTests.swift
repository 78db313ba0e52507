import Core
import Testing

@testable import Agents

/// The pure check of a citation, as the command line uses it offline.
@Suite struct CitationProofTests {
    let text = "Größe: 5 m. Invoices are kept for ten years. Ende."

    private func proof(_ quote: String) -> CitationProof {
        let bytes = Array(text.utf8)
        let start = text.utf8.count - (text.utf8.count - 12)
        return CitationProof(
            quote: quote, start: UInt64(start + 2), end: UInt64(start + 2 + quote.utf8.count), chunkStart: 0,
            chunkEnd: UInt64(bytes.count), chunkHash: sha256(text))
    }

    private func problem(_ proof: CitationProof, at offset: UInt64 = 0, _ text: String? = nil) -> CitationProof.Problem?
    {
        proof.problem(in: Array((text ?? self.text).utf8), at: offset, sha256: CitationVerifier.sha256)
    }

    @Test func aTrueCitationHolds() {
        #expect(problem(proof("Invoices are kept for ten years.")) == nil)
    }

    @Test func everyDeviationIsNamed() {
        let good = proof("Invoices are kept for ten years.")
        func changed(_ change: (inout CitationProof) -> Void) -> CitationProof {
            var proof = good
            change(&proof)
            return proof
        }
        let textBytes = UInt64(text.utf8.count)
        #expect(problem(changed { $0.quote = "Invoices are kept for six years." }) == .quoteDiffers)
        #expect(problem(changed { $0.quote = "Invoices" }) == .quoteLength(bytes: 8, spanBytes: 32))
        #expect(problem(changed { $0.chunkHash[31] ^= 1 }) == .chunkDiffers)
        #expect(problem(changed { $0.chunkHash = [] }) == .hashLength(bytes: 0))
        #expect(problem(changed { $0.end = $0.start }) == .emptySpan(start: 14, end: 14))
        #expect(problem(changed { $0.chunkEnd = 0 }) == .emptyChunk(start: 0, end: 0))
        #expect(problem(changed { $0.chunkStart = 15 }) == .spanOutsideChunk)
        #expect(problem(changed { $0.chunkEnd += 1 }) == .outsideText(end: textBytes + 1, textBytes: textBytes))
        #expect(problem(changed { $0.chunkEnd += 2_000_000 }) == .chunkTooLarge(bytes: textBytes + 2_000_000))
        #expect(
            problem(
                changed {
                    $0.start = 3; $0.end = 4; $0.quote = "x"
                }) == .insideCharacter(offset: 3))
        #expect(
            problem(
                changed {
                    $0.start = .max - 1; $0.end = .max; $0.quote = "x"
                }) == .spanOutsideChunk)
        #expect(problem(good, at: 5) == .outsideText(end: textBytes, textBytes: textBytes + 5))
    }

    @Test func canonicallyEquivalentTextIsNotTheSameQuote() {
        let stored = "Cafe\u{301} noir"
        let proof = CitationProof(
            quote: "Cafe\u{300} noir", start: 0, end: UInt64(stored.utf8.count), chunkStart: 0,
            chunkEnd: UInt64(stored.utf8.count), chunkHash: sha256(stored))
        #expect(problem(proof, stored) == .quoteDiffers)
        let composed = CitationProof(
            quote: "Å", start: 0, end: 2, chunkStart: 0, chunkEnd: 3, chunkHash: sha256("\u{212B}"))
        // The Ångström sign is equal to Å as a String, and other bytes.
        #expect(problem(composed, "\u{212B}") == .insideCharacter(offset: 2))
    }

    @Test func aPartOfTheTextThatCoversTheChunkIsEnough() {
        let bytes = Array(text.utf8)
        let chunk = String(decoding: bytes[14..<46], as: UTF8.self)
        let proof = CitationProof(
            quote: "kept", start: 27, end: 31, chunkStart: 14, chunkEnd: 46, chunkHash: sha256(chunk))
        #expect(problem(proof) == nil)
        #expect(proof.problem(in: Array(bytes[10..<50]), at: 10, sha256: CitationVerifier.sha256) == nil)
    }
}
