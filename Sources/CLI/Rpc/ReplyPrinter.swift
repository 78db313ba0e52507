internal import Core
internal import RPC

/// Writes messages of a type that is known at run time as JSON or YAML.
struct ReplyPrinter: Sendable {
    let pool: DescriptorPool
    let type: String
    let format: OutputFormat
    /// Several messages may come: without a format asked for, each is one line.
    let isStream: Bool
    let printsDefaults: Bool

    /// - Throws: `Failure` for bytes that are not the message.
    func text(_ message: RawMessage) throws -> String {
        let isLine = format == .jsonl || (isStream && format != .json)
        let options = MessageJSON.Options(indent: isLine || format == .yaml ? nil : 2, printsDefaults: printsDefaults)
        let json: [UInt8]
        do { json = try pool.json(message.bytes, type: type, options: options) } catch let failure as Failure {
            guard failure.code == .invalidArgument else { throw failure }
            // To the caller it is the server that is wrong.
            throw Failure(
                .internalError, reason: "BAD_REPLY", "The server's reply is not what it describes: \(failure.message)",
                remedy: "Tell whoever runs the server.")
        }
        guard format == .yaml else { return Self.harmless(json) + "\n" }
        let yaml = try JSONParser.parse(json).yaml()
        return isStream ? "---\n" + yaml : yaml
    }

    /// JSON in which no string can touch the terminal: what could is escaped. Outside of strings there is nothing but ASCII.
    static func harmless(_ json: [UInt8]) -> String {
        let text = String(decoding: json, as: UTF8.self)
        guard json.contains(where: { $0 >= 0x7F }) else { return text }
        var safe = ""
        safe.unicodeScalars.reserveCapacity(json.count)
        for scalar in text.unicodeScalars {
            guard scalar.value >= 0x7F, Terminal.isHarmful(scalar) else {
                safe.unicodeScalars.append(scalar)
                continue
            }
            let digits = String(scalar.value, radix: 16)
            safe += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
        }
        return safe
    }
}
