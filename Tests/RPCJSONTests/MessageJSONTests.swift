import Core
import NIOCore
import RPC
import Testing

@Suite struct MessageJSONOut {
    @Test func aHitIsWrittenByTheMapping() throws {
        var hit = Hit()
        hit.documentID = "d1"
        hit.start = 5
        hit.end = .max
        hit.hash = [0xFF, 0xFE, 0x00, 0x01]
        hit.score = 0.1
        hit.headingPath = ["A", "B \"quoted\" \\ \u{7}\n", "Ω😀"]
        hit.page = 4_294_967_295
        hit.highlights = [Highlight(start: 1, end: 2), Highlight()]
        hit.metadata = ["k.1": "v", "a": ""]
        #expect(
            try MessageJSON.encode(hit) == """
                {"documentId":"d1","start":"5","end":"18446744073709551615","hash":"//4AAQ==","score":0.1,\
                "headingPath":["A","B \\"quoted\\" \\\\ \\u0007\\n","Ω😀"],"page":4294967295,\
                "highlights":[{"start":1,"end":2},{}],"metadata":{"a":"","k.1":"v"}}
                """)
    }

    @Test func indentingAndDefaults() throws {
        var document = Document()
        document.id = "x"
        document.createdAt = Timestamp(seconds: 0, nanos: 0)
        document.metadata = ["k": "v"]
        #expect(
            try MessageJSON.encode(document, options: .init(indent: 2)) == """
                {
                  "id": "x",
                  "metadata": {
                    "k": "v"
                  },
                  "createdAt": "1970-01-01T00:00:00Z"
                }
                """)
        #expect(
            try MessageJSON.encode(ListJobsRequest(), options: .init(printsDefaults: true))
                == #"{"state":"JOB_STATE_UNSPECIFIED","pageSize":0,"pageToken":""}"#)
        #expect(try MessageJSON.encode(ListKeysRequest()) == "{}")
    }

    @Test func doublesAreShortAndNeverNumbersThatJSONLacks() throws {
        func text(_ value: Double) throws -> String {
            var response = SearchResponse()
            response.coverage = value
            return try MessageJSON.encode(response)
        }
        #expect(try text(1) == #"{"coverage":1}"#)
        #expect(try text(-2.5e-7) == #"{"coverage":-2.5e-07}"#)
        #expect(try text(1e300) == #"{"coverage":1e+300}"#)
        #expect(try text(.nan) == #"{"coverage":"NaN"}"#)
        #expect(try text(-.infinity) == #"{"coverage":"-Infinity"}"#)
        #expect(try text(0) == "{}")
    }

    @Test func timesHaveTheDigitsTheyNeed() throws {
        func text(_ seconds: Int64, _ nanos: Int32) throws -> String {
            try MessageJSON.encode(Timestamp(seconds: seconds, nanos: nanos))
        }
        #expect(try text(0, 1) == #""1970-01-01T00:00:00.000000001Z""#)
        #expect(try text(0, 120_000_000) == #""1970-01-01T00:00:00.120Z""#)
        #expect(try text(-1, 999_999_000) == #""1969-12-31T23:59:59.999999Z""#)
        #expect(try text(-62_135_596_800, 0) == #""0001-01-01T00:00:00Z""#)
        #expect(try text(253_402_300_799, 0) == #""9999-12-31T23:59:59Z""#)
        #expect(throws: Failure.self) { try text(253_402_300_800, 0) }
        #expect(throws: Failure.self) { try text(0, 1_000_000_000) }
    }

    @Test func unknownEnumNumbersStayNumbersAndOneofMembersShowTheirDefaults() throws {
        var job = Job()
        job.state = JobState(rawValue: 99)
        #expect(try MessageJSON.encode(job) == #"{"state":99}"#)
        #expect(try MessageJSON.encode(UploadDocumentRequest(part: .data([]))) == #"{"data":""}"#)
        #expect(try MessageJSON.encode(UploadDocumentRequest(part: .start(UploadStart()))) == #"{"start":{}}"#)
    }

    @Test func oneFieldAlone() throws {
        let event = AskEvent(event: .answer(Answer(id: "7"))).encoded()
        let json = try MessageJSON.encode(event, type: "acp.v1.AskEvent", field: "answer")
        #expect(json.map { String(decoding: $0, as: UTF8.self) } == #"{"id":"7"}"#)
        #expect(try MessageJSON.encode(event, type: "acp.v1.AskEvent", field: "passages") == nil)
        #expect(try MessageJSON.chosenMember(event, type: "acp.v1.AskEvent") == "answer")
        #expect(try MessageJSON.chosenMember(ByteBuffer(), type: "acp.v1.Job") == nil)
    }

    @Test func mapKeysThatOccurTwiceOnTheWireAreWrittenOnce() throws {
        var bytes = ByteBuffer()
        for value in ["1", "2"] {
            bytes.writeBytes([0x1A, 6, 0x0A, 1] + Array("k".utf8) + [0x12, 1] + Array(value.utf8))
        }
        let json = try MessageJSON.encode(bytes, type: "acp.v1.SearchRequest")
        #expect(String(decoding: json, as: UTF8.self) == #"{"filter":{"k":"2"}}"#)
    }

    @Test func envelopesEqualTheStructs() throws {
        let start = UploadStart(origin: "a.md", metadata: ["k": "v"])
        let envelope = try FieldEnvelope(type: "acp.v1.UploadDocumentRequest", field: "start")
        #expect(envelope.fieldType == "acp.v1.UploadStart")
        #expect(envelope.wrap(start.encoded()) == UploadDocumentRequest(part: .start(start)).encoded())
        let data = try FieldEnvelope(type: "acp.v1.UploadDocumentRequest", field: "data")
        #expect(
            data.wrap(ByteBuffer(repeating: 7, count: 300))
                == UploadDocumentRequest(part: .data(Array(repeating: 7, count: 300))).encoded())
        #expect(throws: Failure.self) { try FieldEnvelope(type: "acp.v1.Job", field: "total") }
    }
}

