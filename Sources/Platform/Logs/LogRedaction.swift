/// Keeps credentials out of logs: by the name of a field, and by the shape of our own API keys inside text.
enum LogRedaction {
    static let mark = "***"

    private static let words = [
        "authorization", "api_key", "apikey", "password", "passwd", "token", "secret", "credential", "cookie",
    ]

    /// The field's name says that its text is a credential. Numbers are never credentials, so that a fencing token stays readable.
    static func isSecret(key: String) -> Bool {
        let name = key.lowercased().replacing("-", with: "_")
        return words.contains { name.contains($0) }
    }

    /// The text with API keys (`acp_`, then words that include a run of 30 letters and digits or more) replaced by `acp_***`.
    static func withoutKeys(_ text: String) -> String {
        guard text.utf8.count >= 34, text.contains("acp_") else { return text }
        var result = ""
        var rest = Substring(text)
        while let start = rest.firstRange(of: "acp_") {
            let run = rest[start.upperBound...].prefix {
                $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")
            }
            result += rest[..<start.upperBound]
            let isKey = run.split(separator: "_").contains { $0.utf8.count >= 30 }
            result += isKey ? mark : String(run)
            rest = rest[run.endIndex...]
        }
        return result + rest
    }
}
