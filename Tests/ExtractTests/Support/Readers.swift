import Core
import Foundation
import Glibc
import Ingest
import Logging
import Testing

/// One pool for all tests of parsers: the real executable, the real sandbox.
enum Readers {
    static let pool: Result<ExtractorPool, Failure> = {
        let pool = ExtractorPool(executable: ExtractorPool.defaultExecutable(), slots: 2, log: Logger(label: "tests"))
        do throws(Failure) {
            try pool.start()
            return .success(pool)
        } catch {
            return .failure(error)
        }
    }()

    static func read(_ bytes: [UInt8], as mediaType: MediaType, limits: ExtractionLimits? = nil) async throws
        -> ExtractedContent
    {
        try await pool.get().extract(.bytes(bytes), mediaType: mediaType, limits: limits)
    }

    static func read(_ text: String, as mediaType: MediaType) async throws -> ExtractedContent {
        try await read(Array(text.utf8), as: mediaType)
    }

    /// The failure that reading ends with, or nil when it succeeds.
    static func failure(_ bytes: [UInt8], as mediaType: MediaType, limits: ExtractionLimits? = nil) async throws
        -> Failure?
    {
        do {
            _ = try await read(bytes, as: mediaType, limits: limits)
            return nil
        } catch let failure as Failure {
            return failure
        }
    }
}

/// Blocks in a form that is easy to compare: `h1 Title`, `p Text`, `li2 Item`, `table1 a | b`, `code:swift …`, `quote …`.
func outline(_ content: ExtractedContent) -> [String] {
    content.blocks.map { block in
        let text = block.text.replacingOccurrences(of: "\n", with: "⏎")
        return switch block.kind {
        case .heading(let level): "h\(level) \(text)"
        case .paragraph: "p \(text)"
        case .listItem(let depth): "li\(depth) \(text)"
        case .table(let headerRows): "table\(headerRows) \(text)"
        case .code(let language): "code:\(language) \(text)"
        case .quote: "quote \(text)"
        }
    }
}

/// Folders with material for tests.
enum Folders {
    private static let own = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    static let fixtures = own.appending(path: "Fixtures")
    /// Beside the repository; absent on most machines.
    static let data = own.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "shared/data")

    static var hasData: Bool { FileManager.default.fileExists(atPath: data.appending(path: "README.md").path) }

    static func bytes(_ url: URL) throws -> [UInt8] { Array(try Data(contentsOf: url)) }
    static func fixture(_ name: String) throws -> [UInt8] { try bytes(fixtures.appending(path: name)) }
}

/// xorshift64*: the same numbers on every machine from the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed == 0 ? 1 : seed }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}
