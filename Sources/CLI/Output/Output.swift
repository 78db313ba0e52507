internal import RPC

/// Prints a command's result in the form that was asked for.
struct Output: Sendable {
    let format: OutputFormat

    /// For people: a table or running text.
    var isText: Bool { format == .table || format == .wide }

    /// Prints one result.
    /// - Parameters:
    ///   - value: what `json` and `yaml` print.
    ///   - items: what `jsonl` prints, one a line; nil for the value itself.
    ///   - text: what `table` and `wide` print.
    func emit(
        _ value: () throws -> JSONValue, items: (() throws -> [JSONValue])? = nil, text: () -> String
    ) throws {
        switch format {
        case .table, .wide: StandardOutput.write(text())
        case .json: StandardOutput.write(try value().json(indent: 2) + "\n")
        case .yaml: StandardOutput.write(try value().yaml())
        case .jsonl:
            let lines = try items?() ?? [value()]
            StandardOutput.write(lines.map { $0.json(indent: nil) + "\n" }.joined())
        }
    }

    /// Prints a message.
    func emit(_ message: some WireMessage, items: (() throws -> [JSONValue])? = nil, text: () -> String) throws {
        try emit({ try JSONValue(message) }, items: items, text: text)
    }

    func render(_ table: Table) -> String {
        let cuts = format == .table && StandardOutput.isTerminal
        return table.render(columnsMax: cuts ? Terminal.columns(of: 1) : nil)
    }
}
