internal import Core
internal import Glibc

enum StandardInput {
    static let isTerminal = isatty(0) == 1
    private static let secretBytesMax = 65_536

    /// All of standard input as text.
    /// - Throws: `Failure` when it is larger than `bytesMax` or not UTF-8.
    static func text(bytesMax: Int, what: String) throws -> String {
        switch readSmallFile("-", bytesMax: bytesMax) {
        case .failure(let error) where error.code == EFBIG:
            throw Failure(
                .resourceExhausted, reason: Failure.tooLarge,
                "\(what) on standard input is larger than \(bytesMax) bytes.")
        case .failure(let error):
            throw Failure(.internalError, "Standard input could not be read: \(systemError(error.code)).")
        case .success(let bytes):
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw Failure(.invalidArgument, "\(what) on standard input is not UTF-8 text.")
            }
            return text
        }
    }

    /// A secret: one line of standard input, without its line break. On a terminal it is asked for and not shown.
    static func secret(_ name: String) throws -> String {
        var text = Substring(
            try isTerminal ? typed(name) : text(bytesMax: secretBytesMax, what: "The secret"))
        while text.last?.isNewline == true { text.removeLast() }
        guard !text.isEmpty, !text.contains(where: \.isNewline) else {
            throw Failure.invalid(field: "standard input", "one line with the secret was expected.")
        }
        return String(text)
    }

    /// What is typed up to the end of the line, key by key: while nothing is shown, Ctrl-C must not end the process and leave the
    /// terminal as it is.
    /// - Throws: `EndCommand` 130 for Ctrl-C.
    private static func typed(_ name: String) throws -> String {
        var before = termios()
        tcgetattr(0, &before)
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO | ICANON | ISIG)
        tcsetattr(0, TCSAFLUSH, &silent)
        // Asked only now: what is typed from here on is not shown.
        Console.writeError("\(name): ")
        defer {
            tcsetattr(0, TCSAFLUSH, &before)
            Console.writeError("\n")
        }
        var bytes: [UInt8] = []
        while bytes.count < secretBytesMax {
            var byte: UInt8 = 0
            let count = read(0, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else { break }
            switch byte {
            case 0x03: throw EndCommand(ExitStatus.interrupted)
            case 0x04, 0x0A, 0x0D: return String(decoding: bytes, as: UTF8.self)
            case 0x08, 0x7F: if !bytes.isEmpty { bytes.removeLast() }
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
