import Core
import NIOCore
import RPC
import Testing

private func decode<M: WireMessage>(_ bytes: [UInt8], as type: M.Type, memory: Int = 64 << 20) throws -> M {
    try bytes.withUnsafeBytes { try M.decode($0, limits: DecodeLimits(unpackedBytesMax: memory)) }
}

private func packed(_ message: some WireMessage) -> [UInt8] { Array(message.encoded().readableBytesView) }

/// A SearchRequest whose query is `text`, well-formed or not.
private func request(_ text: [UInt8]) -> [UInt8] {
    text.count < 128
        ? [0x0A, UInt8(text.count)] + text
        : [0x0A, UInt8(text.count & 0x7F) | 0x80, UInt8(text.count >> 7)] + text
}

@Suite struct TextOfMessages {
    /// Text is copied and checked in words of 4, 8 and 16 bytes: all of them, their edges and overlaps.
    @Test func isCheckedAtEveryPlaceOfEveryLength() throws {
        let wrong: [[UInt8]] = [
            [0], [0x80], [0xC0, 0x80], [0xC3], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF],
        ]
        for length in 1...40 {
            for place in 0..<length {
                for sequence in wrong where place + sequence.count <= length {
                    var text = [UInt8](repeating: 0x61, count: length)
                    text.replaceSubrange(place..<place + sequence.count, with: sequence)
                    let failure = #expect(throws: Failure.self) { try decode(request(text), as: SearchRequest.self) }
                    let says = sequence == [0] ? "holds a NUL character" : "is not UTF-8"
                    #expect(failure?.message.contains("the field query \(says)") == true, "\(text)")
                }
            }
        }
    }

    @Test func isReadAndWrittenAtEveryLength() throws {
        for character in ["a", "\u{7F}", "é", "漢", "😀"] {
            for length in 0...150 {
                let text = String(repeating: "x", count: length % 17) + String(repeating: character, count: length)
                let message = try decode(request(Array(text.utf8)), as: SearchRequest.self)
                #expect(message.query == text)
                #expect(packed(message) == (text.isEmpty ? [] : request(Array(text.utf8))))
            }
        }
    }

    /// Not cut, as C strings would be: who sends it is told.
    @Test func withNULIsWrittenWholeAndRefusedByTheReader() throws {
        for text in ["before\0after", "é\0", "\0"] {
            let bytes = packed(SearchRequest(query: text))
            #expect(bytes == request(Array(text.utf8)))
            #expect(throws: Failure.self) { try decode(bytes, as: SearchRequest.self) }
        }
    }
}

@Suite struct PackedMessages {
    /// In C structs, as JSON makes them, the first eight large texts and bytes are copied apart from the rest.
    @Test(arguments: [1023, 1024, 5000, 70_000])
    func holdAnyNumberOfLargeValues(_ bytes: Int) throws {
        for count in [1, 3, 8, 9, 20] {
            let hits = (0..<count).map { index in
                Hit(
                    documentID: "document \(index)", hash: [UInt8](repeating: UInt8(index), count: bytes),
                    text: String(repeating: "é", count: bytes / 2), metadata: ["a": "b", "": "c"])
            }
            let response = SearchResponse(hits: hits, sequence: 1, unmatchedTerms: ["x"])
            let wire = packed(response)
            #expect(try decode(wire, as: SearchResponse.self) == response)
            let fromJSON = try MessageJSON.decode(MessageJSON.encode(response).utf8, type: SearchResponse.typeName)
            #expect(Array(fromJSON.readableBytesView) == wire)
            // Behind what the buffer holds already.
            var buffer = ByteBuffer(string: "before")
            response.encode(into: &buffer)
            #expect(Array(buffer.readableBytesView) == Array("before".utf8) + wire)
        }
    }

    @Test func keepTheSignOfZero() throws {
        let negative = try decode(packed(SearchResponse(coverage: -0.0)), as: SearchResponse.self)
        #expect(negative.coverage.sign == .minus)
        #expect(packed(SearchResponse(coverage: 0)).isEmpty)
        let json = try MessageJSON.encode(negative)
        #expect(json == #"{"coverage":-0}"#)
        #expect(try MessageJSON.decode(json.utf8, as: SearchResponse.self).coverage.sign == .minus)
    }

    @Test func havePairsOfMapsInTheOrderOfKeys() {
        var map: [String: String] = [:]
        for key in ["b", "", "ab", "é", "a", "zz", "漢"] { map[key] = key }
        let keys = ["", "a", "ab", "b", "zz", "é", "漢"]
        let pairs = keys.flatMap { key -> [UInt8] in
            let text = Array(key.utf8)
            let field = { (number: UInt8) in text.isEmpty ? [] : [number << 3 | 2, UInt8(text.count)] + text }
            return [0x1A, UInt8(2 * field(1).count)] + field(1) + field(2)
        }
        #expect(packed(SearchRequest(filter: map)) == pairs)
    }
}

@Suite struct DamagedMessages {
    private func response(_ seed: UInt64) -> SearchResponse {
        var generator = SeededGenerator(state: seed)
        return SearchResponse(
            hits: generator.list { $0.hit() }, sequence: generator.long(), candidates: generator.long(),
            unmatchedTerms: generator.list { $0.text() }, coverage: generator.double())
    }

    /// What is decoded is decoded the same again; what is refused is called malformed.
    private func check(_ bytes: [UInt8], _ comment: Comment) throws {
        do {
            let message = try decode(bytes, as: SearchResponse.self)
            let again = try decode(packed(message), as: SearchResponse.self)
            // NaN is not equal to itself.
            #expect(packed(again) == packed(message), comment)
        } catch let failure as Failure {
            #expect(failure.reason == "MALFORMED_MESSAGE", comment)
        }
    }

    @Test func areCutAtEveryByte() throws {
        for seed in UInt64(1)...30 {
            let bytes = packed(response(seed))
            for end in 0...bytes.count { try check(Array(bytes[..<end]), "seed \(seed), cut at \(end)") }
        }
    }

    @Test func areChangedAtRandom() throws {
        for seed in UInt64(1)...3000 {
            var generator = SeededGenerator(state: seed)
            var bytes = packed(response(seed))
            for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0...2, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                }
            }
            try check(bytes, "seed \(seed)")
        }
    }

    @Test(arguments: [
        // A tag that does not end, of six bytes, with the number 0, beyond 29 bits; a number of eleven bytes; a length beyond the end.
        [0x80], [0x90, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01], [0x00, 0x01], [0x90, 0x80, 0x80, 0x80, 0x10, 0x01],
        [0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x0A, 0x01],
        [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x29, 0, 0, 0, 0, 0, 0, 0],
    ])
    func areRefused(_ bytes: [UInt8]) {
        let failure = #expect(throws: Failure.self) { try decode(bytes, as: SearchResponse.self) }
        #expect(failure?.reason == "MALFORMED_MESSAGE")
    }

    @Test func areNotAllowedMoreMemoryThanTheirBudget() throws {
        let bytes = packed(response(7))
        let whole = try decode(bytes, as: SearchResponse.self)
        var enough: Int?
        for memory in stride(from: 0, through: bytes.count * 8 + 1024, by: 8) {
            do {
                #expect(try decode(bytes, as: SearchResponse.self, memory: memory) == whole)
                enough = enough ?? memory
            } catch let failure as Failure {
                #expect(failure.reason == Failure.tooLarge)
                #expect(enough == nil, "\(memory) bytes are too few and \(enough ?? 0) are not")
            }
        }
        #expect(enough != nil)
    }
}
