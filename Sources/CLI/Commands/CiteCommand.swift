internal import ArgumentParser
internal import Core
internal import Crypto
internal import Glibc
internal import RPC

struct CiteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cite", abstract: "Work with citations.",
        discussion: """
            Example:
              acp ask "How long are backups kept?" -o json | acp cite verify -
            """,
        subcommands: [CiteVerify.self])
}

struct CiteVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Prove citations: fetch the text and compare every quote and hash here.",
        discussion: """
            Takes an answer as `acp ask -o json` prints it, a list of citations, or the id of an answer.
            Exit status: 0 all hold, 1 one does not hold, 3 something could not be checked.

            Example:
              acp ask "How long are backups kept?" -o json | acp cite verify -
            """)

    private static let fileBytesMax = 8 << 20

    @Argument(help: "A JSON file, the id of an answer, or - for standard input.")
    var source: String

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let source = self.source
        try await Session.run(options) { session in
            let claims = try await Self.claims(source, session)
            let checks = try await CitationChecker(client: session.ingest(), options: session.callOptions).check(claims)
            try Self.emit(checks, session.output)
            let failed = checks.count { $0.result == .invalid }
            let open = checks.count { $0.result == .notChecked }
            session.console.note("\(checks.count - failed - open) hold, \(failed) do not, \(open) could not be checked")
            if failed > 0 { throw EndCommand(ExitStatus.failure) }
            if open > 0 || checks.isEmpty { throw EndCommand(ExitStatus.notChecked) }
        }
    }

    /// The citations that `source` holds; an answer's sentence without any is a claim without proof.
    private static func claims(_ source: String, _ session: Session) async throws -> [CitationChecker.Claim] {
        if source != "-", UUIDv7(source) != nil, access(source, F_OK) != 0 {
            let request = GetAnswerRequest(id: source)
            return CitationChecker.claims(
                of: try await session.answers().getAnswer(request, options: session.callOptions))
        }
        switch readSmallFile(source, bytesMax: fileBytesMax) {
        case .failure(let error) where error.code == EFBIG:
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge, "\(source) is larger than \(fileBytesMax) bytes.")
        case .failure(let error): throw FileReader.unreadable(source, error.code)
        case .success(let bytes): return try parse(bytes)
        }
    }

    /// The forms are told apart by the names that they have.
    static func parse(_ bytes: [UInt8]) throws -> [CitationChecker.Claim] {
        let value = try JSONParser.parse(bytes)
        func decode<M: WireMessage>(_ value: JSONValue, as type: M.Type) throws -> M {
            try MessageJSON.decode(Array(value.json(indent: nil).utf8), as: type)
        }
        func citations(_ values: JSONValue) throws -> [CitationChecker.Claim] {
            try decode(.fields(("citations", values)), as: VerifyCitationsRequest.self).citations.map {
                .init(citation: $0, sentence: $0.quote)
            }
        }
        if case .array = value { return try citations(value) }
        if let answer = value["answer"] { return CitationChecker.claims(of: try decode(answer, as: Answer.self)) }
        if value["sentences"] != nil || value["outcome"] != nil {
            return CitationChecker.claims(of: try decode(value, as: Answer.self))
        }
        if let list = value["citations"] { return try citations(list) }
        if value["quote"] != nil { return try citations(.array([value])) }
        throw Failure(
            .invalidArgument, reason: "NO_CITATIONS", "The JSON is neither an answer nor a list of citations.",
            remedy: "Give what `acp ask -o json` printed.")
    }

    private static func emit(_ checks: [CitationChecker.Check], _ output: Output) throws {
        let rows = checks.map(\.json)
        try output.emit(
            {
                .fields(
                    ("allValid", .bool(!checks.isEmpty && checks.allSatisfy { $0.result == .valid })),
                    ("checks", .array(rows)))
            }, items: { rows }
        ) {
            var table = Table("RESULT", "DOCUMENT", "BYTES", "QUOTE")
            for check in checks {
                let citation = check.claim.citation
                table.add(
                    check.result.rawValue, citation?.documentID ?? "-",
                    citation.map { "\($0.start)..<\($0.end)" } ?? "-",
                    check.problem.isEmpty ? check.claim.sentence : "\(check.problem) «\(check.claim.sentence)»")
            }
            return output.render(table)
        }
    }
}
