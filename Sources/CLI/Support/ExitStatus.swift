internal import Core

/// How a command can end. Failures of services map through `StatusCode.exitStatus`; these are the others.
public enum ExitStatus {
    public static let success: Int32 = 0
    /// It failed, or it found what it was asked to look for.
    public static let failure: Int32 = 1
    public static let cancelled: Int32 = 2
    /// A check could not be made: neither good nor bad.
    public static let notChecked: Int32 = 3
    public static let unreachable: Int32 = 6
    /// The command line itself is wrong.
    public static let usage: Int32 = 64
    /// Ctrl-C.
    public static let interrupted: Int32 = 130
    /// Whoever read standard output has gone.
    public static let outputClosed: Int32 = 141
}

/// Ends a command that has said everything already with a status other than 0.
public struct EndCommand: Error {
    public let status: Int32

    public init(_ status: Int32) { self.status = status }
}

/// A command line that cannot be carried out as written; ends with 64.
public struct UsageProblem: Error {
    public let message: String

    public init(_ message: String) { self.message = message }
}

/// A failure with where it happened: what `ErrorPresenter` shows.
struct LocatedFailure: Error {
    var failure: Failure
    var requestID: String
    var traceID: String
    /// Service and address that the command was talking to; empty for none.
    var service: String
}
