internal import Glibc
internal import Synchronization

/// Standard output: results and nothing else.
public enum StandardOutput {
    static let isTerminal = isatty(1) == 1
    /// Takes what a command of this task writes instead of descriptor 1.
    @TaskLocal static var sink: (@Sendable (String) -> Void)?

    /// Writes all of `text`. Ends the process when nobody reads it any more or it cannot be stored: a result cut short must not look complete.
    public static func write(_ text: String) {
        if let sink { return sink(text) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                let code = errno
                if code == EPIPE { _exit(ExitStatus.outputClosed) }
                Console.writeError("acp: error: the result could not be written: \(systemError(code)).\n")
                _exit(ExitStatus.failure)
            }
            bytes = bytes.dropFirst(count)
        }
    }
}

/// Standard error: messages for people.
public struct Console: Sendable {
    static let isTerminal = isatty(2) == 1
    private static let progressIsShown = Atomic<Bool>(false)
    /// Takes what a command of this task writes instead of descriptor 2.
    @TaskLocal static var sink: (@Sendable (String) -> Void)?

    /// Messages that are not errors are left out.
    public let isQuiet: Bool

    public init(isQuiet: Bool) { self.isQuiet = isQuiet }

    public func note(_ text: String) {
        if !isQuiet { Self.writeError(text + "\n") }
    }

    public func warning(_ text: String) {
        if !isQuiet { Self.writeError("acp: warning: \(text)\n") }
    }

    /// Replaces the line of progress; nothing unless standard error is a terminal.
    func progress(_ text: String) {
        guard Self.isTerminal, !isQuiet else { return }
        Self.progressIsShown.store(true, ordering: .relaxed)
        let columns = Terminal.columns(of: 2) - 1
        Self.writeRaw("\r\u{1B}[2K" + String(text.prefix(max(10, columns))))
    }

    func endProgress() {
        if Self.progressIsShown.exchange(false, ordering: .relaxed) { Self.writeRaw("\r\u{1B}[2K") }
    }

    /// As far as standard error takes it: nobody can be told when it does not.
    public static func writeError(_ text: String) {
        if progressIsShown.exchange(false, ordering: .relaxed) { writeRaw("\r\u{1B}[2K") }
        writeRaw(text)
    }

    private static func writeRaw(_ text: String) {
        if let sink { return sink(text) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }
}

enum Terminal {
    /// Colours and emphasis on standard output: only for a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb.
    static let styles: Bool = {
        guard StandardOutput.isTerminal else { return false }
        if let value = getenv("NO_COLOR"), value.pointee != 0 { return false }
        if let term = getenv("TERM"), strcmp(term, "dumb") == 0 { return false }
        return true
    }()

    static func bold(_ text: String) -> String { styles ? "\u{1B}[1m\(text)\u{1B}[22m" : text }
    static func dim(_ text: String) -> String { styles ? "\u{1B}[2m\(text)\u{1B}[22m" : text }

    /// Width of the terminal behind a descriptor; 80 when it does not say.
    static func columns(of descriptor: Int32) -> Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Text from a document on one line: nothing in it can move the cursor, hide or forge lines.
    static func oneLine(_ text: String) -> String {
        var line = ""
        line.unicodeScalars.reserveCapacity(text.utf8.count)
        var endsInSpace = true
        for scalar in text.unicodeScalars {
            if scalar.properties.isWhitespace {
                if !endsInSpace { line.unicodeScalars.append(" ") }
                endsInSpace = true
            } else {
                line.unicodeScalars.append(isHarmful(scalar) ? "\u{FFFD}" : scalar)
                endsInSpace = false
            }
        }
        if line.last == " " { line.removeLast() }
        return line
    }

    /// Text of several lines from elsewhere, its line breaks and indentation kept.
    static func lines(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\n" || !isHarmful($0) ? $0 : "\u{FFFD}" }))
    }

    /// C0 and C1 controls and direction marks.
    static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0...0x1F, 0x7F...0x9F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
