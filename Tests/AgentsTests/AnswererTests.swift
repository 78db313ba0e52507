import Core
import RPC
import Testing

@testable import Agents

/// The extractive answerer by itself: golden answers, order, limits, exact spans.
@Suite struct AnswererTests {
    private func hit(
        _ text: String, document: String = "d1", start: UInt64 = 0, headings: [String] = [], title: String = "",
        score: Double = 1
    ) -> Hit {
        Hit(
            documentID: document, revisionID: "r-" + document, chunkID: "c-\(document)-\(start)", start: start,
            end: start + UInt64(text.utf8.count), hash: sha256(text), score: score, title: title, headingPath: headings,
            text: text)
    }

    private func answer(_ question: String, _ hits: [Hit], sentencesMax: Int = 5) throws -> ExtractedAnswer {
        try ExtractiveAnswerer().answer(question, from: hits, unmatchedTerms: [], sentencesMax: sentencesMax)
    }

    @Test(arguments: [
        ("Who approved it?", QuestionKind.person), ("When does it start?", .time),
        ("In which year did it start?", .time),
        ("How long is the wait?", .duration), ("How many users are there?", .quantity), ("Where is it?", .place),
        ("Why was it dropped?", .reason), ("How do I install it?", .manner), ("What is dunning?", .definition),
        ("What does PII mean?", .definition), ("Is it encrypted?", .yesNo), ("Which database is used?", .thing),
        ("What is the retention period?", .duration), ("What is the deadline for bids?", .time),
    ])
    func kindOfQuestionIsSeen(question: String, kind: QuestionKind) {
        #expect(Question(question).kind == kind)
    }

    @Test func aSentenceOnLayoutDoesNotAnswerAQuestionOnRetention() throws {
        let hits = [
            hit(
                "The invoice layout follows the corporate design. The invoice header shows the logo.",
                headings: ["Layout"]),
            hit("Log files are kept for 30 days.", document: "d2", headings: ["Logs"]),
        ]
        let declined = try answer("What is the invoice retention period?", hits)
        #expect(declined.outcome == .abstained)
        #expect(declined.explanation.contains("invoice, retention"))
    }

    @Test func unknownNamesNumbersAndIdentifiersDecline() throws {
        let hits = [hit("Project Aurora starts on 2 June 2025. REQ-017 asks for a search within 800 ms.")]
        #expect(try answer("When does project Aurora start?", hits).outcome == .answered)
        for question in [
            "When does project Zephyr start?", "What does REQ-018 ask for?", "What starts on 3 June 2026?",
        ] {
            let declined = try answer(question, hits)
            #expect(declined.outcome == .abstained)
            #expect(!declined.unmatchedTerms.isEmpty)
        }
    }

    @Test func halfOfTheQuestionIsAnsweredInPart() throws {
        let hits = [hit("The pilot starts on 2 June 2025. The pilot takes place in Hamburg.")]
        let partial = try answer("When does the pilot start and who pays for the catering?", hits)
        #expect(partial.outcome == .partial)
        #expect(partial.sentences.first?.text == "The pilot starts on 2 June 2025.")
        #expect(partial.unmatchedTerms.contains("catering"))
        #expect(partial.explanation.contains("catering"))
    }

