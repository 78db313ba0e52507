import Core
import Ingest
import Testing

/// Documents broken at random. Whatever they do to their parser, the pool answers with text or a reason and goes on.
@Suite struct MutationTests {
    private static let seed = UInt64.random(in: 1...UInt64.max)
    private static let rounds = 60

    private func mutate(_ original: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let place = Int.random(in: 0..<max(bytes.count, 1), using: &generator)
            let end = min(bytes.count, place + Int.random(in: 0...64, using: &generator))
            switch Int.random(in: 0..<5, using: &generator) {
            case 0 where place < bytes.count: bytes[place] ^= UInt8.random(in: 1...255, using: &generator)
            case 1: bytes.removeSubrange(place..<end)
            case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
            case 3:
                bytes.insert(contentsOf: (0..<8).map { _ in UInt8.random(in: 0...255, using: &generator) }, at: place)
            default: bytes.replaceSubrange(place..<end, with: Array("999999999999".utf8))
            }
            if bytes.isEmpty { bytes = [0x20] }
        }
        return bytes
    }

    private func pdf() -> [UInt8] {
        var pdf = PDFWriter()
        pdf.info = "/Title (Broken) /CreationDate (D:20240501)"
        pdf.outline = ["One", "Two"]
        pdf.page([.init(text: "One", size: 20, y: 100), .init(text: "Some text (with \\\\(escapes\\\\))", y: 140)])
        pdf.imagePage()
        return pdf.bytes()
    }

    @Test func `mutated documents never break the pool`() async throws {
        print("seed \(Self.seed)")
        let originals: [(MediaType, [UInt8])] = [
            (.markdown, try Folders.fixture("kinds.md")), (.html, try Folders.fixture("page.html")), (.pdf, pdf()),
            (.plainText, Array("First\u{0C}Second – ümläut\n\n\u{1F600} end".utf8)),
        ]
        var generator = SeededGenerator(seed: Self.seed)
        var outcomes: [String: Int] = [:]
        for round in 0..<Self.rounds {
            for (mediaType, original) in originals {
                let bytes = mutate(original, using: &generator)
                let failure = try await Readers.failure(bytes, as: mediaType)
                outcomes[failure?.reason ?? "read", default: 0] += 1
                let isExpected =
                    failure.map { $0.code != .internalError && $0.code != .unavailable && $0.code != .unknown } ?? true
                #expect(isExpected, "seed \(Self.seed), round \(round), \(mediaType): \(String(describing: failure))")
            }
        }
        print("mutated documents: \(outcomes.sorted { $0.key < $1.key })")
        #expect(try await Readers.read("# fine", as: .markdown).blocks.count == 1)
    }
}
