internal import CACPProtos
internal import CProtobufC

/// The method options `acp.v1.policy` and `google.api.http`. They are extensions, which protobuf-c leaves among the unknown fields.
enum MethodOptions {
    /// Field numbers in google.protobuf.MethodOptions, from acp/v1/options.proto and google/api/annotations.proto.
    private static let policyTag: UInt32 = 50001
    private static let httpTag: UInt32 = 72_295_728

    static func policy(_ options: UnsafeMutablePointer<ProtobufCMessage>?, _ origin: Origin) throws -> Method.Policy? {
        guard let bytes = extensionBytes(policyTag, in: options) else { return nil }
        guard let policy = acp__v1__method_policy__unpack(nil, bytes.count, bytes) else {
            throw malformed("acp.v1.policy", origin)
        }
        defer { acp__v1__method_policy__free_unpacked(policy, nil) }
        return Method.Policy(
            access: Int32(truncatingIfNeeded: policy.pointee.access.rawValue),
            idempotent: policy.pointee.idempotent != 0,
            uploadStartField: String(cString: policy.pointee.upload_start_field),
            uploadDataField: String(cString: policy.pointee.upload_data_field))
    }

    static func httpRules(
        _ options: UnsafeMutablePointer<ProtobufCMessage>?, _ origin: Origin
    ) throws -> [Method.HTTPRule] {
        guard let bytes = extensionBytes(httpTag, in: options) else { return [] }
        guard let rule = google__api__http_rule__unpack(nil, bytes.count, bytes) else {
            throw malformed("google.api.http", origin)
        }
        defer { google__api__http_rule__free_unpacked(rule, nil) }
        var rules = [try httpRule(rule, origin)]
        for index in 0..<rule.pointee.n_additional_bindings {
            if let more = rule.pointee.additional_bindings[index] { rules.append(try httpRule(more, origin)) }
        }
        return rules
    }

    private static func httpRule(
        _ rule: UnsafeMutablePointer<Google__Api__HttpRule>, _ origin: Origin
    ) throws -> Method.HTTPRule {
        let pattern: (String, UnsafeMutablePointer<CChar>?)? =
            switch rule.pointee.pattern_case {
            case GOOGLE__API__HTTP_RULE__PATTERN_GET: ("GET", rule.pointee.get)
            case GOOGLE__API__HTTP_RULE__PATTERN_PUT: ("PUT", rule.pointee.put)
            case GOOGLE__API__HTTP_RULE__PATTERN_POST: ("POST", rule.pointee.post)
            case GOOGLE__API__HTTP_RULE__PATTERN_DELETE: ("DELETE", rule.pointee.delete_)
            case GOOGLE__API__HTTP_RULE__PATTERN_PATCH: ("PATCH", rule.pointee.patch)
            default: nil
            }
        guard let (verb, template) = pattern, let template else {
            throw Diagnostics(all: [
                Diagnostic(origin: origin, message: "google.api.http needs one of get, put, post, delete, patch")
            ])
        }
        return Method.HTTPRule(
            verb: verb, template: String(cString: template), body: String(cString: rule.pointee.body),
            responseBody: String(cString: rule.pointee.response_body))
    }

    /// The contents of the length-delimited unknown field `tag`. Occurrences are concatenated, which is how protobuf merges messages.
    private static func extensionBytes(_ tag: UInt32, in options: UnsafeMutablePointer<ProtobufCMessage>?) -> [UInt8]? {
        guard let options else { return nil }
        var found: [UInt8]?
        for index in 0..<Int(options.pointee.n_unknown_fields) {
            let field = options.pointee.unknown_fields[index]
            guard field.tag == tag, field.wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED else { continue }
            let data = UnsafeBufferPointer(start: field.data, count: field.len)
            // protobuf-c keeps the length prefix in the data.
            let prefix = data.prefix { $0 & 0x80 != 0 }.count + 1
            found = (found ?? []) + data.dropFirst(prefix)
        }
        return found
    }

    private static func malformed(_ option: String, _ origin: Origin) -> Diagnostics {
        Diagnostics(all: [Diagnostic(origin: origin, message: "the option \(option) cannot be read")])
    }
}
