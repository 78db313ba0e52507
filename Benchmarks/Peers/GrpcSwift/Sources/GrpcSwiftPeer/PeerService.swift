import Foundation
import GRPCCore

/// The methods of Benchmarks/Protos/bench.proto; what the search reply says is the same as Benchmarks/Peers/Shared/bench.h.
struct PeerService: Acp_Bench_V1_Bench.SimpleServiceProtocol {
    private static let hits = 5
    private static let textBytes = 444

    private let documentIDs = (1...hits).map { "0190f3c2-7a1b-7c3d-8e4f-00000000000\($0)" }
    private let revisionIDs = (1...hits).map { "0190f3c2-7a1c-7c3d-8e4f-00000000000\($0)" }
    private let chunkIDs = (1...hits).map { "0190f3c2-7a1d-7c3d-8e4f-00000000000\($0)" }
    private let text: String
    private let title = "Carrier label service: interface specification"
    private let headings = ["Interfaces", "Label printing and retries"]
    private let origin = "upload:specifications/label-service.pdf"

    init() {
        let sentence = "The carrier answers within two seconds or the label is printed from the cached template. "
        text = String(String(repeating: sentence, count: 6).prefix(Self.textBytes))
    }

    func echo(request: Acp_Bench_V1_SearchRequest, context: ServerContext) async throws -> Acp_Bench_V1_SearchRequest {
        request
    }

    func search(
        request: Acp_Bench_V1_SearchRequest, context: ServerContext
    ) async throws -> Acp_Bench_V1_SearchResponse {
        var response = Acp_Bench_V1_SearchResponse()
        response.hits.reserveCapacity(Self.hits)
        for index in 0..<Self.hits { response.hits.append(hit(index)) }
        response.sequence = 48_213
        response.candidates = 137
        response.coverage = 0.82
        response.indexUs = 412
        return response
    }

    func stream(
        request: Acp_Bench_V1_SearchRequest, response: RPCWriter<Acp_Bench_V1_Chunk>, context: ServerContext
    ) async throws {
        let chunk = Acp_Bench_V1_Chunk.with { $0.data = Data(repeating: 0x78, count: 65_532) }
        for _ in 0..<request.limit { try await response.write(chunk) }
    }

    private func hit(_ index: Int) -> Acp_Bench_V1_Hit {
        var hit = Acp_Bench_V1_Hit()
        hit.documentID = documentIDs[index]
        hit.revisionID = revisionIDs[index]
        hit.chunkID = chunkIDs[index]
        hit.start = UInt64(1000 * index + 17)
        hit.end = hit.start + UInt64(Self.textBytes)
        hit.hash = Data(repeating: UInt8(index + 1), count: 32)
        hit.score = 12.5 - Double(index)
        hit.title = title
        hit.headingPath = headings
        hit.page = UInt32(index + 3)
        hit.text = text
        hit.highlights = [Self.highlight(12, 19), Self.highlight(64, 71), Self.highlight(200, 210)]
        hit.collection = "projects"
        hit.origin = origin
        hit.metadata = ["author": "M. Keller", "status": "approved"]
        return hit
    }

    private static func highlight(_ start: UInt32, _ end: UInt32) -> Acp_Bench_V1_Highlight {
        var highlight = Acp_Bench_V1_Highlight()
        highlight.start = start
        highlight.end = end
        return highlight
    }
}
