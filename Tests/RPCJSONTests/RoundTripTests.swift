import Core
import NIOCore
import RPC
import Testing

/// SplitMix64: the same seed is the same run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    mutating func chance() -> Bool { Bool.random(using: &self) }

    mutating func text() -> String {
        let scalars: [UnicodeScalar] = [
            "a", "Z", "\"", "\\", "/", "\u{1}", "\n", "\u{7F}", "é", "\u{2028}", "😀", "\u{10FFFF}", " ", "{", "漢",
        ]
        return String(
            String.UnicodeScalarView(
                (0..<Int.random(in: 0...12, using: &self)).map { _ in scalars.randomElement(using: &self)! }))
    }

    mutating func bytes() -> [UInt8] {
        (0..<Int.random(in: 0...9, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
    mutating func long() -> UInt64 { chance() ? next() : next() % 100 }
    mutating func double() -> Double {
        let value = Double(bitPattern: next())
        return value.isNaN || !chance() ? Double(next() % 1000) / 8 : value == 0 ? 1 : value
    }
    mutating func time() -> Timestamp {
        Timestamp(
            seconds: Int64.random(in: -62_135_596_800...253_402_300_799, using: &self),
            nanos: [0, 1, 1000, 1_000_000, 999_999_999, 500_000_000].randomElement(using: &self)!)
    }
    mutating func map() -> [String: String] {
        var map: [String: String] = [:]
        for _ in 0..<Int.random(in: 0...4, using: &self) { map[text()] = text() }
        return map
    }
    mutating func list<T>(_ make: (inout SeededGenerator) -> T) -> [T] {
        (0..<Int.random(in: 0...4, using: &self)).map { _ in make(&self) }
    }

    mutating func hit() -> Hit {
        Hit(
            documentID: text(), revisionID: text(), chunkID: text(), start: long(), end: long(), hash: bytes(),
            score: double(),
            title: text(), headingPath: list { $0.text() }, page: UInt32(truncatingIfNeeded: next()), text: text(),
            highlights: list { Highlight(start: UInt32(truncatingIfNeeded: $0.next()), end: 0) }, collection: text(),
            origin: text(),
            metadata: map())
    }

    mutating func citation() -> Citation {
        Citation(
            documentID: text(), start: long(), chunkHash: bytes(), quote: text(), headingPath: list { $0.text() },
            page: 3)
    }

    mutating func answer() -> Answer {
        Answer(
            id: text(), question: text(), outcome: AnswerOutcome(rawValue: Int32.random(in: -2...5, using: &self)),
            sentences: list { g in
                AnswerSentence(
                    text: g.text(), citations: g.list { $0.citation() }, score: g.double(), verdict: .supported)
            }, passages: list { $0.hit() }, sequence: long(), createdAt: chance() ? time() : nil,
            unmatchedTerms: list { $0.text() })
    }

    mutating func event() -> AskEvent {
        switch next() % 5 {
        case 0:
            AskEvent(
                event: .retrieval(Retrieval(sequence: long(), coverage: double(), unmatchedTerms: list { $0.text() })))
        case 1: AskEvent(event: .passages(Passages(hits: list { $0.hit() })))
        case 2: AskEvent(event: .sentence(AnswerSentence(text: text())))
        case 3: AskEvent(event: .answer(answer()))
        default: AskEvent()
        }
    }
}

@Suite struct RoundTrips {
    private func check<M: WireMessage>(_ message: M, _ seed: UInt64, _ options: MessageJSON.Options) throws {
        let json = try MessageJSON.encode(message, options: options)
        #expect(try MessageJSON.decode(json.utf8, as: M.self) == message, "seed \(seed): \(json)")
    }

    @Test func everythingThatIsWrittenReadsBackTheSame() throws {
        for seed in UInt64(1)...400 {
            var generator = SeededGenerator(state: seed)
            let options = MessageJSON.Options(
                indent: generator.chance() ? nil : 2, printsDefaults: generator.chance())
            try check(generator.event(), seed, options)
            try check(
                Document(
                    id: generator.text(), metadata: generator.map(), sizeBytes: generator.long(),
                    createdAt: generator.time(),
                    deleted: generator.chance(),
                    receipt: generator.chance()
                        ? nil
                        : Receipt(
                            originalSha256: generator.bytes(),
                            drops: generator.list {
                                Drop(page: 1, end: $0.long(), reason: .parserFailure, detail: $0.text())
                            })),
                seed, options)
            try check(SearchRequest(query: generator.text(), filter: generator.map()), seed, options)
        }
    }

    @Test func changedJSONNeverCrashesAndNeverPassesUnknownNames() throws {
        var generator = SeededGenerator(state: 7)
        for seed in UInt64(1)...3000 {
            generator.state = seed &* 0x1234_5678_9ABC
            var json = Array(try MessageJSON.encode(generator.event()).utf8)
            guard json.count > 2 else { continue }
            for _ in 0...(generator.next() % 3) {
                let at = Int.random(in: 0..<json.count, using: &generator)
                switch generator.next() % 4 {
                case 0: json[at] = UInt8.random(in: 0...255, using: &generator)
                case 1: json.remove(at: at)
                case 2: json.insert(Array("{}[],:\"\\0e-n".utf8).randomElement(using: &generator)!, at: at)
                default: json.removeLast(json.count - at)
                }
                if json.isEmpty { break }
            }
            do {
                // What still is a message writes and reads as itself.
                let message = try MessageJSON.decode(json, as: AskEvent.self)
                #expect(
                    try MessageJSON.decode(MessageJSON.encode(message).utf8, as: AskEvent.self) == message,
                    "seed \(seed)")
            } catch let failure as Failure {
                #expect(failure.code == .invalidArgument, "seed \(seed)")
            }
        }
    }
}
