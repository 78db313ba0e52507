internal import ArgumentParser
internal import Core
internal import RPC

struct AskCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Answer a question from the documents, with citations that can be checked.",
        discussion: """
            Sentences are taken verbatim from the documents. When nothing supports an answer, the outcome is ABSTAINED and the
            nearest passages are shown; the exit status is 0 all the same.

            Example:
              acp ask "How long are backups kept?"
            """)

    @Argument(help: "The question.")
    var question: String

    @Option(
        name: .long, help: ArgumentHelp("Only documents whose metadata has this pair; repeatable.", valueName: "k=v"))
    var filter: [KeyValue] = []

    @Option(name: .long, help: ArgumentHelp("Only this collection; repeatable.", valueName: "name"))
    var collection: [String] = []

    @Option(name: .long, help: "Most sentences, 1 to 20.")
    var sentences: UInt32 = 5

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        guard (1...20).contains(sentences) else {
            throw UsageProblem("--sentences takes 1 to 20, not \(sentences).")
        }
        let request = AskRequest(
            question: question, collections: collection, filter: KeyValue.dictionary(filter), sentencesMax: sentences)
        try await Session.run(options, isInterruptible: true) { session in
            try await Self.ask(request, session)
        }
    }

    private static func ask(_ request: AskRequest, _ session: Session) async throws {
        let output = session.output
        let events = try await session.answers().ask(request, options: session.callOptions)
        var printed = PrintedAnswer()
        var final: Answer?
        for try await event in events {
            if output.format == .jsonl { StandardOutput.write(try JSONValue(event).json(indent: nil) + "\n") }
            switch event.event {
            case .sentence(let sentence)?:
                if output.isText { StandardOutput.write(printed.sentence(sentence)) }
            case .answer(let answer)?: final = answer
            case .retrieval?, .passages?, nil: continue
            }
        }
        guard let answer = final else {
            throw Failure(
                .internalError, reason: "NO_ANSWER", "The agents service ended the call without an answer.",
                remedy: "Ask again; if it repeats, look up the request id in the service's log.")
        }
        if output.format != .jsonl {
            try output.emit(answer) { printed.rest(of: answer, isWide: output.format == .wide) }
        }
    }
}

/// An answer as people read it: sentences with markers, then what the markers stand for.
struct PrintedAnswer {
    private var citations: [Citation] = []
    private var sentences = 0

    /// One sentence with the numbers of its citations.
    mutating func sentence(_ sentence: AnswerSentence) -> String {
        sentences += 1
        var markers = ""
        for citation in sentence.citations {
            let known = citations.firstIndex {
                $0.revisionID == citation.revisionID && $0.start == citation.start && $0.end == citation.end
            }
            if known == nil { citations.append(citation) }
            markers += "[\((known ?? citations.count - 1) + 1)]"
        }
        return Terminal.oneLine(sentence.text) + (markers.isEmpty ? "\n" : " \(markers)\n")
    }

    /// What follows the sentences that were printed already.
    mutating func rest(of answer: Answer, isWide: Bool) -> String {
        var text = ""
        // A service that sends only the final answer loses nothing.
        for late in answer.sentences.dropFirst(sentences) { text += sentence(late) }
        switch answer.outcome {
        case .answered: break
        case .partiallyAnswered:
            text += "\nPARTIALLY ANSWERED. \(Terminal.oneLine(answer.explanation))\n"
        case .abstained:
            text += "ABSTAINED. \(Terminal.oneLine(answer.explanation))\n"
            if !answer.passages.isEmpty {
                text += "\nNearest passages:\n" + HitList.render(answer.passages, isWide: isWide)
            }
        case .unspecified, .unrecognized: text += "\nOutcome: \(answer.outcome.protoName)\n"
        }
        if !citations.isEmpty { text += "\n" }
        for (index, citation) in citations.enumerated() {
            text += "[\(index + 1)] \(HitList.place(citation.title, citation.headingPath, citation.page))\n"
            text +=
                Terminal.dim(
                    "    document \(citation.documentID), revision \(citation.revisionID), "
                        + "bytes \(citation.start)..<\(citation.end)") + "\n"
        }
        text +=
            Terminal.dim("\nanswer \(answer.id) by \(answer.answerer); check it: acp cite verify \(answer.id)") + "\n"
        return text
    }
}
