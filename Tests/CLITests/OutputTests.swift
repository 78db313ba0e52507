import RPC
import Testing

@testable import CLI

@Suite struct OutputTests {
    @Test func tablesAlignTheirColumns() {
        var table = Table("NAME", "VALUE")
        table.add("a", "1")
        table.add("longer", "2")
        #expect(table.render(columnsMax: nil) == "NAME    VALUE\na       1\nlonger  2\n")
    }

    @Test func wideCharactersTakeTwoColumns() {
        #expect(Table.width("日本") == 4)
        #expect(Table.width("e\u{301}") == 1)
        #expect(Table.cut("日本語テキスト", to: 6) == "日本…")
    }

    @Test func textFromDocumentsCannotTouchTheTerminal() {
        #expect(Terminal.oneLine("a\u{1B}[31mred\r\n\tnext  line\u{202E}") == "a\u{FFFD}[31mred next line\u{FFFD}")
    }

    @Test func jsonKeepsOrderAndEscapes() throws {
        let value = JSONValue.fields(
            ("b", .string("line\nquote\" \u{7}")), ("a", .array([.integer(1), .null, .bool(true)])))
        #expect(value.json(indent: nil) == #"{"b":"line\nquote\" \u0007","a":[1,null,true]}"#)
        #expect(try JSONParser.parse(Array(value.json(indent: 2).utf8)) == value)
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\" 1}", "\"\\x\"", "tru", "1 2", "\"\\ud800\"", "\"a\nb\"",
        String(repeating: "[", count: 200),
        "NaN", "\"\\u12\"",
    ])
    func malformedJSONIsRefused(_ text: String) {
        #expect(throws: (any Error).self) { try JSONParser.parse(Array(text.utf8)) }
    }

    @Test func jsonReadsSurrogatePairs() throws {
        #expect(try JSONParser.parse(Array(#""\ud83d\ude00 é""#.utf8)) == .string("😀 é"))
    }

    @Test func yamlIsBlockStyleAndQuotesWhatIsAmbiguous() {
        let value = JSONValue.fields(
            ("name", .string("plain text")), ("flag", .string("true")), ("empty", .array([])),
            ("rows", .array([.fields(("id", .string("a-1")), ("count", .integer(2))), .string("x: y")])))
        #expect(
            value.yaml() == """
                name: plain text
                flag: "true"
                empty: []
                rows:
                  - id: a-1
                    count: 2
                  - "x: y"

                """)
    }

    @Test func messagesBecomeJSONWithDefaults() throws {
        let json = try JSONValue(GetStatusResponse(documents: 3)).json(indent: nil)
        #expect(json.contains(#""documents":"3""#))
        #expect(json.contains(#""jobsQueued":"0""#))
    }

    @Test func scoresHaveThreeDigits() {
        #expect(HitList.score(0.0625) == " 0.063")
        #expect(HitList.score(12) == "12.000")
        #expect(HitList.score(-1) == " 0.000")
    }

    @Test func placesLeaveOutWhatIsEmpty() {
        #expect(HitList.place("Title", ["Title", "Part"], 3) == "Title › Part, page 3")
        #expect(HitList.place("Title", [], 0) == "Title")
    }

    @Test func answersNumberTheirCitationsOnce() {
        let citation = Citation(documentID: "d", revisionID: "r", start: 1, end: 9, title: "Policy")
        var printed = PrintedAnswer()
        #expect(printed.sentence(AnswerSentence(text: "One.", citations: [citation])) == "One. [1]\n")
        let answer = Answer(
            id: "x", outcome: .answered,
            sentences: [
                AnswerSentence(text: "One.", citations: [citation]),
                AnswerSentence(text: "Two.", citations: [citation]),
            ], answerer: "extractive/1")
        let rest = printed.rest(of: answer, isWide: false)
        #expect(rest.hasPrefix("Two. [1]\n\n[1] Policy\n"))
        #expect(rest.contains("bytes 1..<9"))
    }

    @Test func abstainedAnswersSaySo() {
        var printed = PrintedAnswer()
        let answer = Answer(
            outcome: .abstained, passages: [Hit(score: 0.5, title: "Near", text: "text")], explanation: "Nothing.")
        let text = printed.rest(of: answer, isWide: false)
        #expect(text.hasPrefix("ABSTAINED. Nothing.\n"))
        #expect(text.contains("Nearest passages"))
    }
}
