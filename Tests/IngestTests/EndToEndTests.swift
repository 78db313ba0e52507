import Core
import Glibc
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

private let isExtractorBuilt = TestSystem.extractorPath != nil
private let whyNot: Comment = "acp-extract is not built, or ACP_BIN_DIR does not name its directory"

/// The folder with shared test data beside the repository, read only.
private func sharedFile(_ path: String) -> [UInt8]? {
    let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    let descriptor = open("/\(root)/shared/data/\(path)", O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count <= 0 { return bytes }
        bytes += buffer.prefix(count)
    }
}

@Suite(.enabled(if: isExtractorBuilt, whyNot)) struct EndToEndTests {
    private func withWorkingSystem(_ body: (TestSystem) async throws -> Void) async throws {
        try await withSystem { system in
            try await system.system.startIndex()
            try await system.system.startWorker()
            try await body(system)
        }
    }

    @Test func everyTypeBecomesSearchableWithVerifiableCitations() async throws {
        try await withWorkingSystem { system in
            let documents: [(origin: String, bytes: [UInt8], type: String, query: String)] = [
                (
                    "plain.txt", Array("The harbour master keeps the keys.\n\nNothing else.".utf8), "text/plain",
                    "harbour keys"
                ),
                (
                    "guide.md",
                    Array(
                        "# Handbook\n\nIntro.\n\n## Anchors\n\nAn anchor needs a strong chain.\n\n- one\n- two\n".utf8),
                    "text/markdown", "anchor chain"
                ),
                (
                    "page.html",
                    Array(
                        "<html><head><title>Tides</title></head><body><h1>Tides</h1><p>The tide turns at noon.</p></body></html>"
                            .utf8),
                    "text/html", "tide noon"
                ),
                ("chart.pdf", tinyPDF("The lighthouse blinks twice"), "application/pdf", "lighthouse blinks"),
            ]
            for document in documents {
                let uploaded = try await system.upload(document.origin, document.bytes)
                let job = try await system.end(of: uploaded.job)
                #expect(job.state == .succeeded, "\(document.origin): \(job.reason) \(job.message)")
                #expect(job.stage == "published")
                try await system.catchUp()
                let found = try await system.search.search(SearchRequest(query: document.query))
                let hit = try #require(found.hits.first, "\(document.origin)")
                #expect(hit.origin == document.origin && hit.collection == "default")
                #expect(ContentHash.of(hit.text) == hit.hash)
                let text = try await system.ingest.getText(
                    GetTextRequest(revisionID: hit.revisionID, start: hit.start, end: hit.end))
                #expect(text.text == hit.text && text.documentID == hit.documentID)
                let stored = try await system.ingest.getDocument(GetDocumentRequest(id: hit.documentID))
                #expect(stored.mediaType == document.type && stored.revisionID == hit.revisionID)
                let receipt = try #require(stored.receipt)
                #expect(receipt.chunkedBytes + receipt.drops.reduce(0) { $0 + $1.end - $1.start } == receipt.textBytes)
                #expect(receipt.originalSha256 == ContentHash.of(document.bytes) && receipt.chunks > 0)
            }
            let guide = try await system.search.search(SearchRequest(query: "strong chain"))
            #expect(guide.hits.first?.headingPath == ["Handbook", "Anchors"])
            #expect(guide.hits.first?.title == "Handbook")
            let chart = try await system.search.search(SearchRequest(query: "lighthouse"))
            #expect(chart.hits.first?.page == 1)
            let status = try await system.ingest.getStatus(GetStatusRequest())
            #expect(status.documents == 4 && status.logSequence == status.indexSequence)
            let unhealthy = status.dependencies.filter { !$0.healthy }
            #expect(unhealthy == [])
            #expect(status.dependencies.map(\.name) == ["postgresql", "extractor", "index"])
        }
    }

    @Test func aLargeOriginalIsReadFromItsParts() async throws {
        try await withWorkingSystem { system in
            var text = ""
            for number in 0..<20_000 { text += "Line \(number) of a long report says something plain about it.\n\n" }
            text += "The needle is at the end."
            let uploaded = try await system.upload("long.txt", text)
            let job = try await system.end(of: uploaded.job)
            #expect(job.state == .succeeded, "\(job.reason) \(job.message)")
            try await system.catchUp()
            let found = try await system.search.search(SearchRequest(query: "needle"))
            #expect(found.hits.first?.text.contains("The needle is at the end.") == true)
        }
    }

    @Test func aDocumentThatCannotBeReadFailsWithAReasonAndARemedy() async throws {
        try await withWorkingSystem { system in
            var damaged = tinyPDF("never seen")
            damaged.removeSubrange(20..<(damaged.count - 10))
            let job = try await system.end(of: try await system.upload("damaged.pdf", damaged).job)
            #expect(job.state == .failed)
            #expect(!job.reason.isEmpty && job.message.contains("upload that"), "\(job)")
            let document = try await system.ingest.getDocument(GetDocumentRequest(id: job.documentID))
            #expect(document.revisionID.isEmpty && document.receipt == nil)
            // The same bytes again are tried again: nothing of them was published.
            let again = try await system.upload("damaged.pdf", damaged)
            #expect(!again.unchanged)
        }
    }

    @Test func aNewRevisionReplacesTheOldOneInSearch() async throws {
        try await withWorkingSystem { system in
            _ = try await system.end(of: try await system.upload("a.txt", "The first version speaks of herons.").job)
            let second = try await system.upload("a.txt", "The second version speaks of storks.") {
                $0.metadata = ["v": "2"]
            }
            _ = try await system.end(of: second.job)
            try await system.catchUp()
            let old = try await system.search.search(SearchRequest(query: "herons"))
            #expect(old.hits.isEmpty)
            let found = try await system.search.search(SearchRequest(query: "storks", filter: ["v": "2"]))
            #expect(found.hits.count == 1)
        }
    }

    @Test func requestAndTraceOfTheUploadFollowTheJob() async throws {
        try await withWorkingSystem { system in
            let trace = TraceContext.root()
            let context = CallContext(trace: trace, requestID: "request-1")
            let uploaded = try await CallContext.$current.withValue(context) {
                try await system.upload("a.txt", "words")
            }
            let job = try await system.end(of: uploaded.job)
            #expect(job.traceID == trace.traceID)
            let id = try #require(UUIDv7(job.id))
            let stored = try await system.system.jobs.get(id)
            #expect(stored.requestID == "request-1")
        }
    }

    @Test(
        .enabled(if: sharedFile("documents/md/nested.md") != nil, "the shared test data is not beside the repository"),
        arguments: [
            "documents/pdf/movie-theater-booking-2024.pdf", "documents/html/example_05.html", "documents/md/nested.md",
        ])
    func realDocumentsArePublished(path: String) async throws {
        let bytes = try #require(sharedFile(path))
        try await withWorkingSystem { system in
            let job = try await system.end(of: try await system.upload(path, bytes).job)
            #expect(job.state == .succeeded || job.state == .partial, "\(path): \(job.reason) \(job.message)")
            let document = try await system.ingest.getDocument(GetDocumentRequest(id: job.documentID))
            #expect((document.receipt?.chunks ?? 0) > 0)
        }
    }
}
