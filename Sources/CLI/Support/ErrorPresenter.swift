internal import ArgumentParser
public import Core
internal import Platform

/// Says what went wrong, where, and what to do next; and with which status the process ends.
public enum ErrorPresenter {
    /// Prints `error` on standard error, or a help page on standard output.
    /// - Returns: the exit status.
    static func present(_ error: any Error, root: any ParsableCommand.Type) -> Int32 {
        switch error {
        case let end as EndCommand: return end.status
        case let located as LocatedFailure:
            Console.writeError(text(located))
            return located.failure.code.exitStatus
        case let failure as Failure:
            Console.writeError(text(failure))
            return failure.code.exitStatus
        case let problem as UsageProblem:
            Console.writeError("acp: error: \(problem.message)\n")
            return ExitStatus.usage
        case is CancellationError:
            Console.writeError("acp: cancelled\n")
            return ExitStatus.cancelled
        default: return presentParserError(error, root: root)
        }
    }

    /// What the argument parser threw: a page that was asked for, or a complaint with the usage.
    private static func presentParserError(_ error: any Error, root: any ParsableCommand.Type) -> Int32 {
        let message = root.fullMessage(for: error)
        let code = root.exitCode(for: error)
        if code == .success {
            StandardOutput.write(message.hasSuffix("\n") ? message : message + "\n")
            return ExitStatus.success
        }
        if code == .validationFailure {
            let text = message.hasPrefix("Error: ") ? String(message.dropFirst(7)) : message
            Console.writeError("acp: error: \(text)\n")
            return ExitStatus.usage
        }
        // Nothing of ours throws other errors: its type is all that is known to be harmless.
        Console.writeError("acp: error: unexpected \(type(of: error))\n")
        return ExitStatus.failure
    }

    /// A failure for people, ending in a line break.
    public static func text(_ failure: Failure) -> String {
        text(LocatedFailure(failure: failure, requestID: "", traceID: "", service: ""))
    }

    static func text(_ located: LocatedFailure) -> String {
        let failure = located.failure
        var text = "acp: error: \(safe(failure.message))\n"
        // One field is what the message already says.
        if failure.fields.count > 1 {
            for field in failure.fields { text += "  - \(safe(field.description))\n" }
        }
        var place: [String] = []
        if !located.service.isEmpty {
            place = [located.service, "request \(located.requestID)", "trace \(located.traceID)"]
        }
        let code = failure.reason.isEmpty ? failure.code.name : "\(failure.code.name) \(failure.reason)"
        text += "  where: " + ([code] + place).joined(separator: ", ") + "\n"
        if let remedy = remedy(failure) { text += "  next:  \(safe(remedy))\n" }
        return text
    }

    private static func remedy(_ failure: Failure) -> String? {
        if !failure.remedy.isEmpty { return failure.remedy }
        if failure.retryAfterMs > 0 { return "Try again in \((failure.retryAfterMs + 999) / 1000) s." }
        switch failure.code {
        case .unauthenticated: return "Set ACP_API_KEY, or run `acp config set-service ingest --api-key-stdin`."
        case .unavailable: return "Run `acp status` to see what is running."
        case .deadlineExceeded: return "Allow more time with --timeout."
        default: return nil
        }
    }

    /// Messages may quote what a peer sent: no control characters reach the terminal.
    private static func safe(_ text: String) -> String { Terminal.oneLine(text) }
}
