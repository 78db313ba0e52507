import NIOCore

@testable import RPC

/// The messages that are fuzzed: those with every kind of field, and those that strangers send.
struct MessageTypes: Sendable {
    let name: String
    /// Reads a message and writes it.
    let roundTrip: @Sendable (ByteBuffer) throws -> ByteBuffer

    private init<Message: WireMessage>(_ type: Message.Type) {
        name = type.typeName
        roundTrip = { try Message.decode($0).encoded() }
    }

    // Only ever add at the end: inputs name a type by its place.
    static let all: [MessageTypes] = [
        .init(AskEvent.self), .init(AskRequest.self), .init(Answer.self), .init(SearchRequest.self),
        .init(SearchResponse.self), .init(Hit.self), .init(Document.self), .init(Receipt.self), .init(Job.self),
        .init(UploadDocumentRequest.self), .init(UploadDocumentResponse.self), .init(PasteDocumentRequest.self),
        .init(ListDocumentsRequest.self), .init(ListDocumentsResponse.self), .init(GetTextResponse.self),
        .init(ListJobsResponse.self), .init(GetStatusResponse.self), .init(CreateKeyRequest.self),
        .init(ListKeysResponse.self), .init(WhoAmIResponse.self), .init(HealthCheckResponse.self),
        .init(VerifyCitationsRequest.self), .init(VerifyCitationsResponse.self), .init(ExtractFrame.self),
        .init(ExtractReport.self), .init(ListServicesResponse.self), .init(ListConnectionsResponse.self),
        .init(Timestamp.self), .init(WireHello.self), .init(WireRequest.self), .init(WireStatus.self),
        .init(WireGoAway.self), .init(WireHeaders.self),
    ]

    private static func place<Message: WireMessage>(_ message: Message) -> UInt8 {
        UInt8(all.firstIndex { $0.name == Message.typeName } ?? 0)
    }

    /// Messages with something in every field.
    private static var examples: [(place: UInt8, name: String, bytes: ByteBuffer)] {
        let hit = Hit(
            documentID: "d", revisionID: "r", chunkID: "c", start: 1, end: .max, hash: [0, 255], score: -1.5e300,
            title: "Ein Titel, 漢字 😀", headingPath: ["a", ""], page: .max, text: "text \"quoted\"\n",
            highlights: [Highlight(start: 1, end: 2)], metadata: ["k": "v", "": "empty"])
        let answer = Answer(
            id: "a", question: "q?", outcome: AnswerOutcome(rawValue: -1),
            sentences: [AnswerSentence(text: "s", citations: [Citation(documentID: "d", quote: "q")], score: 0.25)],
            passages: [hit], sequence: 7, createdAt: Timestamp(seconds: 1_700_000_000, nanos: 120_000_000),
            unmatchedTerms: ["x"])
        var status = WireStatus()
        status.code = 5
        status.message = "not here"
        var document = Document(id: "d", metadata: ["a": "b"], sizeBytes: 5, deleted: true)
        document.receipt = Receipt(originalSha256: [1, 2], drops: [Drop(page: 1, end: 9, detail: "x")])
        func example<Message: WireMessage>(_ message: Message) -> (UInt8, String, ByteBuffer) {
            (place(message), String(Message.typeName.split(separator: ".").last ?? ""), message.encoded())
        }
        return [
            example(AskEvent(event: .answer(answer))), example(AskEvent(event: .passages(Passages(hits: [hit, hit])))),
            example(answer), example(SearchRequest(query: "q", filter: ["a": "b", "c": "d"], limit: 3)), example(hit),
            example(SearchResponse(sequence: 9, unmatchedTerms: ["t"])), example(document),
            example(Timestamp(seconds: -62_135_596_800, nanos: 1)), example(status),
        ]
    }

    static func seeds() throws -> [(name: String, bytes: [UInt8])] {
        examples.enumerated().map { index, example in
            ("\(example.name)-\(index)", [example.place] + Array(example.bytes.readableBytesView))
        }
    }

    static func jsonSeeds() throws -> [(name: String, bytes: [UInt8])] {
        var seeds: [(name: String, bytes: [UInt8])] = []
        for (index, example) in examples.enumerated() {
            let type = all[Int(example.place)].name
            seeds.append(
                ("\(example.name)-\(index)-message", [example.place | 0x80] + Array(example.bytes.readableBytesView)))
            seeds.append(
                ("\(example.name)-\(index)-json", [example.place] + (try MessageJSON.encode(example.bytes, type: type)))
            )
        }
        let place = UInt8(all.firstIndex { $0.name == SearchRequest.typeName } ?? 0)
        for (name, text) in [
            ("names", #"{ "query" : "\u00e9\ud83d\ude00\/" , "limit" : "3" , "filter" : { } }"#),
            ("numbers", #"{"limit":3.0e0}"#), ("null", #"{"query":null,"filter":null}"#), ("unknown", #"{"quer":1}"#),
        ] { seeds.append(("text-\(name)", [place] + Array(text.utf8))) }
        return seeds
    }
}
