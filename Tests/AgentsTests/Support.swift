import Agents
import Core
import Crypto
import Foundation
import RPC
import Search
import Testing

func sha256(_ text: String) -> [UInt8] { Array(SHA256.hash(data: Data(text.utf8))) }

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
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/acp-agents-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The repository's `../shared` folder, or nil outside the machine that has it.
func sharedData(_ path: String) -> URL? {
    var url = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
    for _ in 0..<4 { url.deleteLastPathComponent() }
    let shared = url.appendingPathComponent("shared/" + path)
    return FileManager.default.fileExists(atPath: shared.path) ? shared : nil
}

/// Documents cut into chunks and indexed for real: what the ingest service would search.
final class IndexedCorpus: Sendable {
    struct Document: Sendable {
        var id: UUIDv7
        var revision: UUIDv7
        var origin: String
        var title: String
        /// The whole extracted text.
        var text: String
        var chunks: [IndexedChunk]
    }

    static let collection = UUIDv7(high: 0x7000, low: 0x8000_0000_0000_0001)

    let documents: [Document]
    let index: LexicalIndex
    private let byID: [UUIDv7: Int]
    private let directory: TemporaryDirectory

    init(_ documents: [Document]) throws {
        self.documents = documents
        directory = try TemporaryDirectory()
        index = try LexicalIndex(directory: directory.path)
        byID = Dictionary(uniqueKeysWithValues: documents.enumerated().map { ($1.id, $0) })
        if !documents.isEmpty {
            try index.apply(documents.map { .publish(document: $0.id, chunks: $0.chunks) }, through: 1)
        }
    }

    /// A document of sections, each a chunk that begins with its heading, as the chunker makes them.
    static func document(_ number: Int, _ source: ProjectCorpus.Document) -> Document {
        let id = UUIDv7(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | UInt64(number))
        let revision = UUIDv7(high: 0x0190_0000_0001_7000, low: 0x8000_0000_0000_0000 | UInt64(number))
        var text = ""
        var chunks: [IndexedChunk] = []
        for (ordinal, section) in source.sections.enumerated() {
            if !text.isEmpty { text += "\n\n" }
            let start = text.utf8.count
            let body = "\(section.headings.last ?? "")\n\n\(section.text)"
            text += body
            chunks.append(
                IndexedChunk(
                    id: UUIDv7(high: UInt64(number) << 16 | 0x7000, low: 0x8000_0000_0000_0000 | UInt64(ordinal)),
                    documentID: id, revisionID: revision, collectionID: collection, title: source.title,
                    headingPath: section.headings, text: body,
                    span: ByteSpan(start: start, end: text.utf8.count), hash: sha256(body)))
        }
        return Document(
            id: id, revision: revision, origin: source.origin, title: source.title, text: text, chunks: chunks)
    }

    static func project() throws -> IndexedCorpus {
        try IndexedCorpus(ProjectCorpus.documents.enumerated().map { document($0.offset + 1, $0.element) })
    }

    func document(_ id: UUIDv7) -> Document? { byID[id].map { documents[$0] } }

    func search(_ request: SearchRequest) throws -> SearchResponse {
        let result = try index.search(
            LexicalQuery(
                text: request.query, limit: request.limit == 0 ? 10 : Int(request.limit),
                perDocumentMax: request.perDocument == 0 ? 3 : Int(request.perDocument)))
        return SearchResponse(
            hits: result.hits.map(hit), sequence: UInt64(result.sequence), candidates: UInt64(result.candidates),
            unmatchedTerms: result.unmatchedTerms, coverage: result.coverage)
    }

    private func hit(_ found: LexicalHit) -> Hit {
        Hit(
            documentID: found.documentID.description, revisionID: found.revisionID.description,
            chunkID: found.chunkID.description, start: UInt64(found.span.start), end: UInt64(found.span.end),
            hash: found.hash, score: found.score, title: found.title, headingPath: found.headingPath,
            page: UInt32(found.page), text: found.text,
            highlights: found.highlights.map { Highlight(start: UInt32($0.start), end: UInt32($0.end)) },
            collection: "default", origin: document(found.documentID)?.origin ?? "", metadata: found.metadata)
    }
}
