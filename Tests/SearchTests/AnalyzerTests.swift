import Core
import Search
import Testing

@Suite struct AnalyzerTests {
    /// Terms with their kinds: `!` an identifier, `^` a single ideograph, `~` a stop word.
    private func terms(_ text: String) -> String {
        Analyzer().tokens(of: text).map { token in
            (token.kind == .identifier ? "!" : token.kind == .unigram ? "^" : token.isStop ? "~" : "") + token.term
        }.joined(separator: " ")
    }

    @Test(arguments: [
        ("The servers are running", "~the server ~are run"),
        ("ABC-123", "!abc-123 abc 123"),
        ("max_retry_count", "!max_retry_count max retri count"),
        ("version 1.2.3, v2.0", "version !1.2.3 1 2 3 !v2.0 !2.0 v2 0"),
        ("parseHTTPRequest", "!parsehttprequest pars http request"),
        ("JavaScript javascript", "!javascript java script javascript"),
        ("URLs and APIs", "url ~and api"),
        ("state-of-the-art", "state ~of ~the art"),
        ("U.S. and e.g. US", "us ~and ~eg us"),
        ("IT is it", "it ~is ~it"),
        ("don’t John's", "~don't john"),
        ("Café CAFÉ cafe\u{301} ﬁnance straße Łódź", "cafe cafe cafe financ strass lodz"),
        ("ΑΘΉΝΑ Αθήνα", "αθηνα αθηνα"),
        ("Москва МОСКВА ёлка", "москва москва елка"),
        ("ＡＢＣ１２ m²", "abc12 m2"),
        ("検索エンジン", "検索 ^検 索エ ^索 エン ^エ ンジ ^ン ジン ^ジ ^ン"),
        ("猫 and 東京", "猫 ~and 東京 ^東 ^京"),
        ("C++, C# and F#", "!c++ c !c# c ~and !f# f"),
        ("so\u{AD}ft co\u{200D}de", "soft code"),
        ("end.Start 3.14", "!end.start end start !3.14 3 14"),
        ("__init__ a__b -x- _", "init ~a b x"),
        ("", ""), ("?! … \u{FFFD} 🙂", ""),
    ])
    func termsOf(text: String, expected: String) {
        #expect(terms(text) == expected)
    }

    @Test func spansAndPositionsAreThoseOfTheText() {
        let text = "Zürich: ABC-123 größer"
        let tokens = Analyzer().tokens(of: text)
        let bytes = Array(text.utf8)
        #expect(
            tokens.map { String(decoding: bytes[$0.span.range], as: UTF8.self) } == [
                "Zürich", "ABC-123", "ABC", "123", "größer",
            ])
        #expect(tokens.map(\.position) == [0, 1, 1, 2, 3])
    }

    @Test func longTermsAreCutBetweenCharacters() {
        let tokens = Analyzer().tokens(of: String(repeating: "ж", count: 500))
        #expect(tokens.allSatisfy { $0.term.utf8.count <= Analyzer.termBytesMax && !$0.term.contains("\u{FFFD}") })
        let dotted = Analyzer().tokens(of: String(repeating: "x1.", count: 100_000))
        #expect(dotted.count > 100_000)
    }

    @Test func anyTextKeepsTheRules() {
        let seed: UInt64 = 7
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let alphabet: [Character] = Array("aAbB1.-_'’ é漢か\u{301}\u{AD}ﬁ\n#+٣ßİ🙂👩‍👩‍👧\u{200D}")
        for _ in 0..<2000 {
            let text = String(
                (0..<Int.random(in: 0...30, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "a" })
            let count = text.utf8.count
            var last = (0, 0)
            for token in Analyzer().tokens(of: text) {
                #expect(!token.term.isEmpty && token.span.count > 0 && token.span.end <= count, "\(text)")
                #expect(token.position >= last.1 && token.span.start >= last.0, "\(text)")
                last = (token.span.start, token.position)
            }
        }
    }

    @Test func topicTermsAreDistinctAndWithoutStopWords() {
        #expect(Analyzer().terms(of: "What is the policy on backups and the backup policies?") == ["polici", "backup"])
    }
}

@Suite struct SentenceSplitterTests {
    private func sentences(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        return SentenceSplitter().sentences(of: text).map { String(decoding: bytes[$0.range], as: UTF8.self) }
    }

    @Test(arguments: [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Mr. Smith met Dr. J. Doe. They talked.", ["Mr. Smith met Dr. J. Doe.", "They talked."]),
        ("Costs 3.14 per v1.2.3 unit. Next.", ["Costs 3.14 per v1.2.3 unit.", "Next."]),
        ("See Fig. 3 and No. 7. No. That is wrong.", ["See Fig. 3 and No. 7.", "No.", "That is wrong."]),
        ("Use caches, e.g. Redis. Done.", ["Use caches, e.g. Redis.", "Done."]),
        ("“Why?” he asked. \"Go.\" She went.", ["“Why?” he asked.", "\"Go.\"", "She went."]),
        ("A soft\nwrap goes on.\n\nNew block", ["A soft\nwrap goes on.", "New block"]),
        (
            "Intro:\n- first item\n- second. Two\n1. Third item\n2) Fourth",
            ["Intro:", "- first item", "- second.", "Two", "1. Third item", "2) Fourth"]
        ),
        ("# Heading\nBody text.", ["# Heading", "Body text."]),
        ("| a | b |\n| 1 | 2 |\nAfter", ["| a | b |", "| 1 | 2 |", "After"]),
        ("これは文です。次の文！終わり", ["これは文です。", "次の文！", "終わり"]),
        ("", []), (" \n\n ", []), ("...", ["..."]), ("Wait... What?", ["Wait...", "What?"]),
    ])
    func sentencesOf(text: String, expected: [String]) {
        #expect(sentences(text) == expected)
    }

    @Test func nothingButSpaceLiesBetweenSentences() {
        let seed: UInt64 = 9
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let pieces = [
            "a", "Bc", ". ", "! ", "\n", "\n\n", "- ", "1. ", "Mr. ", "3.5", "。", "…", "\"", ")", "é", " ", "#", "|",
        ]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...20, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            let bytes = Array(text.utf8)
            var end = 0
            for span in SentenceSplitter().sentences(of: text) {
                #expect(span.start >= end && span.count > 0)
                #expect(bytes[end..<span.start].allSatisfy { $0 <= 0x20 })
                #expect(String(validating: bytes[span.range], as: UTF8.self) != nil)
                end = span.end
            }
            #expect(bytes[end...].allSatisfy { $0 <= 0x20 })
        }
    }
}
