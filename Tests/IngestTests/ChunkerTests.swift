import Core
import RPC
import Storage
import Testing

@testable import Ingest

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every run of a seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}

typealias Block = ExtractedContent.Block

func words(_ count: Int, _ word: String = "cat") -> String {
    Array(repeating: word, count: count).joined(separator: " ")
}

/// `count` sentences of ten words.
func sentences(_ count: Int) -> String {
    (0..<count).map { "Sentence \($0) says that plain things are like the others." }.joined(separator: " ")
}

func chunked(_ blocks: [Block]) throws -> (text: CanonicalText, chunks: [TextChunk]) {
    let text = try CanonicalText(blocks)
    return (text, Chunker.chunks(of: text))
}

@Suite struct ChunkerTests {
    @Test func smallBlocksUnderOneHeadingAreOneChunk() throws {
        let (text, chunks) = try chunked([
            Block(kind: .heading(level: 1), text: "Scope"), Block(kind: .paragraph, text: "First things."),
            Block(kind: .listItem(depth: 1), text: "an item"), Block(kind: .paragraph, text: "Last things."),
        ])
        #expect(chunks.count == 1)
        #expect(text.text(chunks[0].span) == "Scope\n\nFirst things.\n\nan item\n\nLast things.")
        #expect(chunks[0].headingPath == ["Scope"])
        #expect(chunks[0].passage == nil)
        #expect(chunks[0].hash == ContentHash.of(text.text(chunks[0].span)))
    }

    @Test func chunksNeverCrossHeadings() throws {
        let (text, chunks) = try chunked([
            Block(kind: .heading(level: 1), text: "One"), Block(kind: .paragraph, text: "a b c"),
            Block(kind: .heading(level: 2), text: "Two"), Block(kind: .paragraph, text: "d e f"),
            Block(kind: .heading(level: 1), text: "Three"), Block(kind: .paragraph, text: "g h i"),
        ])
        #expect(chunks.map { text.text($0.span) } == ["One\n\na b c", "Two\n\nd e f", "Three\n\ng h i"])
        #expect(chunks.map(\.headingPath) == [["One"], ["One", "Two"], ["Three"]])
    }

    @Test func aHeadingGoesWithTheDeeperOneBelowItAndStandsAloneAboveNothing() throws {
        let (text, chunks) = try chunked([
            Block(kind: .heading(level: 1), text: "Part"), Block(kind: .heading(level: 2), text: "Chapter"),
            Block(kind: .paragraph, text: "body"), Block(kind: .heading(level: 2), text: "Empty"),
            Block(kind: .heading(level: 2), text: "Full"), Block(kind: .paragraph, text: "more"),
        ])
        #expect(chunks.map { text.text($0.span) } == ["Part\n\nChapter\n\nbody", "Empty", "Full\n\nmore"])
        #expect(chunks.map(\.headingPath) == [["Part", "Chapter"], ["Part", "Empty"], ["Part", "Full"]])
    }

    @Test func aLargeBlockIsSplitAtSentencesWithAtMostTwentyWordsOfOverlap() throws {
        let (text, chunks) = try chunked([Block(kind: .paragraph, text: sentences(60))])
        #expect(chunks.count > 4)
        for chunk in chunks {
            #expect((80...120).contains(chunk.words))
            #expect(text.text(chunk.span).hasSuffix("."))
            #expect(text.text(chunk.span).hasPrefix("Sentence"))
        }
        for (first, second) in zip(chunks, chunks.dropFirst()) {
            let shared = TextScanner.measure(text.bytes, second.span.start..<first.span.end)
            #expect((1...20).contains(shared.words))
        }
        let passages = Set(chunks.map(\.passage))
        #expect(passages.count >= 2 && passages.count <= chunks.count / 2)
        #expect(!passages.contains(nil))
    }

