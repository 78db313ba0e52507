internal import Core
internal import RPC

/// What did not become searchable, why, and what to do: below a table, whose columns have no room for sentences.
struct FailureList {
    private var text = ""
    private var count = 0

    /// - Parameter next: a command, or what to do before one; empty for none.
    mutating func add(_ reason: String, of origin: String, _ message: String, next: String) {
        count += 1
        text += "\(reason)  \(Terminal.oneLine(origin))\n"
        if !message.isEmpty { text += "    \(Terminal.oneLine(message))\n" }
        if !next.isEmpty { text += "    next: \(Terminal.oneLine(next))\n" }
    }

    mutating func add(_ document: Document) {
        guard document.state == .failed else { return }
        add(document.reason, of: document.origin, document.message, next: NextStep.repeating(document))
    }

    mutating func add(_ job: Job) {
        switch job.state {
        case .failed, .dead, .partial:
            add(job.reason, of: job.origin, job.message, next: "acp ingest status \(job.id)")
        default: break
        }
    }

    /// Empty when nothing failed.
    var rendered: String { count == 0 ? "" : "\n" + text }
}

/// How to go on after a document was not processed.
enum NextStep {
    /// The command that sends a document once more.
    static func repeating(_ document: Document) -> String {
        let place = document.collection == "default" ? "" : " --collection \(shellQuoted(document.collection))"
        if document.origin.hasPrefix("/") { return "acp ingest upload \(shellQuoted(document.origin))\(place)" }
        if document.origin.hasPrefix("paste:") { return "acp ingest paste -\(place)" }
        return "send it again as \(document.origin)"
    }

    /// After a job that ended.
    static func after(_ job: Job, _ document: Document?) -> String {
        guard let document else { return "" }
        return switch job.state {
        // The document is the reason: the same bytes would fail again.
        case .failed: "correct it, then \(repeating(document))"
        case .dead, .jobCancelled: repeating(document)
        default: ""
        }
    }
}

/// A word of a shell command, in quotes when it needs them.
func shellQuoted(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"),
            UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "-"):
            true
        default: false
        }
    }
    if plain, !word.isEmpty { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}
