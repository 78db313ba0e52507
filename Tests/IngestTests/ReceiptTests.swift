import Core
import RPC
import Storage
import Testing

@testable import Ingest

@Suite struct ReceiptTests {
    /// A document of random blocks: all kinds, sizes from nothing but white space to many windows, scripts with and without spaces.
    private func randomBlocks(_ generator: inout SeededGenerator) -> [Block] {
        let alphabets = [
            "plain words of text and more. Then? Yes! ", "Straße über größere Änderungen. ", "日本語の文。", "x",
            "a1-B2_c3/d4 ",
            " \n\t", "🙂👩‍👩‍👧 ", "é́ \u{A0}\u{3000}", "long-identifier_without.any:space;",
        ]
        return (0..<Int.random(in: 0...30, using: &generator)).map { _ in
            let kinds: [Block.Kind] = [
                .paragraph, .paragraph, .listItem(depth: 1), .quote, .code(language: "swift"),
                .table(headerRows: Int.random(in: 0...2, using: &generator)),
                .heading(level: Int.random(in: 1...6, using: &generator)),
            ]
            var text = ""
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let piece = alphabets.randomElement(using: &generator) ?? "x"
                text += String(repeating: piece, count: Int.random(in: 1...40, using: &generator))
                if Bool.random(using: &generator) { text += "\n" }
            }
            return Block(
                kind: kinds.randomElement(using: &generator) ?? .paragraph, text: text,
                continues: Int.random(in: 0..<8, using: &generator) == 0)
        }
    }

    @Test(arguments: 1...300) func everyByteIsInAChunkOrInExactlyOneDrop(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let text = try CanonicalText(randomBlocks(&generator))
        let chunks = Chunker.chunks(of: text)
        let receipt = try RevisionReceipt(text, chunks, extracted: [], pageCount: 0)
        var chunkCount = [Int](repeating: 0, count: text.bytes.count)
        var dropCount = chunkCount
        for chunk in chunks {
            for offset in chunk.span.range { chunkCount[offset] += 1 }
            let body = text.text(chunk.span)
            #expect(Array(body.utf8) == Array(text.bytes[chunk.span.range]), "spans end between characters")
            #expect(chunk.hash == ContentHash.of(body))
            #expect(chunk.tokens <= Chunker.tokensMax && chunk.words > 0)
            if let passage = chunk.passage {
                #expect(passage.start <= chunk.span.start)
                #expect(passage.end >= chunk.span.end)
            }
        }
        for drop in receipt.drops {
            #expect(drop.reason == .blank)
            for offset in Int(drop.start)..<Int(drop.end) { dropCount[offset] += 1 }
        }
        for offset in text.bytes.indices {
            let isAccountedFor = (chunkCount[offset] > 0) != (dropCount[offset] == 1) && dropCount[offset] <= 1
            #expect(isAccountedFor, "byte \(offset), seed \(seed)")
        }
        #expect(receipt.chunkedBytes == chunkCount.filter { $0 > 0 }.count)
        #expect(chunks == chunks.sorted { $0.span < $1.span })
        #expect(zip(chunks, chunks.dropFirst()).allSatisfy { $0.span.end < $1.span.end })
        #expect(receipt.textBytes == text.bytes.count)
    }

    @Test func textThatCameIntoNoChunkIsAnError() throws {
        let text = try CanonicalText([Block(kind: .paragraph, text: "seen"), Block(kind: .paragraph, text: "lost")])
        let chunks = Chunker.chunks(of: try CanonicalText([Block(kind: .paragraph, text: "seen")]))
        #expect { try RevisionReceipt(text, chunks, extracted: [], pageCount: 0) } throws: {
            ($0 as? Failure)?.reason == "CHUNKS_INCOMPLETE"
        }
    }

    @Test func whatTheParserLeftOutIsCarriedOverWithItsPage() throws {
        let text = try CanonicalText([Block(kind: .paragraph, text: "page one", page: 1)])
        let receipt = try RevisionReceipt(
            text, Chunker.chunks(of: text),
            extracted: [
                .init(reason: .blankPage, page: 2, bytes: 0..<0, count: 1),
                .init(reason: .imageWithoutText, page: 3, bytes: 0..<0, count: 1),
                .init(reason: .activeContent, page: 0, bytes: 10..<20, count: 2),
            ], pageCount: 4)
        #expect(receipt.drops.map(\.page) == [2, 3, 0, 4])
        #expect(receipt.drops.map(\.reason) == [.blank, .imageWithoutText, .boilerplate, .parserFailure])
        #expect(receipt.drops[2].detail == "script, style or form, 2 times, bytes 10 to 20 of the original")
        #expect(receipt.failure?.reason == "PARSER_FAILURE")
        #expect(
            receipt.failure?.message.hasPrefix("1 page shows images without text and 1 page could not be read") == true)
        #expect(
            receipt.json.hasPrefix(
                #"{"pages":4,"chunks":1,"chunked_bytes":8,"drops":[{"page":2,"reason":"BLANK","detail":"page without text"}"#
            ))
    }

    @Test func boilerplateAndBlankPagesAreNoFailure() throws {
        let text = try CanonicalText([Block(kind: .paragraph, text: "page one", page: 1)])
        let receipt = try RevisionReceipt(
            text, Chunker.chunks(of: text),
            extracted: [
                .init(reason: .blankPage, page: 2, bytes: 0..<0, count: 1),
                .init(reason: .boilerplate, page: 0, bytes: 0..<0, count: 3),
                .init(reason: .structureLimit, page: 0, bytes: 0..<0, count: 1),
            ], pageCount: 2)
        #expect(receipt.failure == nil)
    }

    @Test func jsonEscapesWhatItMust() {
        #expect(JSONWriter.object(["a\"b": "c\\\n\u{1}é"]) == #"{"a\"b":"c\\\u000a\u0001é"}"#)
    }
}
