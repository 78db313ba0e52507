internal import Core

/// A path template of `google.api.http`: `/v1/jobs/{id}:watch`, `/v1/{name=shelves/*}`, `/v1/files/{path=**}`.
///
/// Matching works on the raw segments of a path; what variables bind is percent-decoded, so an encoded slash stays inside its segment.
struct PathTemplate: Sendable, Hashable {
    enum Segment: Sendable, Hashable {
        case literal(String)
        /// `*`: exactly one segment, not empty.
        case one
        /// `**`: the rest, also none.
        case rest
    }

    struct Variable: Sendable, Hashable {
        /// Path of the field in the request message.
        var field: String
        /// The segments it covers.
        var segments: Range<Int>
    }

    let segments: [Segment]
    let variables: [Variable]
    /// What follows the last `:`; empty for none.
    let verb: String

    /// - Throws: `Failure` INTERNAL for a template that is not one: the generator lets none through.
    init(_ text: String) throws {
        var parser = Parser(text: Array(text))
        try parser.template()
        segments = parser.segments
        variables = parser.variables
        verb = parser.verb
    }

    /// Whether a path can have any number of segments.
    var isOpenEnded: Bool { segments.last == .rest }

    /// Which of two templates that match the same path is meant: the one with a verb, then the one whose first difference is a literal.
    func isMoreSpecific(than other: PathTemplate) -> Bool {
        if verb.isEmpty != other.verb.isEmpty { return !verb.isEmpty }
        for (mine, theirs) in zip(segments, other.segments) where mine != theirs {
            if case .literal = mine { return true }
            if case .literal = theirs { return false }
            return mine == .one
        }
        return segments.count > other.segments.count
    }

    /// The raw values of the variables when the path matches: path segments, still encoded, without the leading slash.
    func match(_ path: [Substring]) -> [[Substring]]? {
        var path = path
        if !verb.isEmpty {
            guard let last = path.last, last.hasSuffix(":" + verb), last.utf8.count > verb.utf8.count + 1 else {
                return nil
            }
            path[path.count - 1] = last.dropLast(verb.count + 1)
        }
        guard isOpenEnded ? path.count >= segments.count - 1 : path.count == segments.count else { return nil }
        for (index, segment) in segments.enumerated() {
            switch segment {
            case .literal(let text): guard path[index] == text else { return nil }
            case .one: guard !path[index].isEmpty else { return nil }
            case .rest: break
            }
        }
        return variables.map { variable in
            let end =
                isOpenEnded && variable.segments.upperBound == segments.count
                ? path.count : variable.segments.upperBound
            return Array(path[variable.segments.lowerBound..<end])
        }
    }

    private struct Parser {
        let text: [Character]
        var position = 0
        var segments: [Segment] = []
        var variables: [Variable] = []
        var verb = ""

        var next: Character? { position < text.count ? text[position] : nil }

        func malformed(_ why: String) -> Failure {
            Failure(.internalError, reason: "BAD_TEMPLATE", "The path template \(String(text)) is malformed: \(why).")
        }

        mutating func take(_ character: Character) -> Bool {
            guard next == character else { return false }
            position += 1
            return true
        }

        mutating func template() throws {
            guard take("/") else { throw malformed("it does not start with a slash") }
            try list(inVariable: false)
            if take(":") {
                verb = word()
                guard !verb.isEmpty else { throw malformed("the verb is empty") }
            }
            guard position == text.count else { throw malformed("something follows its end") }
            if let rest = segments.firstIndex(of: .rest), rest != segments.count - 1 {
                throw malformed("** stands before the end")
            }
        }

        mutating func list(inVariable: Bool) throws {
            repeat {
                if take("*") {
                    segments.append(take("*") ? .rest : .one)
                } else if !inVariable, take("{") {
                    try variable()
                } else {
                    let literal = word()
                    guard !literal.isEmpty else { throw malformed("a segment is empty") }
                    segments.append(.literal(literal))
                }
            } while take("/")
        }

        mutating func variable() throws {
            let field = word()
            guard !field.isEmpty else { throw malformed("a variable has no name") }
            let start = segments.count
            if take("=") { try list(inVariable: true) } else { segments.append(.one) }
            guard take("}") else { throw malformed("a variable has no end") }
            variables.append(Variable(field: field, segments: start..<segments.count))
        }

        mutating func word() -> String {
            let start = position
            while let character = next, !"/{}=*:".contains(character) { position += 1 }
            return String(text[start..<position])
        }
    }
}
