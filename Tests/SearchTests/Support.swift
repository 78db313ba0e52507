import Core
import Foundation
import Search

/// SplitMix64: the same seed is the same run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}

/// A directory that is gone when the test is.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/acp-search-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
    func bytes(of name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
    }
    func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
    }
    func copy(to other: TemporaryDirectory) throws {
        for name in try names() { try other.write(try bytes(of: name), to: name) }
    }
}

func uuid(_ number: Int) -> UUIDv7 { UUIDv7(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | UInt64(number)) }

/// A chunk with everything but its words derived from numbers.
func chunk(
    _ text: String, document: Int, ordinal: Int = 0, revision: Int = 1, collection: Int = 1, title: String = "",
    headings: [String] = [], metadata: [String: String] = [:], page: Int = 0
) -> IndexedChunk {
    IndexedChunk(
        id: UUIDv7(high: UInt64(document) << 16 | 0x7000, low: UInt64(revision) << 32 | UInt64(ordinal)),
        documentID: uuid(document), revisionID: uuid(revision), collectionID: uuid(collection), title: title,
        headingPath: headings, text: text,
        span: ByteSpan(start: ordinal * 1000, end: ordinal * 1000 + text.utf8.count), page: page,
        hash: Array(repeating: UInt8(truncatingIfNeeded: text.utf8.count), count: 32), metadata: metadata)
}

func publish(
    _ document: Int, _ texts: String..., collection: Int = 1, title: String = "", metadata: [String: String] = [:]
)
    -> IndexChange
{
    .publish(
        document: uuid(document),
        chunks: texts.enumerated().map { index, text in
            chunk(
                text, document: document, ordinal: index, collection: collection, title: title, metadata: metadata)
        })
}

/// The repository's `../shared` folder, or nil outside the machine that has it.
func sharedData(_ path: String) -> URL? {
    var url = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    for _ in 0..<4 { url.deleteLastPathComponent() }
    let shared = url.appendingPathComponent("shared/" + path)
    return FileManager.default.fileExists(atPath: shared.path) ? shared : nil
}
