import Core
import NIOCore
import RPC
import Testing

/// Fields of packed bytes, taken apart by the wire format alone.
private struct WireFields {
    struct Field {
        var number: UInt64
        /// With its tag.
        var bytes: [UInt8]
        /// Without tag and length; nil for what has no length.
        var content: [UInt8]?
    }

    var all: [Field] = []

    init(_ bytes: [UInt8]) {
        var at = 0
        func varint() -> UInt64 {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                let byte = bytes[at]
                at += 1
                value |= UInt64(byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 { return value }
            }
        }
        while at < bytes.count {
            let start = at
            let tag = varint()
            var content: [UInt8]?
            switch tag & 7 {
            case 0: _ = varint()
            case 1: at += 8
            case 5: at += 4
            default:
                let length = Int(varint())
                content = Array(bytes[at..<at + length])
                at += length
            }
            all.append(Field(number: tag >> 3, bytes: Array(bytes[start..<at]), content: content))
        }
    }

    static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(truncatingIfNeeded: value) | 0x80] + varint(value >> 7)
    }

    static func message(_ number: UInt64, _ content: [UInt8]) -> [UInt8] {
        varint(number << 3 | 2) + varint(UInt64(content.count)) + content
    }
}

private func decode<M: WireMessage>(_ bytes: [UInt8], as type: M.Type = M.self) throws -> M {
    try bytes.withUnsafeBytes { try M.decode($0, limits: .standard) }
}

private func packed(_ message: some WireMessage) -> [UInt8] { Array(message.encoded().readableBytesView) }

@Suite struct MessageFieldsThatOccurTwice {
    /// UploadDocumentResponse.document and .job, Document.created_at.
    private let document: UInt64 = 1
    private let job: UInt64 = 2