@Suite struct MessageJSONIn {
    private func decode<M: WireMessage>(_ json: String, as type: M.Type = M.self) throws -> M {
        try MessageJSON.decode(json.utf8, as: type)
    }

    @Test func bothNameStylesAndBothIntegerForms() throws {
        #expect(try decode("\t{ \"document_id\" : \"a\"\r\n} ", as: Hit.self).documentID == "a")
        #expect(try decode(#"{"documentId":"a"}"#, as: Hit.self).documentID == "a")
        #expect(try decode(#"{"start":"18446744073709551615","end":7}"#, as: Hit.self).start == .max)
        #expect(
            try decode(#"{"page":"12","start":1.5e1,"end":100e-1}"#, as: Hit.self) == Hit(start: 15, end: 10, page: 12))
        #expect(try decode(#"{"page":-0}"#, as: Hit.self) == Hit())
    }

    @Test func nullIsTheDefaultEvenInAOneof() throws {
        #expect(
            try decode(#"{"id":null,"metadata":null,"receipt":null,"createdAt":null}"#, as: Document.self) == Document()
        )
        #expect(try decode(#"{"start":null,"data":"AQ"}"#, as: UploadDocumentRequest.self).part == .data([1]))
    }

    @Test func bytesInEveryAlphabet() throws {
        for text in ["//79", "__79", "//79"] {
            #expect(try decode("{\"hash\":\"\(text)\"}", as: Hit.self).hash == [0xFF, 0xFE, 0xFD])
        }
        // The last two have bits beyond the byte, as in protobuf's conformance suite.
        for text in ["+w==", "-w", "-w==", "+w", "-_", "+/=="] {
            #expect(try decode("{\"hash\":\"\(text)\"}", as: Hit.self).hash == [0xFB])
        }
    }

    @Test func textWithEscapesAndSurrogates() throws {
        let hit = try decode(#"{"ti\u0074le":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"}"#, as: Hit.self)
        #expect(hit.title == "a\"\\/\u{8}\u{c}\n\r\té😀é😀")
    }

    @Test func aTimeAloneIsText() throws {
        let time = Timestamp(seconds: 0, nanos: 1)
        #expect(try decode(MessageJSON.encode(time), as: Timestamp.self) == time)
        for bad in ["{}", "null", "7", "\"now\"", "\"1970-01-01T00:00:00Z\" 1"] {
            #expect(throws: Failure.self, "\(bad)") { try decode(bad, as: Timestamp.self) }
        }
    }

    @Test func timesWithOffsetsAndFractions() throws {
        func time(_ text: String) throws -> Timestamp? {
            try decode("{\"createdAt\":\"\(text)\"}", as: Document.self).createdAt
        }
        #expect(try time("1970-01-01T01:00:00+01:00") == Timestamp(seconds: 0, nanos: 0))
        #expect(try time("2024-02-29T23:59:59.5Z") == Timestamp(seconds: 1_709_251_199, nanos: 500_000_000))
        #expect(try time("1969-12-31T23:59:59.999999999Z") == Timestamp(seconds: -1, nanos: 999_999_999))
        for bad in [
            "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00",
            "2024-1-1T00:00:00Z",
            "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00.0000000001Z", "2024-01-01T00:00:00+1:00",
            "0000-01-01T00:00:00Z",
            "2024-01-01T00:00:60Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "",
        ] {
            #expect(throws: Failure.self, "\(bad)") { try time(bad) }
        }
    }

    @Test func enumsByNameAndNumber() throws {
        #expect(try decode(#"{"state":"RUNNING"}"#, as: Job.self).state == .running)
        #expect(try decode(#"{"state":2}"#, as: Job.self).state == .running)
        #expect(try decode(#"{"state":99}"#, as: Job.self).state.rawValue == 99)
        let failure = #expect(throws: Failure.self) { try decode(#"{"state":"running"}"#, as: Job.self) }
        #expect(failure?.message.contains("one of JOB_STATE_UNSPECIFIED, QUEUED, RUNNING") == true)
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        let type: String
        let json: String
        let reason: String
        let field: String
        var testDescription: String { json }

        init(_ type: String, _ json: String, _ reason: String, _ field: String = "") {
            self.type = type
            self.json = json
            self.reason = reason
            self.field = field
        }
    }

    static let refusals: [Refusal] = [
        .init("SearchRequest", "", "MALFORMED_JSON"),
        .init("SearchRequest", "{", "MALFORMED_JSON"),
        .init("SearchRequest", "{}x", "MALFORMED_JSON"),
        .init("SearchRequest", "{,}", "MALFORMED_JSON"),
        .init("SearchRequest", #"{"query":"a",}"#, "MALFORMED_JSON"),
        .init("SearchRequest", #"{"query" "a"}"#, "MALFORMED_JSON"),
        .init("SearchRequest", #"{'query':"a"}"#, "MALFORMED_JSON"),
        .init("SearchRequest", #"{query:"a"}"#, "MALFORMED_JSON"),
        .init("SearchRequest", #"{"query":"a}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", "{\"query\":\"a\u{1}\"}", "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\x"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\ud800"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\udc00\ud800"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\ud800A"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\u0000"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"query":"\u12"}"#, "MALFORMED_JSON", "query"),
        .init("SearchRequest", #"{"limit":01}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":1.}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":-}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":+1}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":1e}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":NaN}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", #"{"limit":nul}"#, "MALFORMED_JSON", "limit"),
        .init("SearchRequest", "[]", "INVALID_VALUE"),
        .init("SearchRequest", "null", "INVALID_VALUE"),
        .init("SearchRequest", #"{"limit":-1}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":4294967296}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":1.5}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":1e999999999999999999999}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":" 1"}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":"1x"}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":""}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"limit":true}"#, "INVALID_VALUE", "limit"),
        .init("SearchRequest", #"{"query":1}"#, "INVALID_VALUE", "query"),
        .init("SearchRequest", #"{"query":["a"]}"#, "INVALID_VALUE", "query"),
        .init("SearchRequest", #"{"collections":"a"}"#, "INVALID_VALUE", "collections"),
        .init("SearchRequest", #"{"collections":["a",null]}"#, "INVALID_VALUE", "collections[1]"),
        .init("SearchRequest", #"{"collections":["a" "b"]}"#, "MALFORMED_JSON", "collections"),
        .init("SearchRequest", #"{"filter":{"a":1}}"#, "INVALID_VALUE", "filter.a"),
        .init("SearchRequest", #"{"filter":{"a":null}}"#, "INVALID_VALUE", "filter.a"),
        .init("SearchRequest", #"{"filter":{"a":"1","\u0061":"2"}}"#, "DUPLICATE_FIELD", "filter.a"),
        .init("SearchRequest", #"{"filter":[]}"#, "INVALID_VALUE", "filter"),
        .init("SearchRequest", #"{"document_ids":[],"documentIds":[]}"#, "DUPLICATE_FIELD", "document_ids"),
        .init("SearchRequest", #"{"query":"a","query":null}"#, "DUPLICATE_FIELD", "query"),
        .init("SearchRequest", #"{"Query":"a"}"#, "UNKNOWN_FIELD", "Query"),
        .init("SearchRequest", #"{"":"a"}"#, "UNKNOWN_FIELD"),
        .init("VerifyCitationsRequest", #"{"citations":[{},{"start":"x"}]}"#, "INVALID_VALUE", "citations[1].start"),
        .init("VerifyCitationsRequest", #"{"citations":[{"n":{}}]}"#, "UNKNOWN_FIELD", "citations[0].n"),
        .init(
            "VerifyCitationsRequest", #"{"citations":[{"start":"18446744073709551616"}]}"#, "INVALID_VALUE",
            "citations[0].start"),
        .init(
            "VerifyCitationsRequest", #"{"citations":[{"chunkHash":"A"}]}"#, "INVALID_VALUE", "citations[0].chunk_hash"),
        .init(
            "VerifyCitationsRequest", #"{"citations":[{"chunkHash":"A==="}]}"#, "INVALID_VALUE",
            "citations[0].chunk_hash"),
        .init(
            "VerifyCitationsRequest", #"{"citations":[{"chunkHash":"AA="}]}"#, "INVALID_VALUE",
            "citations[0].chunk_hash"),
        .init(
            "VerifyCitationsRequest", #"{"citations":[{"chunkHash":"A A="}]}"#, "INVALID_VALUE",
            "citations[0].chunk_hash"),
        .init("UploadDocumentRequest", #"{"start":{},"data":""}"#, "DUPLICATE_FIELD", "data"),
        .init("UploadDocumentResponse", #"{"unchanged":"true"}"#, "INVALID_VALUE", "unchanged"),
        .init("UploadDocumentResponse", #"{"unchanged":1}"#, "INVALID_VALUE", "unchanged"),
        .init("UploadDocumentResponse", #"{"unchanged":tru}"#, "MALFORMED_JSON", "unchanged"),
        .init("Retrieval", #"{"coverage":1e400}"#, "INVALID_VALUE", "coverage"),
        .init("Retrieval", #"{"coverage":"inf"}"#, "INVALID_VALUE", "coverage"),
        .init("Retrieval", #"{"coverage":"0x1p3"}"#, "INVALID_VALUE", "coverage"),
    ]

    @Test(arguments: refusals) func whatIsRefusedAndWhere(_ refusal: Refusal) throws {
        let failure = #expect(throws: Failure.self) {
            try MessageJSON.decode(refusal.json.utf8, type: "acp.v1.\(refusal.type)")
        }
        #expect(failure?.code == .invalidArgument)
        #expect(failure?.reason == refusal.reason)
        #expect(failure?.fields.first?.field ?? "" == refusal.field)
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        for bytes: [UInt8] in [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82]] {
            let json = Array(#"{"query":""#.utf8) + bytes + Array(#""}"#.utf8)
            let failure = #expect(throws: Failure.self) { try MessageJSON.decode(json, type: "acp.v1.SearchRequest") }
            #expect(failure?.reason == "MALFORMED_JSON")
        }
    }

    @Test func sizesAreBounded() {
        let many = "{\"citations\":[" + Array(repeating: "{}", count: 10_000).joined(separator: ",") + "]}"
        let memory = #expect(throws: Failure.self) {
            try MessageJSON.decode(
                many.utf8, type: "acp.v1.VerifyCitationsRequest", limits: .init(unpackedBytesMax: 100_000))
        }
        #expect(memory?.httpStatus == 413)
        let bytes = #expect(throws: Failure.self) {
            try MessageJSON.decode(many.utf8, type: "acp.v1.VerifyCitationsRequest", limits: .init(jsonBytesMax: 100))
        }
        #expect(bytes?.httpStatus == 413)
        #expect(throws: Never.self) { try MessageJSON.decode(many.utf8, type: "acp.v1.VerifyCitationsRequest") }
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: Failure.self) { try MessageJSON.decode(deep.utf8, type: "acp.v1.SearchRequest") }
    }
}
