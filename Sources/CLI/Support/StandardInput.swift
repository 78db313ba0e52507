internal import Core
internal import Glibc

enum StandardInput {
    static let isTerminal = isatty(0) == 1

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

    /// A secret: one line of standard input, without its line break.
    static func secret() throws -> String {
        var text = Substring(try text(bytesMax: 65_536, what: "The secret"))
        while text.last?.isNewline == true { text.removeLast() }
        guard !text.isEmpty, !text.contains(where: \.isNewline) else {
            throw Failure.invalid(field: "standard input", "one line with the secret was expected.")
        }
        return String(text)
    }
}
