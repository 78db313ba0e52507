internal import Core
internal import Glibc

extension Failure {
    /// The failure of a document that its parser understood well enough to refuse.
    static func refusedByParser(reason: String, message: String) -> Failure {
        switch reason {
        case "PDF_ENCRYPTED":
            Failure(
                .failedPrecondition, reason: reason, message, remedy: "Save it without a password and upload that.")
        case "PDF_DAMAGED":
            Failure(
                .invalidArgument, reason: reason, message,
                remedy: "Open it in a PDF viewer, print or save it as a new PDF, and upload that.")
        case "EMPTY_FILE":
            Failure(.invalidArgument, reason: reason, message, remedy: "Check the file and upload it again.")
        case Failure.tooLarge:
            Failure(.resourceExhausted, reason: reason, message, remedy: "Split the document and upload the parts.")
        default:
            Failure(.invalidArgument, reason: reason, message)
        }
    }

    static func parserTimeout(seconds: UInt32) -> Failure {
        Failure(
            .failedPrecondition, reason: "PARSER_TIMEOUT",
            "Reading the document took longer than the \(seconds) seconds it may take; it may be made to exhaust its readers.",
            remedy: "Save it anew from the program it was made with, or split it, and upload that.")
    }
}

extension ParserReport {
    /// Exit statuses of a parser that has not written a failure; see `Sources/Extract/Server/ForkServer.swift`.
    private static let sandboxRefused: Int32 = 71

    /// Returns when the parser ended well.
    /// - Throws: FAILED_PRECONDITION with reason PARSER_TIMEOUT, PARSER_MEMORY or PARSER_CRASHED; INTERNAL with SANDBOX_UNAVAILABLE.
    func check(memoryBytes: UInt64, cpuSeconds: UInt32) throws(Failure) {
        if exitStatus == 0 { return }
        if exitStatus == Self.sandboxRefused {
            throw Failure(
                .internalError, reason: "SANDBOX_UNAVAILABLE",
                "The parser process could not enter its sandbox, so it read nothing.",
                remedy: "Check that the kernel allows seccomp filters, and the limits of the service (ulimit -a).")
        }
        if signal == UInt32(SIGXCPU) || signal == UInt32(SIGKILL) && cpuMicroseconds >= UInt64(cpuSeconds) * 900_000 {
            throw .parserTimeout(seconds: cpuSeconds)
        }
        // A parser whose memory is refused ends in any of several ways; nearly all of it being used tells why.
        if signal == UInt32(SIGKILL) || memoryPeakBytes * 2 > memoryBytes {
            throw Failure(
                .failedPrecondition, reason: "PARSER_MEMORY",
                "Reading the document needs more memory than it may use (\(memoryBytes >> 20) MiB).",
                remedy: "Split the document and upload the parts.")
        }
        let how =
            signal == UInt32(SIGSYS)
            ? "tried what its sandbox forbids" : signal != 0 ? "crashed (signal \(signal))" : "gave up"
        throw Failure(
            .failedPrecondition, reason: "PARSER_CRASHED",
            "The parser \(how) while reading the document, which is damaged or made to attack its readers.",
            remedy: "Save it anew from the program it was made with, and upload that.")
    }
}
