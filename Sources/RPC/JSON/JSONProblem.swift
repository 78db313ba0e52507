internal import Core

/// Why JSON, or a parameter, cannot become a message; the place is added on the way out.
struct JSONProblem: Error {
    enum Kind {
        /// Not JSON at all.
        case syntax
        case unknownField
        /// A name, or two members of a oneof, given twice.
        case duplicateField
        case value
        case tooLarge
    }

    enum Step {
        case field(String)
        case index(Int)
    }

    let kind: Kind
    let message: String
    /// What would be accepted; empty when the message says it.
    var remedy = ""
    /// Innermost step first.
    private(set) var steps: [Step] = []

    init(_ kind: Kind, _ message: String, remedy: String = "") {
        self.kind = kind
        self.message = message
        self.remedy = remedy
    }

    func at(_ name: String) -> JSONProblem {
        var copy = self
        copy.steps.append(.field(name))
        return copy
    }

    func at(_ index: Int) -> JSONProblem {
        var copy = self
        copy.steps.append(.index(index))
        return copy
    }

    /// Path with proto names such as `citations[3].start`; empty for the message itself.
    var path: String {
        var text = ""
        for step in steps.reversed() {
            switch step {
            case .field(let name): text += text.isEmpty ? name : ".\(name)"
            case .index(let index): text += "[\(index)]"
            }
        }
        return text
    }

    /// The problem as everyone else knows it.
    func failure(_ what: String) -> Failure {
        let reason =
            switch kind {
            case .syntax: "MALFORMED_JSON"
            case .unknownField: "UNKNOWN_FIELD"
            case .duplicateField: "DUPLICATE_FIELD"
            case .value: "INVALID_VALUE"
            case .tooLarge: Failure.tooLarge
            }
        let path = self.path
        return Failure(
            kind == .tooLarge ? .resourceExhausted : .invalidArgument, reason: reason,
            path.isEmpty ? "\(what) was refused: \(message)." : "\(what) was refused: \(path): \(message).",
            remedy: remedy, fields: path.isEmpty ? [] : [.init(field: path, description: message)])
    }
}

/// Runs `body`, saying of a problem in it that it is inside `name`.
func within<T>(_ name: @autoclosure () -> String, _ body: () throws(JSONProblem) -> T) throws(JSONProblem) -> T {
    do throws(JSONProblem) { return try body() } catch { throw error.at(name()) }
}