    @Test func areMergedFieldByField() throws {
        let first = UploadDocumentResponse(
            document: Document(
                id: "first", metadata: ["a": "1", "b": "1"], sizeBytes: 7, createdAt: Timestamp(seconds: 5, nanos: 0)))
        let second = UploadDocumentResponse(
            document: Document(id: "second", metadata: ["b": "2"], createdAt: Timestamp(seconds: 0, nanos: 9)),
            unchanged: true)
        let merged: UploadDocumentResponse = try decode(packed(first) + packed(second))
        #expect(
            merged
                == UploadDocumentResponse(
                    document: Document(
                        id: "second", metadata: ["a": "1", "b": "2"], sizeBytes: 7,
                        createdAt: Timestamp(seconds: 5, nanos: 9)),
                    unchanged: true))
    }

    @Test func ofAChoiceAreMergedUnlessAnotherMemberComesBetween() throws {
        let one = packed(AskEvent(event: .retrieval(Retrieval(sequence: 1, unmatchedTerms: ["a"]))))
        let two = packed(AskEvent(event: .retrieval(Retrieval(candidates: 2, unmatchedTerms: ["b"]))))
        let other = packed(AskEvent(event: .sentence(AnswerSentence(text: "t"))))
        let both = AskEvent(event: .retrieval(Retrieval(sequence: 1, candidates: 2, unmatchedTerms: ["a", "b"])))
        #expect(try decode(one + two) == both)
        #expect(try decode(other + one + two) == both)
        #expect(
            try decode(one + other + two)
                == AskEvent(event: .retrieval(Retrieval(candidates: 2, unmatchedTerms: ["b"]))))
        #expect(try decode(one + two + other) == AskEvent(event: .sentence(AnswerSentence(text: "t"))))
    }

    /// Any message is the same when its inner messages arrive in several parts, however they are cut.
    @Test func inAnyNumberOfPartsAreTheWholeMessage() throws {
        for seed in UInt64(1)...300 {
            var generator = SeededGenerator(state: seed)
            let whole = UploadDocumentResponse(
                document: Document(
                    id: generator.text(), metadata: generator.map(), sizeBytes: generator.long(),
                    createdAt: generator.time(), deleted: generator.chance()),
                job: Job(id: generator.text()), unchanged: generator.chance())
            let parts = inParts(packed(whole), messages: [document, job], &generator) { content, generator in
                // The time inside the document is cut, too.
                inParts(content, messages: [timeField(of: content)], &generator) { content, _ in content }
            }
            #expect(try decode(parts) == whole, "seed \(seed)")
        }
    }

    /// The number of `Document.created_at`, found as the field that holds a time; 0 when there is none.
    private func timeField(of content: [UInt8]) -> UInt64 {
        let time = packed(Document(createdAt: Timestamp(seconds: 1, nanos: 1)))
        let number = WireFields(time).all[0].number
        return WireFields(content).all.contains { $0.number == number } ? number : 0
    }

    /// The same message with the fields called `messages` cut into parts at the boundaries of their own fields.
    private func inParts(
        _ bytes: [UInt8], messages: Set<UInt64>, _ generator: inout SeededGenerator,
        _ inner: ([UInt8], inout SeededGenerator) -> [UInt8]
    ) -> [UInt8] {
        var queues: [[[UInt8]]] = []
        for field in WireFields(bytes).all {
            guard messages.contains(field.number), let content = field.content else {
                queues.append([field.bytes])
                continue
            }
            var parts: [[UInt8]] = [[]]
            for field in WireFields(inner(content, &generator)).all {
                if generator.chance() { parts.append([]) }
                parts[parts.count - 1] += field.bytes
            }
            queues.append(parts.map { WireFields.message(field.number, $0) })
        }
        // Parts of one field stay in order; between fields they mix.
        var result: [UInt8] = []
        while let index = queues.indices.filter({ !queues[$0].isEmpty }).randomElement(using: &generator) {
            result += queues[index].removeFirst()
        }
        return result
    }

    @Test func areBoundedInMemory() throws {
        let small = DecodeLimits(unpackedBytesMax: 100_000)
        func decoded(_ id: [UInt8]) throws -> Document? {
            // 65,536 times the same field; all are merged into one struct.
            let bytes = (0..<65_536).flatMap { _ in WireFields.message(document, [0x0A, UInt8(id.count)] + id) }
            return try bytes.withUnsafeBytes { try UploadDocumentResponse.decode($0, limits: small) }.document
        }
        #expect(try decoded([]) == Document())
        // A text that does not fit into the `String` itself takes memory also when a later one replaces it.
        let failure = #expect(throws: Failure.self) { try decoded([UInt8](repeating: 0x61, count: 16)) }
        #expect(failure?.code == .resourceExhausted)
    }

    @Test func areStillCheckedForTextAndDepth() {
        let good = packed(UploadDocumentResponse(document: Document(id: "a")))
        let bad = WireFields.message(document, [0x0A, 1, 0xFF])
        for bytes in [good + bad, bad + good] {
            let failure = #expect(throws: Failure.self) { try decode(bytes, as: UploadDocumentResponse.self) }
            #expect(failure?.reason == "MALFORMED_MESSAGE")
        }
    }
}

@Suite struct FieldsOfAnotherWireType {
    @Test(arguments: [
        // UploadDocumentResponse.unchanged, a boolean: 8 bytes, 4 bytes, text; document, a message, as a number.
        [0x19, 1, 0, 0, 0, 0, 0, 0, 0], [0x1D, 1, 0, 0, 0], [0x1A, 1, 0x31], [0x08, 1],
        // A group that no field has.
        [0xA3, 0x01, 0xA4, 0x01],
    ])
    func areRefused(_ bytes: [UInt8]) {
        let failure = #expect(throws: Failure.self) { try decode(bytes, as: UploadDocumentResponse.self) }
        #expect(failure?.reason == "MALFORMED_MESSAGE")
    }

    @Test func areNoMatterWhenTheFieldIsUnknown() throws {
        let unknown: [UInt8] = [
            0xA0, 0x06, 1, 0xA1, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0xA2, 0x06, 1, 0xFF, 0xA5, 0x06, 0, 0, 0, 0,
        ]
        #expect(try decode(unknown, as: UploadDocumentResponse.self) == UploadDocumentResponse())
    }
}
