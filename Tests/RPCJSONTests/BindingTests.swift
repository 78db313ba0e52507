import Core
import NIOCore
import RPC
import Testing

@Suite struct MessageBindingsToMessages {
    private func build<M: WireMessage>(
        _ type: M.Type, body: String? = nil, field: String = "", path: [(String, String)] = [],
        query: [(String, String)] = []
    ) throws -> M {
        try M.decode(
            MessageJSON.build(
                type: M.typeName,
                MessageBindings(
                    body: body.map { ByteBuffer(string: $0) }, bodyField: field, path: path.map { .init($0, $1) },
                    query: query.map { .init($0, $1) })))
    }

    @Test func everyKindOfParameter() throws {
        let request = try build(
            SearchRequest.self,
            query: [
                ("query", "a b"), ("collections", "x"), ("collections", "y"), ("perDocument", "3"),
                ("document_ids", "d"),
                ("filter.a.b", "1"), ("filter[c.d]", "2"), ("limit", "1e1"),
            ])
        #expect(
            request
                == SearchRequest(
                    query: "a b", collections: ["x", "y"], filter: ["a.b": "1", "c.d": "2"], limit: 10,
                    documentIDs: ["d"],
                    perDocument: 3))
        #expect(try build(ListJobsRequest.self, query: [("state", "DEAD")]).state == .dead)
        #expect(try build(ListJobsRequest.self, query: [("state", "6")]).state == .dead)
        #expect(try build(ListDocumentsRequest.self, query: [("includeDeleted", "true")]).includeDeleted)
        let nested = try build(
            UploadDocumentRequest.self,
            query: [("start.origin", "o"), ("start.metadata[k]", "v"), ("start.sizeBytes", "9")])
        #expect(nested.part == .start(UploadStart(origin: "o", sizeBytes: 9, metadata: ["k": "v"])))
        let time = try build(Document.self, query: [("createdAt", "1970-01-01T00:00:01Z")])
        #expect(time.createdAt == Timestamp(seconds: 1, nanos: 0))
    }

    @Test func bodyPathAndParametersMeet() throws {
        let text = try build(GetTextRequest.self, path: [("revision_id", "r")], query: [("start", "5")])
        #expect(text == GetTextRequest(revisionID: "r", start: 5))
        let whole = try build(
            GetTextRequest.self, body: #"{"revisionId":"other","end":"7"}"#, field: "*", path: [("revision_id", "r")])
        #expect(whole == GetTextRequest(revisionID: "r", end: 7))
        let part = try build(
            UploadDocumentResponse.self, body: #"{"id":"d"}"#, field: "document",
            query: [("unchanged", "true"), ("job.id", "j")])
        #expect(part == UploadDocumentResponse(document: Document(id: "d"), job: Job(id: "j"), unchanged: true))
        let filter = try build(SearchRequest.self, body: #"{"a":"b"}"#, field: "filter", query: [("query", "q")])
        #expect(filter == SearchRequest(query: "q", filter: ["a": "b"]))
        #expect(try build(SearchRequest.self, body: "", field: "*") == SearchRequest())
    }

    @Test(arguments: [
        ([("limit", "1"), ("limit", "2")], "DUPLICATE_FIELD", "limit"),
        ([("documentIds", "1"), ("nope", "2")], "UNKNOWN_FIELD", "nope"),
        ([("query.x", "1")], "UNKNOWN_FIELD", "query"),
        ([("filter", "1")], "INVALID_VALUE", "filter"),
        ([("filter[a", "1")], "INVALID_VALUE", "filter"),
        ([("filter[a]b", "1")], "INVALID_VALUE", "filter"),
        ([("filter.a", "1"), ("filter[a]", "1")], "DUPLICATE_FIELD", "filter.a"),
        ([("limit", "")], "INVALID_VALUE", "limit"),
        ([("limit", "abc")], "INVALID_VALUE", "limit"),
        ([("query", "a\0b")], "INVALID_VALUE", "query"),
        ([("", "a")], "UNKNOWN_FIELD", ""),
    ])
    func refusedParameters(_ query: [(String, String)], _ reason: String, _ field: String) {
        let failure = #expect(throws: Failure.self) { try build(SearchRequest.self, query: query) }
        #expect(failure?.reason == reason)
        #expect(failure?.fields.first?.field ?? "" == field)
    }

    @Test func parametersBesideAWholeBodyAreRefused() {
        for (field, name) in [("*", "limit"), ("filter", "filter.a")] {
            let failure = #expect(throws: Failure.self) {
                try build(SearchRequest.self, body: "{}", field: field, query: [(name, "1")])
            }
            #expect(failure?.reason == "UNKNOWN_FIELD")
        }
    }

    @Test func messagesAndTwoMembersOfAChoiceCannotBeParameters() {
        #expect(throws: Failure.self) { try build(UploadDocumentResponse.self, query: [("document", "x")]) }
        let failure = #expect(throws: Failure.self) {
            try build(UploadDocumentRequest.self, query: [("data", "AA"), ("start.origin", "o")])
        }
        #expect(failure?.reason == "DUPLICATE_FIELD")
    }
}
