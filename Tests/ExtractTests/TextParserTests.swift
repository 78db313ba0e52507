import Ingest
import Testing

@Suite struct TextParserTests {
    @Test func `paragraphs are parted by blank lines`() async throws {
        let content = try await Readers.read("One\nstill one\r\n\r\n  \nTwo  \n\n\nThree", as: .plainText)
        #expect(outline(content) == ["p One⏎still one", "p Two", "p Three"])
        #expect(content.encoding == "utf-8")
        #expect(content.pages.isEmpty)
        #expect(content.textBytes == 21)
    }

    @Test func `form feeds part pages, and an empty page is accounted for`() async throws {
        let content = try await Readers.read("First\u{0C}\u{0C}Third\n\u{0C}", as: .plainText)
        #expect(content.pages.map(\.number) == [1, 2, 3])
        #expect(content.blocks.map(\.page) == [1, 3])
        #expect(content.drops.map(\.reason) == [.blankPage])
        #expect(content.drops.map(\.page) == [2])
    }

    @Test func `control characters and terminal sequences are gone`() async throws {
        let content = try await Readers.read(
            "a\u{07}b\u{1B}[31mred\u{1B}[0m c\u{00AD}d e\u{00A0}f \u{0085}g\u{202E}h", as: .plainText)
        #expect(outline(content) == ["p abred cd e f g\u{202E}h"])
        #expect(content.directionControls == 1)
    }

    @Test func `broken characters in UTF-8 are replaced`() async throws {
        let bytes = Array("äöüß – naïve ".utf8) + [0xFF] + Array(" end".utf8)
        let content = try await Readers.read(bytes, as: .plainText)
        #expect(outline(content) == ["p äöüß – naïve \u{FFFD} end"])
        #expect(content.encoding == "utf-8")
    }

    @Test(arguments: [true, false], [true, false])
    func `UTF-16 is read with and without a byte order mark`(bigEndian: Bool, marked: Bool) async throws {
        let text = (marked ? "\u{FEFF}" : "") + "Grüße 😀 from afar\n\nand more"
        let bytes = text.utf16.flatMap { unit in
            let bytes = [UInt8(unit >> 8), UInt8(unit & 0xFF)]
            return bigEndian ? bytes : bytes.reversed()
        }
        let content = try await Readers.read(bytes, as: .plainText)
        #expect(outline(content) == ["p Grüße 😀 from afar", "p and more"])
        #expect(content.encoding == (bigEndian ? "utf-16be" : "utf-16le"))
    }

    @Test func `an old encoding is guessed`() async throws {
        let word: [UInt8] = [0xCF, 0xF0, 0xE8, 0xE2, 0xE5, 0xF2]
        let sentence = Array(repeating: word + [0x2C, 0x20], count: 20).flatMap { $0 }
        let content = try await Readers.read(sentence, as: .plainText)
        #expect(content.encoding == "windows-1251")
        #expect(content.blocks.first?.text.hasPrefix("Привет, Привет") == true)
    }

    @Test func `a paragraph longer than a block is cut between words and says so`() async throws {
        let content = try await Readers.read(String(repeating: "word ", count: 30_000), as: .plainText)
        #expect(content.blocks.map(\.continues) == [false, true, true])
        #expect(
            content.blocks.allSatisfy {
                $0.text.utf8.count <= 65_536 && ($0.text.hasSuffix("word ") || $0.text.hasSuffix("word"))
            })
        #expect(content.blocks.map(\.text).joined() == String(repeating: "word ", count: 30_000).dropLast())
    }

    @Test func `one huge word is cut between characters`() async throws {
        let content = try await Readers.read(String(repeating: "é", count: 100_000), as: .plainText)
        #expect(content.blocks.map(\.text).joined() == String(repeating: "é", count: 100_000))
    }
}
