/// What is checked in the text of every hand-written file.
enum StyleRules {
    /// Files stay readable in one sitting; the aim is 350.
    static let fileLinesMax = 400
    /// The aim is 70.
    static let functionLinesMax = 100

    /// Marks of unfinished work. Split, so that this file passes its own check.
    static let unfinished = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]
    /// What turns bad input or a slow peer into a crash or a stuck thread; with the reason.
    static let forbiddenInSources = [
        ("try" + "!", "an error must not crash the process"),
        ("as" + "!", "a wrong type must not crash the process"),
        ("fatal" + "Error(", "expected failures throw; impossible states are preconditionFailure"),
        ("Thread" + ".sleep", "it blocks a thread of the pool"),
        ("nonisolated" + "(unsafe) var", "shared state is a Mutex or an actor"),
    ]

    static func violations(in file: SourceFile) -> [String] {
        guard !file.isGenerated else { return [] }
        var found: [String] = []
        let count = file.lines.count - (file.lines.last?.isEmpty == true ? 1 : 0)
        if count > fileLinesMax { found.append("\(file.path): \(count) lines; at most \(fileLinesMax)") }
        for (index, line) in file.lines.enumerated() {
            let place = "\(file.path):\(index + 1)"
            for word in unfinished where contains(word: word, in: line) { found.append("\(place): \(word)") }
            guard file.module != nil else { continue }
            let code = withoutComment(line)
            for (text, reason) in forbiddenInSources where code.contains(text) {
                found.append("\(place): \(text): \(reason)")
            }
        }
        return found + longFunctions(in: file)
    }

    /// Functions and initializers end at the first brace in the column in which they begin: `swift format` sees to that.
    static func longFunctions(in file: SourceFile) -> [String] {
        file.codeLines.compactMap { number, line in
            let isOneLine = line.hasSuffix("}") && line.contains("{")
            guard isFunction(line), !isOneLine else { return nil }
            let indentation = line.prefix { $0 == " " }
            let body = file.lines[number...].prefix { $0.isEmpty || $0.hasPrefix(indentation) }
            guard let end = body.firstIndex(where: { $0 == indentation + "}" }) else { return nil }
            let length = end - number + 2
            return length > functionLinesMax
                ? "\(file.path):\(number): a function of \(length) lines; at most \(functionLinesMax)" : nil
        }
    }

    /// The line begins a function or an initializer, whatever attributes and modifiers stand before.
    private static func isFunction(_ line: Substring) -> Bool {
        for word in line.split(separator: " ") {
            if word == "func" || word.hasPrefix("init(") || word.hasPrefix("init?(") || word.hasPrefix("init<") {
                return true
            }
            guard word.hasPrefix("@") || word.allSatisfy({ $0.isLowercase || $0 == "(" || $0 == ")" }) else { break }
        }
        return false
    }

    private static func withoutComment(_ line: Substring) -> Substring {
        line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line
    }

    private static func contains(word: String, in line: Substring) -> Bool {
        line.ranges(of: word).contains { range in
            let before = range.lowerBound == line.startIndex ? nil : line[line.index(before: range.lowerBound)]
            let after = range.upperBound == line.endIndex ? nil : line[range.upperBound]
            return ![before, after].contains { $0?.isLetter == true || $0?.isNumber == true || $0 == "_" }
        }
    }
}
