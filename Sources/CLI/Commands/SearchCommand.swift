internal import ArgumentParser
internal import Core
internal import RPC

struct SearchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search", abstract: "Find passages in the documents.",
        discussion: """
            "Words in quotes" are found as a phrase; -word leaves out passages with that word.

            Example:
              acp search "retention period" --limit 5
            """)

    @Argument(help: "What to look for.")
    var query: String

    @Option(
        name: .long, help: ArgumentHelp("Only documents whose metadata has this pair; repeatable.", valueName: "k=v"))
    var filter: [KeyValue] = []

    @Option(name: .long, help: ArgumentHelp("Only this collection; repeatable.", valueName: "name"))
    var collection: [String] = []

    @Option(name: .long, help: "Most passages, 1 to 100.")
    var limit: UInt32 = 10

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let request = SearchRequest(
            query: query, collections: collection, filter: KeyValue.dictionary(filter), limit: limit)
        guard (1...UInt32(Limits.hitsMax)).contains(limit) else {
            throw UsageProblem("--limit takes 1 to \(Limits.hitsMax), not \(limit).")
        }
        try await Session.run(options) { session in
            let response = try await session.search().search(request, options: session.callOptions)
            let output = session.output
            try output.emit(response, items: { try response.hits.map { try JSONValue($0) } }) {
                HitList.render(response.hits, isWide: output.format == .wide)
            }
            if response.hits.isEmpty { session.console.note("No passage matches.") }
            if !response.unmatchedTerms.isEmpty {
                let terms = response.unmatchedTerms.map(Terminal.oneLine).joined(separator: ", ")
                session.console.note("Found nowhere: \(terms)")
            }
        }
    }
}
