import Ingest
import Testing

@Suite struct HTMLParserTests {
    @Test func `every kind of block is kept and the site around it is not`() async throws {
        let content = try await Readers.read(Folders.fixture("page.html"), as: .html)
        #expect(content.title == "Pump specification")
        #expect(content.language == "en")
        #expect(content.properties.map(\.key) == ["description", "created"])
        #expect(
            outline(content) == [
                "h1 Pump P-101", "p The pump moves 40 m³/h of water at 3 bar.", "h2 Parts", "li1 Motor", "li2 11 kW",
                "li1 Seal",
                "li1 3. third", "li1 4. fourth", "p Limits", "table1 Quantity | Limit⏎Pressure | 6 bar⏎Heat | 80 °C",
                "code:python def f():⏎    return 1", "quote Handle with care.", "p cell one", "p cell two", "p A pump",
                "p line one⏎line two",
            ])
        #expect(content.drops.count { $0.reason == .boilerplate } == 4)
        #expect(content.drops.contains { $0.reason == .activeContent && $0.count == 3 })
        #expect(content.drops.contains { $0.reason == .hidden && $0.count == 2 })
    }

    @Test func `a page that is nothing but navigation is read as a whole`() async throws {
        let content = try await Readers.read("<nav><p>All there is on this page</p></nav>", as: .html)
        #expect(outline(content) == ["p All there is on this page"])
    }

    @Test func `the declared encoding counts`() async throws {
        let head = "<!doctype html><meta charset=\"iso-8859-2\"><title>t</title><p>"
        let content = try await Readers.read(Array(head.utf8) + [0xB1, 0xE6, 0xEA], as: .html)
        #expect(outline(content) == ["p ąćę"])
        #expect(content.encoding == "iso-8859-2")
    }

    @Test func `ten thousand nested elements keep their text`() async throws {
        let deep =
            String(repeating: "<div>", count: 10_000) + "bottom" + String(repeating: "</div>", count: 10_000)
            + "<p>after"
        let content = try await Readers.read(deep, as: .html)
        #expect(outline(content) == ["p bottom", "p after"])
        #expect(content.drops.contains { $0.reason == .structureLimit })
    }

    @Test func `ten thousand attributes do not take quadratic time`() async throws {
        let attributes = (0..<10_000).map { "a\($0)=\"v>\"" }.joined(separator: " ")
        let content = try await Readers.read("<p \(attributes)>text</p><p title='>'>more", as: .html)
        #expect(outline(content) == ["p text", "p more"])
    }

    @Test func `text in scripts does not confuse what comes after`() async throws {
        let content = try await Readers.read(
            "<p>a</p><script>if (x < 3) document.write('</p><div>')</script><!-- <div> --><p>b</p>", as: .html)
        #expect(outline(content) == ["p a", "p b"])
    }
}
