import Core
import Foundation
import Ingest
import Testing

@Suite struct PDFParserTests {
    private func specification() -> PDFWriter {
        var pdf = PDFWriter()
        pdf.info = "/Title (Pump specification) /Author (Ada) /CreationDate (D:20240501120000Z)"
        pdf.outline = ["Scope"]
        pdf.page([
            .init(text: "Pump specification", size: 24, y: 80),
            .init(text: "1 Scope", size: 11, y: 120),
            .init(text: "This specification covers the pump P-101 and its mo-", y: 150),
            .init(text: "tor, with all that belongs to them and to their life.", y: 164),
            .init(text: "A second paragraph starts after a gap and is long enough.", y: 200),
            .init(text: "Bold heading", isBold: true, y: 240),
            .init(text: "Text below the bold heading goes on and on and on here.", y: 256),
        ])
        pdf.imagePage()
        pdf.page([])
        pdf.page([.init(text: "The last page.", y: 100)])
        return pdf
    }

    @Test func `pages, headings and paragraphs are found`() async throws {
        let content = try await Readers.read(specification().bytes(), as: .pdf)
        #expect(content.title == "Pump specification")
        #expect(content.properties.map(\.key) == ["author", "created"])
        #expect(content.properties.last?.value == "2024-05-01T12:00:00.000000Z")
        #expect(
            outline(content) == [
                "h1 Pump specification", "h1 1 Scope",
                "p This specification covers the pump P-101 and its motor, with all that belongs to them and to their life.",
                "p A second paragraph starts after a gap and is long enough.", "h4 Bold heading",
                "p Text below the bold heading goes on and on and on here.", "p The last page.",
            ])
        #expect(content.pages.map(\.number) == [1, 2, 3, 4])
        #expect(content.pages.first?.width == 595)
        #expect(content.blocks.map(\.page) == [1, 1, 1, 1, 1, 1, 4])
        #expect(content.drops.map(\.reason) == [.imageWithoutText, .blankPage])
        #expect(content.drops.map(\.page) == [2, 3])
        #expect(content.parserName == "poppler")
    }

    @Test func `a password is asked for by name`() async throws {
        var pdf = specification()
        pdf.isEncrypted = true
        let failure = try await Readers.failure(pdf.bytes(), as: .pdf)
        #expect(failure?.code == .failedPrecondition)
        #expect(failure?.reason == "PDF_ENCRYPTED")
        #expect(failure?.remedy.isEmpty == false)
    }

    @Test func `a PDF cut off early is damaged`() async throws {
        let failure = try await Readers.failure(Array(specification().bytes().prefix(200)), as: .pdf)
        #expect(failure?.code == .invalidArgument)
        #expect(failure?.reason == "PDF_DAMAGED")
    }

    @Test func `a PDF without its cross-reference table is still read`() async throws {
        let text = String(decoding: specification().bytes(), as: UTF8.self)
        let cut = text[..<(try #require(text.range(of: "startxref")?.lowerBound))]
        let content = try await Readers.read(Array(cut.utf8), as: .pdf)
        #expect(content.blocks.contains { $0.text == "The last page." })
    }

    @Test func `more pages than allowed are too large`() async throws {
        var limits = ExtractionLimits()
        limits.pagesMax = 3
        let failure = try await Readers.failure(specification().bytes(), as: .pdf, limits: limits)
        #expect(failure?.code == .resourceExhausted)
        #expect(failure?.reason == "TOO_LARGE")
    }
}
