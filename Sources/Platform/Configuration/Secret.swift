public import Core

/// A credential by value or by reference. Printing, interpolating or reflecting it shows `***`.
public struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let text: String

    /// Largest secret read from a file, in bytes.
    public static let fileBytesMax = 65_536

    /// - Parameter text: the secret itself, or `env:NAME` or `file:/path`.
    public init(_ text: String) { self.text = text }

    public var description: String { "***" }
    public var debugDescription: String { "***" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// The secret is kept elsewhere and only named here.
    public var isReference: Bool { Self.isReference(text) }

    /// How `config show` prints it: references as they are, secrets as `***`.
    public var shown: String { isReference ? text : "***" }

    /// The secret itself; a reference is followed, and a final line break of its file removed.
    /// - Throws: `Failure` FAILED_PRECONDITION when the reference leads nowhere.
    public func reveal(environment: [String: String] = ProcessEnvironment.current) throws(Failure) -> String {
        try Self.follow(text, environment: environment)
    }

    static func isReference(_ text: String) -> Bool { text.hasPrefix("env:") || text.hasPrefix("file:") }

    static func follow(_ text: String, environment: [String: String]) throws(Failure) -> String {
        if text.hasPrefix("env:") {
            let name = String(text.dropFirst(4))
            guard let value = environment[name], !value.isEmpty else {
                throw Failure(
                    .failedPrecondition, reason: "SECRET_MISSING",
                    "The secret is taken from the environment variable \(name), which is not set.",
                    remedy: "Set \(name), or change the setting.")
            }
            return value
        }
        guard text.hasPrefix("file:") else { return text }
        let path = String(text.dropFirst(5))
        let value = try PlatformFile.readText(path, bytesMax: fileBytesMax)
        var trimmed = Substring(value)
        while trimmed.last?.isNewline == true { trimmed.removeLast() }
        guard !trimmed.isEmpty else {
            throw Failure(
                .failedPrecondition, reason: "SECRET_MISSING", "The secret file \(path) is empty.",
                remedy: "Write the secret into it, or change the setting.")
        }
        return String(trimmed)
    }
}
