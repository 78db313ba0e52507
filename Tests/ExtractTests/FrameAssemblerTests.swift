import Core
import Testing

@testable import Ingest

/// The parser's output is not trusted: it may break the format anywhere.
@Suite struct FrameAssemblerTests {
    private let ended = ParserReport(exitStatus: 0, signal: 0, cpuMicroseconds: 0, memoryPeakBytes: 0)

    private func field(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }
    private func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
    private func field(_ number: UInt8, _ value: UInt8) -> [UInt8] { [number << 3, value] }
    private func frame(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(bytes.count)] + bytes }

    private var document: [UInt8] { frame(field(1, field(1, "Title") + field(2, "text/plain"))) }
    private var block: [UInt8] { frame(field(3, field(1, 2) + field(3, "Hello"))) }
    private var end: [UInt8] { frame(field(5, field(2, 1) + field(4, 5))) }

    private func read(_ parts: [[UInt8]], limits: ExtractionLimits = ExtractionLimits()) throws -> ExtractedContent {
        var assembler = ParserFrameAssembler(mediaType: .plainText, limits: limits)
        for part in parts { try assembler.receive(part[...]) }
        return try assembler.finish(ended, originalBytes: 1)
    }

    private func reason(_ parts: [[UInt8]], limits: ExtractionLimits = ExtractionLimits()) -> String? {
        do {
            _ = try read(parts, limits: limits)
            return nil
        } catch {
            return (error as? Failure)?.reason
        }
    }

    @Test func `frames may arrive in any pieces`() throws {
        let all = document + block + end
        let whole = try read([all])
        #expect(whole.title == "Title")
        #expect(whole.blocks.map(\.text) == ["Hello"])
        #expect(try read(all.map { [$0] }) == whole)
        #expect(try read([document, block, end]) == whole)
    }

    @Test func `a failure is the document's`() {
        let failure = frame(field(6, field(1, "PDF_ENCRYPTED") + field(2, "It is protected.")))
        #expect(reason([document, failure]) == "PDF_ENCRYPTED")
        #expect(reason([failure]) == "PDF_ENCRYPTED")
    }

    @Test func `everything out of order is refused`() {
        let invalid = "PARSER_OUTPUT_INVALID"
        #expect(reason([]) == invalid)
        #expect(reason([document]) == invalid)
        #expect(reason([block]) == invalid)
        #expect(reason([document, document]) == invalid)
        #expect(reason([document, end]) == invalid)
        #expect(reason([document, block, end, block]) == invalid)
        #expect(reason([document, block, end, [0]]) == invalid)
        #expect(reason([document, block, end.dropLast()]) == invalid)
        #expect(reason([[0x7F, 0xFF, 0xFF, 0xFF]]) == invalid)
        #expect(reason([frame([0xFF, 0xFF, 0xFF])]) == invalid)
        #expect(reason([frame([])]) == invalid)
    }

    @Test func `text that is not UTF-8 and pages that are not there are refused`() {
        let broken = frame(field(3, field(1, 2) + field(3, [0x61, 0xFF])))
        let elsewhere = frame(field(3, field(1, 2) + field(3, "Hello") + field(4, 7)))
        #expect(reason([document, broken, end]) == "PARSER_OUTPUT_INVALID")
        #expect(reason([document, elsewhere, end]) == "PARSER_OUTPUT_INVALID")
    }

    @Test func `another type than asked for is refused`() {
        #expect(reason([frame(field(1, field(2, "text/html"))), block, end]) == "PARSER_OUTPUT_INVALID")
    }

    @Test func `more than the limit of blocks is refused`() {
        var limits = ExtractionLimits()
        limits.blocksMax = 0
        #expect(reason([document, block, end], limits: limits) == "PARSER_OUTPUT_INVALID")
    }

    @Test func `how the parser ended outweighs what it wrote`() {
        let cases: [(ParserReport, String)] = [
            (ParserReport(exitStatus: -1, signal: 11, cpuMicroseconds: 1, memoryPeakBytes: 1), "PARSER_CRASHED"),
            (ParserReport(exitStatus: -1, signal: 31, cpuMicroseconds: 1, memoryPeakBytes: 1), "PARSER_CRASHED"),
            (ParserReport(exitStatus: -1, signal: 24, cpuMicroseconds: 1, memoryPeakBytes: 1), "PARSER_TIMEOUT"),
            (
                ParserReport(exitStatus: -1, signal: 9, cpuMicroseconds: 60_000_000, memoryPeakBytes: 1),
                "PARSER_TIMEOUT"
            ),
            (ParserReport(exitStatus: -1, signal: 6, cpuMicroseconds: 1, memoryPeakBytes: 400 << 20), "PARSER_MEMORY"),
            (ParserReport(exitStatus: 1, signal: 0, cpuMicroseconds: 1, memoryPeakBytes: 1), "PARSER_CRASHED"),
            (ParserReport(exitStatus: 71, signal: 0, cpuMicroseconds: 1, memoryPeakBytes: 1), "SANDBOX_UNAVAILABLE"),
        ]
        for (report, expected) in cases {
            var assembler = ParserFrameAssembler(mediaType: .plainText, limits: ExtractionLimits())
            let failure = #expect(throws: Failure.self) {
                try assembler.receive((document + block + end)[...])
                _ = try assembler.finish(report, originalBytes: 1)
            }
            #expect(failure?.reason == expected)
        }
    }

    @Test func `limits grow with the document and stop`() {
        let limits = ExtractionLimits()
        #expect(limits.cpuSeconds(byteCount: 0) == 8)
        #expect(limits.cpuSeconds(byteCount: 1_000_001) == 12)
        #expect(limits.cpuSeconds(byteCount: .max) == 120)
        #expect(limits.memoryBytes(byteCount: 1 << 20) == 528 << 20)
        #expect(limits.memoryBytes(byteCount: .max) == 1 << 30)
    }
}
