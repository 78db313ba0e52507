import Core
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

@Suite struct ServiceTests {
    /// Publishes one text as a document without parsers; returns its revision.
    private func publish(_ system: TestSystem, _ origin: String, _ text: String) async throws -> UUIDv7 {
        _ = try await system.upload(origin, text)
        let claimed = try await system.system.jobs.claim(owner: "test", kinds: [DocumentStore.jobKind], limit: 1)
        let inputs = try await system.database.run { try IngestInput.load(claimed, on: $0) }
        var content = ExtractedContent(mediaType: .plainText)
        content.parserName = "given"
        content.blocks = [Block(kind: .paragraph, text: text)]
        let prepared = try PreparedRevision(content, try #require(inputs.first))
        let result = try await RevisionPublisher(database: system.database).publish([prepared])
        await system.system.jobs.announce(result.transitions)
        return prepared.input.revisionID
    }

    @Test func textIsGivenByRangesThatEndBetweenCharacters() async throws {
        try await withSystem { system in
            let id = try await publish(system, "a", "aé日🙂z").description
            func text(_ start: UInt64, _ end: UInt64) async throws -> GetTextResponse {
                try await system.ingest.getText(GetTextRequest(revisionID: id, start: start, end: end))
            }
            let whole = try await text(0, 0)
            #expect(whole.text == "aé日🙂z" && whole.end == 11 && whole.textBytes == 11)
            #expect(whole.textSha256 == ContentHash.of("aé日🙂z"))
            let part = try await text(1, 6)
            #expect(part.text == "é日" && part.start == 1 && part.end == 6)
            for (start, end, field) in [(2, 6, "start"), (1, 5, "end"), (7, 0, "start"), (6, 3, "end")]
                as [(UInt64, UInt64, String)]
            {
                let refused = await failure { _ = try await text(start, end) }
                #expect(refused?.fields.map(\.field) == [field], "\(start)..<\(end)")
            }
            let beyond = await failure { _ = try await text(0, 12) }
            #expect(beyond?.code == .outOfRange)
            let empty = try await text(11, 0)
            #expect(empty.text.isEmpty && empty.end == 11)
            let unknown = await failure {
                _ = try await system.ingest.getText(GetTextRequest(revisionID: UUIDv7().description))
            }
            #expect(unknown?.code == .notFound)
        }
    }

    @Test func aLongTextIsGivenInPiecesThatEndBetweenCharacters() async throws {
        try await withSystem { system in
            let text = "x" + String(repeating: "日本", count: 250_000)
            let id = try await publish(system, "a", text).description
            var position: UInt64 = 0
            var pieces = ""
            while position < UInt64(text.utf8.count) {
                let piece = try await system.ingest.getText(GetTextRequest(revisionID: id, start: position))
                #expect(piece.text.utf8.count <= 1_048_576 && piece.end > position)
                pieces += piece.text
                position = piece.end
            }
            #expect(pieces == text)
        }
    }

    @Test func aRevisionWithoutTextSaysSo() async throws {
        try await withSystem { system in
            _ = try await system.upload("a", "waits")
            let rows = try await system.database.run { try $0.execute("SELECT id FROM revisions") }
            let id = try rows.one().uuid(0).description
            let refused = await failure { _ = try await system.ingest.getText(GetTextRequest(revisionID: id)) }
            #expect(refused?.reason == "NO_TEXT")
        }
    }

    @Test func documentsArePagedByKeyWithoutGapsOrRepeats() async throws {
        try await withSystem { system in
            for number in 0..<25 {
                _ = try await system.upload("\(number)", "text") { $0.collection = number < 20 ? "a" : "b" }
            }
            func origins(_ collection: String, _ size: UInt32) async throws -> [String] {
                var found: [String] = []
                var token = ""
                repeat {
                    let page = try await system.ingest.listDocuments(
                        ListDocumentsRequest(collection: collection, pageSize: size, pageToken: token))
                    #expect(page.documents.count <= Int(size))
                    found += page.documents.map(\.origin)
                    token = page.nextPageToken
                } while !token.isEmpty
                return found
            }
            let all = (0..<25).map(String.init)
            for size in [1, 7, 20, 24, 25, 26] as [UInt32] {
                let found = try await origins("", size)
                #expect(found.sorted() == all.sorted())
            }
            let inB = try await origins("b", 2)
            #expect(inB.sorted() == all.suffix(5).sorted())
            let unknown = await failure { _ = try await origins("c", 1) }
            #expect(unknown?.reason == "UNKNOWN_COLLECTION")
            let refused = await failure {
                _ = try await system.ingest.listDocuments(ListDocumentsRequest(pageSize: 1001, pageToken: "x"))
            }
            #expect(refused?.fields.map(\.field) == ["page_size", "page_token"])
        }
    }

    @Test func jobsAreListedNewestFirstAndByState() async throws {
        try await withSystem { system in
            for number in 0..<5 { _ = try await system.upload("\(number)", "text") }
            _ = try await publish(system, "5", "text")
            var origins: [String] = []
            var token = ""
            repeat {
                let page = try await system.ingest.listJobs(ListJobsRequest(pageSize: 2, pageToken: token))
                origins += page.jobs.map(\.origin)
                token = page.nextPageToken
            } while !token.isEmpty
            #expect(origins.sorted() == ["0", "1", "2", "3", "4", "5"])
            let done = try await system.ingest.listJobs(ListJobsRequest(state: .succeeded))
            #expect(done.jobs.count == 1)
            let waiting = try await system.ingest.listJobs(ListJobsRequest(state: .queued))
            #expect(waiting.jobs.count == 5)
            let positions = try await withThrowingTaskGroup(of: UInt32.self) { group in
                for job in waiting.jobs {
                    group.addTask { try await system.ingest.getJob(GetJobRequest(id: job.id)).queuePosition }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(positions.sorted() == [0, 1, 2, 3, 4])
        }
    }

    @Test func watchingAJobEndsWhenItHasEnded() async throws {
        try await withSystem { system in
            let job = try await system.upload("a", "first").job
            let watch = Task { try await system.end(of: job) }
            _ = try await publish(system, "b", "second")
            let deleted = try await system.ingest.getJob(GetJobRequest(id: job?.id ?? ""))
            _ = try await system.ingest.deleteDocument(DeleteDocumentRequest(id: deleted.documentID))
            let last = try await watch.value
            #expect([.jobCancelled, .succeeded].contains(last.state))
            let again = try await system.end(of: job)
            #expect(again.state == last.state)
            let unknown = await failure { _ = try await system.end(of: RPC.Job(id: UUIDv7().description)) }
            #expect(unknown?.code == .notFound)
            let malformed = await failure { _ = try await system.end(of: RPC.Job(id: "x")) }
            #expect(malformed?.fields.map(\.field) == ["id"])
        }
    }

    @Test func searchRefusesWhatIsOverItsLimits() async throws {
        try await withSystem { system in
            try await system.system.startIndex()
            let refused = await failure {
                _ = try await system.search.search(
                    SearchRequest(
                        query: String(repeating: "q", count: 8193), limit: 101, documentIDs: ["nonsense"],
                        perDocument: 101))
            }
            #expect(Set(refused?.fields.map(\.field) ?? []) == ["query", "limit", "per_document", "document_ids[0]"])
            let empty = await failure { _ = try await system.search.search(SearchRequest(query: "")) }
            #expect(empty?.fields.map(\.field) == ["query"])
            let unknown = await failure {
                _ = try await system.search.search(SearchRequest(query: "q", collections: ["nowhere"]))
            }
            #expect(unknown?.reason == "UNKNOWN_COLLECTION")
        }
    }

    @Test func searchFiltersByCollectionDocumentAndMetadata() async throws {
        try await withSystem { system in
            try await system.system.startIndex()
            _ = try await publish(system, "a", "granite one")
            _ = try await publish(system, "b", "granite two")
            try await system.catchUp()
            let all = try await system.search.search(SearchRequest(query: "granite"))
            #expect(all.hits.count == 2 && all.sequence == 2)
            let id = try #require(all.hits.first?.documentID)
            let one = try await system.search.search(SearchRequest(query: "granite", documentIDs: [id]))
            #expect(one.hits.map(\.documentID) == [id])
            let named = try await system.search.search(SearchRequest(query: "granite", collections: ["default"]))
            #expect(named.hits.count == 2)
            let none = try await system.search.search(SearchRequest(query: "granite", filter: ["no": "such"]))
            #expect(none.hits.isEmpty)
        }
    }

    @Test func searchWithoutAnIndexSaysSo() async throws {
        try await withSystem { system in
            let refused = await failure { _ = try await system.search.search(SearchRequest(query: "q")) }
            #expect(refused?.code == .unavailable && refused?.reason == "INDEX_NOT_READY")
        }
    }

    @Test func keysAreMadeListedAndRevoked() async throws {
        try await withSystem { system in
            let made = try await system.keys.createKey(CreateKeyRequest(name: "ci", role: "viewer"))
            let options = CallOptions(credential: made.secret)
            let caller = try await system.keys.whoAmI(WhoAmIRequest(), options: options)
            #expect(caller.name == "ci" && caller.role == "viewer")
            let denied = await failure { _ = try await system.keys.listKeys(ListKeysRequest(), options: options) }
            #expect(denied?.code == .permissionDenied)
            let listed = try await system.keys.listKeys(ListKeysRequest())
            #expect(listed.keys.contains { $0.id == made.key?.id && !$0.revoked })
            let revoked = try await system.keys.revokeKey(RevokeKeyRequest(id: made.key?.id ?? ""))
            #expect(revoked.revoked && revoked.name == "ci")
            let refused = await failure { _ = try await system.keys.whoAmI(WhoAmIRequest(), options: options) }
            #expect(refused?.code == .unauthenticated)
            let wrong = await failure { _ = try await system.keys.createKey(CreateKeyRequest(name: "", role: "king")) }
            #expect(wrong?.fields.map(\.field) == ["name", "role"])
        }
    }

    @Test func aViewerMayNotUpload() async throws {
        try await withSystem { system in
            let viewer = try await system.keys.createKey(CreateKeyRequest(name: "reader", role: "viewer"))
            let refused = await failure {
                _ = try await system.ingest.pasteDocument(
                    PasteDocumentRequest(text: "x"), options: CallOptions(credential: viewer.secret))
            }
            #expect(refused?.code == .permissionDenied)
            try await system.expectRows([0, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func healthNamesTheDependencyThatFails() async throws {
        let postgres = try await TestPostgres.start()
        let system = try await TestSystem(database: try await postgres.freshDatabase())
        try await system.system.startIndex()
        let before = await system.system.health()
        #expect(before.map(\.name) == ["postgresql", "index"])
        #expect(before.filter { !$0.healthy } == [])
        try await postgres.stop()
        let after = await system.system.health()
        #expect(after.first?.healthy == false && after.first?.detail.contains("PostgreSQL") == true)
        try await system.stop()
    }
}