    @Test func blocksThatFitAreNotSplitAndDoNotOverlap() throws {
        let (text, chunks) = try chunked((0..<6).map { Block(kind: .paragraph, text: words(50, "a\($0)")) })
        #expect(chunks.count == 3)
        for (first, second) in zip(chunks, chunks.dropFirst()) { #expect(first.span.end + 2 == second.span.start) }
        #expect(chunks.allSatisfy { text.text($0.span).split(separator: "\n\n").count == 2 })
    }

    @Test func aLargeTableIsSplitBetweenRowsAndItsHeaderIsOnlyMetadata() throws {
        let rows = (1...60).map { "row\($0) | \(words(8))" }
        let table = (["Name | Value"] + rows).joined(separator: "\n")
        let (text, chunks) = try chunked([
            Block(kind: .heading(level: 1), text: "Limits"), Block(kind: .table(headerRows: 1), text: table),
        ])
        #expect(chunks.count > 3)
        #expect(chunks[0].headingPath == ["Limits"])
        for chunk in chunks.dropFirst() {
            #expect(chunk.headingPath == ["Limits", "Name | Value"])
            #expect(text.text(chunk.span).hasPrefix("row"))
            #expect(!text.text(chunk.span).contains("Name"))
        }
        let lines = chunks.flatMap { text.text($0.span).split(separator: "\n").map(String.init) }
        #expect(lines == ["Limits", "Name | Value"] + rows)
    }

    @Test func aTableThatFitsStaysWhole() throws {
        let table = "A | B\n1 | 2\n3 | 4"
        let (text, chunks) = try chunked([
            Block(kind: .paragraph, text: words(90)), Block(kind: .table(headerRows: 1), text: table),
            Block(kind: .paragraph, text: words(90)),
        ])
        #expect(chunks.contains { text.text($0.span).contains(table) })
    }

    @Test func continuedBlocksAreOneText() throws {
        let text = try CanonicalText([
            Block(kind: .paragraph, text: "begin-"), Block(kind: .paragraph, text: "end", continues: true),
            Block(kind: .paragraph, text: "next"),
        ])
        #expect(String(decoding: text.bytes, as: UTF8.self) == "begin-end\n\nnext")
        #expect(text.blocks.map(\.span) == [ByteSpan(start: 0, end: 9), ByteSpan(start: 11, end: 15)])
    }

    @Test func textWithoutSpacesIsCutBetweenCharactersWithinTheTokenLimit() throws {
        let text = String(repeating: "日本語の文章は空白を持たない。", count: 400)
        let (canonical, chunks) = try chunked([Block(kind: .paragraph, text: text)])
        #expect(chunks.count > 10)
        #expect(chunks.allSatisfy { $0.tokens <= Chunker.tokensMax })
        #expect(chunks.allSatisfy { !canonical.text($0.span).contains("\u{FFFD}") })
    }

    @Test func headingPathsAreOneShortLine() throws {
        let (_, chunks) = try chunked([
            Block(kind: .heading(level: 1), text: "A\n  long " + words(100)), Block(kind: .paragraph, text: "x"),
        ])
        #expect(chunks.allSatisfy { $0.headingPath[0].utf8.count <= Chunker.headingBytesMax })
        #expect(chunks[0].headingPath[0].hasPrefix("A long cat cat"))
    }

    @Test func tooMuchTextIsRefused() {
        let block = Block(kind: .paragraph, text: String(repeating: "x", count: 65_536))
        #expect { try CanonicalText(Array(repeating: block, count: 1025)) } throws: {
            ($0 as? Failure)?.reason == "TEXT_TOO_LARGE"
        }
    }

    @Test func tokensAreEstimatedOnTheSafeSide() {
        func tokens(_ text: String) -> Int { TextScanner.measure(Array(text.utf8), 0..<text.utf8.count).tokens }
        #expect(tokens("the cat") == 2)
        #expect(tokens("requirement") == 4)
        #expect(tokens("2026-11-22") == 6)
        #expect(tokens("日本語") == 3)
        #expect(tokens("a,b;c") == 5)
        #expect(tokens(" \u{A0}\n\u{3000}") == 0)
    }
}
