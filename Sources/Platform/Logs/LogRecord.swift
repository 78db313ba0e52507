internal import Core
internal import Logging

/// One log record as it is about to be written.
struct LogRecord {
    /// UTF-8 bytes of one text; longer ones are cut.
    static let textBytesMax = 8192
    /// UTF-8 bytes of the event fields of one record; the fields that do not fit are left out and counted in `fields_left_out`.
    static let fieldsBytesMax = 65_536
    private static let nestingMax = 8

    var time: WallTime
    var level: Logger.Level
    var service: String
    var context: CallContext?
    var message: String
    var metadata: Logger.Metadata
    var error: (any Error)?

    /// The names of the fixed fields, in their order. An event field of the same name is written with `_` behind it.
    static let fixedFields = [
        "timestamp", "level", "service", "request_id", "correlation_id", "user_id", "trace_id", "span_id", "message",
    ]

    /// One JSON object and a line break.
    func jsonLine() -> [UInt8] {
        var json = JSONText()
        json.object { json in
            json.field("timestamp", time.rfc3339)
            json.field("level", level.shown)
            json.field("service", service)
            json.field("request_id", context?.requestID ?? "")
            json.field("correlation_id", context?.correlationID ?? "")
            json.field("user_id", context?.principal?.id.description ?? "")
            json.field("trace_id", context?.trace.traceID ?? "")
            json.field("span_id", context?.trace.spanID ?? "")
            json.key("message")
            json.value(LogRedaction.withoutKeys(message), bytesMax: Self.textBytesMax)
            appendFields(to: &json)
        }
        return json.bytes + [UInt8(ascii: "\n")]
    }

    /// The same for people: time, level, service, message, then the fields as JSON.
    func textLine() -> [UInt8] {
        var fields = JSONText()
        fields.object { appendFields(to: &$0) }
        let shown = fields.count > 2 ? " " + fields.string : ""
        var quoted = JSONText()
        quoted.value(LogRedaction.withoutKeys(message), bytesMax: Self.textBytesMax)
        let level = level.shown + String(repeating: " ", count: 7 - level.shown.utf8.count)
        let request = context.map { " [\($0.requestID)]" } ?? ""
        return Array(
            "\(time.rfc3339) \(level) \(service)\(request) \(quoted.string.dropFirst().dropLast())\(shown)\n".utf8)
    }

    private func appendFields(to json: inout JSONText) {
        let limit = json.count + Self.fieldsBytesMax
        var leftOut = 0
        for (key, value) in allFields().sorted(by: { $0.key < $1.key }) {
            let name = Self.fixedFields.contains(key) ? key + "_" : key
            guard json.count < limit else {
                leftOut += 1
                continue
            }
            json.key(name.cut(utf8Max: 256))
            append(value, named: key, depth: 0, to: &json)
        }
        if leftOut > 0 {
            json.key("fields_left_out")
            json.value(leftOut)
        }
    }

    /// The metadata, and the error: a failure's own texts are for people, of any other error only its type is known to be harmless.
    private func allFields() -> Logger.Metadata {
        guard let error else { return metadata }
        var fields = metadata
        if let failure = error as? Failure {
            fields["error_code"] = .string(failure.code.name)
            fields["error_reason"] = .string(failure.reason)
            fields["error_message"] = .string(failure.message)
        } else {
            fields["error_type"] = .string(String(reflecting: type(of: error)))
        }
        return fields
    }

    private func append(_ value: Logger.MetadataValue, named name: String, depth: Int, to json: inout JSONText) {
        guard depth < Self.nestingMax else { return json.value("…") }
        switch value {
        case .string(let text): append(text, named: name, to: &json)
        case .stringConvertible(let convertible):
            switch convertible {
            case let number as Int: json.value(number)
            case let flag as Bool: json.value(flag)
            case let number as Double: json.value(number)
            case let number as any FixedWidthInteger:
                // JavaScript and jq read integers above 2^53 wrongly: those stay text.
                if let small = Int(exactly: number), small.magnitude <= 1 << 53 {
                    json.value(small)
                } else {
                    json.value(String(describing: convertible))
                }
            default: append(convertible.description, named: name, to: &json)
            }
        case .array(let values):
            json.array { json in
                for value in values { append(value, named: name, depth: depth + 1, to: &json) }
            }
        case .dictionary(let fields):
            json.object { json in
                for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
                    json.key(key)
                    append(
                        value, named: LogRedaction.isSecret(key: name) ? name : key, depth: depth + 1, to: &json)
                }
            }
        }
    }

    private func append(_ text: String, named name: String, to json: inout JSONText) {
        if LogRedaction.isSecret(key: name) {
            json.value(LogRedaction.mark)
        } else {
            json.value(LogRedaction.withoutKeys(text), bytesMax: Self.textBytesMax)
        }
    }
}

extension Logger.Level {
    /// One of the four levels that are written.
    var shown: String {
        switch self {
        case .trace, .debug: "DEBUG"
        case .info, .notice: "INFO"
        case .warning: "WARNING"
        case .error, .critical: "ERROR"
        }
    }
}