    @Test func anIntroductionBringsItsList() throws {
        let hits = [
            hit(
                "Formats\n\nThe following formats are accepted:\n\nPDF and PDF/A\n\nTIFF images\n\nOther formats are refused.",
                headings: ["Formats"])
        ]
        let listed = try answer("Which formats are accepted?", hits)
        #expect(
            listed.sentences.prefix(3).map(\.text) == [
                "The following formats are accepted:", "PDF and PDF/A", "TIFF images",
            ])
    }

    @Test func aTableRowIsCitedWhole() throws {
        let hits = [hit("Limit | Value\nUpload size | 50 MB\nPage size | 500 rows", headings: ["Limits"])]
        let row = try answer("What is the limit of the upload size?", hits)
        #expect(row.sentences.first?.text == "Upload size | 50 MB")
    }

    @Test func headingsAndTornSentencesAreNoAnswers() throws {
        let hits = [
            hit("Retention of invoices\n\nInvoices are kept for ten years.", headings: ["Retention of invoices"]),
            hit("for the retention of invoices. Nothing else is said.", document: "d2", start: 50),
        ]
        let kept = try answer("How long is the retention of invoices?", hits)
        #expect(kept.sentences.map(\.text) == ["Invoices are kept for ten years."])
    }

    @Test func theSameSentenceInTwoDocumentsIsOneSentenceWithTwoCitations() throws {
        let text = "Backups are stored in Kiel for 35 days."
        let twice = try answer(
            "Where are backups stored?", [hit(text), hit("Backup. \(text)", document: "d2", start: 9, score: 0.9)])
        #expect(twice.sentences.count == 1)
        #expect(twice.sentences[0].evidence.map(\.hit) == [0, 1])
    }

    @Test func overlappingPassagesGiveASentenceOnce() throws {
        let first = "The pilot starts in June. Backups are stored in Kiel."
        let overlap = try answer(
            "Where are backups stored?",
            [hit(first), hit("Backups are stored in Kiel. They are encrypted.", start: 26)])
        #expect(overlap.sentences.filter { $0.text == "Backups are stored in Kiel." }.count == 1)
        #expect(overlap.sentences[0].evidence.count == 1)
    }

    @Test func noMoreSentencesThanWanted() throws {
        let items = (1...30).map { "Requirement \($0) says that invoices are archived in way \($0)." }
        let few = try answer(
            "What do the requirements say about invoices?", [hit(items.joined(separator: "\n\n"))], sentencesMax: 2)
        #expect(few.sentences.count <= 2)
    }

    @Test func questionsWithoutContentOrPassagesDecline() throws {
        #expect(try answer("??", []).outcome == .abstained)
        #expect(try answer("Who is it?", [hit("It is Anna.")]).outcome == .abstained)
        #expect(try answer("Who is Anna?", []).outcome == .abstained)
        #expect(try answer("Who is Anna?", [hit("")]).outcome == .abstained)
    }

    @Test func theSameInputIsTheSameAnswer() throws {
        let corpus = try IndexedCorpus.project()
        for item in ProjectCorpus.answerable {
            let found = try corpus.search(AskRequest(question: item.question).search(limit: 24, perDocument: 5))
            let first = try answer(item.question, found.hits)
            #expect(try answer(item.question, found.hits) == first)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func quotesAreExactlyTheBytesOfTheirSpans(seed: UInt64) throws {
        print("seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let pieces = [
            "invoice", "Rechnung", "größe", "naïve", "Ω", "日本語。", "🧾", "👩‍👩‍👧", "e\u{301}", "ten years", "10", "U.S.",
            "v1.2.3",
            ". ", "! ", "? ", "\n", "\n\n", " | ", "- ", "# ", ": ", "\t", " ", " ", "\u{A0}", "…", "“quote”",
            "retention",
        ]
        for _ in 0..<200 {
            var hits: [Hit] = []
            for number in 0..<3 {
                let text = (0..<Int.random(in: 1...60, using: &generator))
                    .map { _ in pieces.randomElement(using: &generator) ?? "" }.joined(
                        separator: Bool.random(using: &generator) ? " " : "")
                hits.append(hit(text, document: "d\(number)", start: UInt64.random(in: 0...1000, using: &generator)))
            }
            for (index, hit) in hits.enumerated() {
                let bytes = Array(hit.text.utf8)
                for unit in UnitExtractor.units(of: hit, index: index) {
                    #expect(Array(unit.text.utf8) == Array(bytes[unit.local.range]))
                    #expect(!unit.text.isEmpty)
                }
            }
            for sentence in try answer("How long is the invoice retention in Rechnung größe?", hits).sentences {
                for evidence in sentence.evidence {
                    let bytes = Array(hits[evidence.hit].text.utf8)
                    #expect(Array(sentence.text.utf8) == Array(bytes[evidence.local.range]))
                }
            }
        }
    }

    @Test func operatorsInQuestionsArePunctuation() {
        let query = AskRequest(question: #"What is "legal hold" -really -"x"? A-B"#).search(limit: 5, perDocument: 2)
            .query
        #expect(query == "What is  legal hold   really   x ? A-B")
    }
}
