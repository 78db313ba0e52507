import Ingest
import Testing

@Suite struct MarkdownParserTests {
    @Test func `every kind of block is kept`() async throws {
        let content = try await Readers.read(Folders.fixture("kinds.md"), as: .markdown)
        #expect(content.title == "Release plan")
        #expect(content.properties == [ExtractedContent.Property(key: "author", value: "Ada")])
        #expect(
            outline(content) == [
                "h1 Release plan", "p Ships in May, when café tests pass.⏎Not before.",
                "h2 Steps", "li1 1. Build", "li1 2. Test", "li2 unit", "li2 [x] integration", "p Still two.",
                "li1 3. Ship",
                "table1 Risk | Owner⏎Late | Bo⏎Costs | Cy", "code:swift let x = 1⏎    indented", "quote Fast is fine.",
                "p after © 2024 & é", "li1 an item in HTML",
            ])
        #expect(content.drops.map(\.reason) == [.activeContent])
    }

    @Test func `a thematic break at the start is no front matter`() async throws {
        let content = try await Readers.read("---\nnot: closed\n\ntext", as: .markdown)
        #expect(outline(content) == ["p not: closed", "p text"])
    }

    @Test func `nesting beyond the limit keeps the text`() async throws {
        let deep = String(repeating: "> ", count: 700) + "bottom"
        let content = try await Readers.read(deep, as: .markdown)
        #expect(outline(content) == ["quote bottom"])
        #expect(content.drops.map(\.reason) == [.structureLimit])
        #expect(content.drops.map(\.count) == [188])
    }
}
