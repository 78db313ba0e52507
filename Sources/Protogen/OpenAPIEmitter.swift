/// The OpenAPI 3.1 document of every method with a `google.api.http` rule.
struct OpenAPIEmitter {
    static let path = "Sources/Gateway/Resources/openapi.json"

    let schema: Schema
    let types: TypeNames
    let schemas: OpenAPISchemas

    init(_ schema: Schema, _ types: TypeNames) {
        self.schema = schema
        self.types = types
        schemas = OpenAPISchemas(schema, types)
    }

    func file() -> OutputFile { OutputFile(path: Self.path, text: document().pretty) }

    func document() -> JSON {
        let services = schema.services.filter { $0.methods.contains { !$0.httpRules.isEmpty } }
        return [
            "openapi": "3.1.0",
            "info": [
                "title": "Analyst Copilot", "version": "v1",
                "description":
                    "Generated from Protos by dev/generate-protos. JSON follows the proto3 mapping: 64-bit integers are strings, bytes are base64, enums are names. Unknown fields and parameters are refused.",
            ],
            "servers": [["url": "/"]],
            "security": [["apiKey": []]],
            "tags": .array(
                services.map {
                    (["name": .string($0.name)] as JSON).adding("description", .string($0.origin.comment))
                }),
            "paths": paths(services),
            "components": [
                "securitySchemes": [
                    "apiKey": ["type": "http", "scheme": "bearer", "description": "An API key."]
                ],
                "responses": [
                    "Problem": [
                        "description": "The call failed (RFC 9457).",
                        "content": ["application/problem+json": ["schema": Self.problem]],
                    ]
                ],
                "schemas": schemas.components(),
            ],
        ]
    }

    private static let problem: JSON = [
        "type": "object",
        "required": ["type", "title", "status", "code"],
        "properties": [
            "type": ["type": "string", "format": "uri-reference"],
            "title": ["type": "string"],
            "status": ["type": "integer"],
            "detail": ["type": "string", "description": "What happened, to what, and why."],
            "code": ["type": "string", "description": "Class of the failure, e.g. `INVALID_ARGUMENT`."],
            "reason": ["type": "string", "description": "Machine-readable cause within the code."],
            "remedy": ["type": "string", "description": "What to do next."],
            "requestId": ["type": "string"],
            "traceId": ["type": "string"],
            "retryAfterMs": ["type": "integer"],
            "fieldErrors": [
                "type": "array", "description": "Fields of the request that were refused.",
                "items": [
                    "type": "object",
                    "properties": ["field": ["type": "string"], "description": ["type": "string"]],
                ],
            ],
        ],
    ]

    private func paths(_ services: [Service]) -> JSON {
        var operations: [String: [JSON.Pair]] = [:]
        for service in services {
            for method in service.methods {
                for (index, rule) in method.httpRules.enumerated() {
                    let id = "\(service.name)_\(method.name)" + (index == 0 ? "" : "_\(index)")
                    operations[rule.template, default: []].append(
                        .init(key: rule.verb.lowercased(), value: operation(method, rule, id, tag: service.name)))
                }
            }
        }
        return .object(
            operations.sorted { $0.key < $1.key }.map { template, verbs in
                .init(key: template, value: .object(verbs.sorted { $0.key < $1.key }))
            })
    }

    private func operation(_ method: Method, _ rule: Method.HTTPRule, _ id: String, tag: String) -> JSON {
        let access = Method.Access(rawValue: method.policy?.access ?? 0) ?? .denied
        var json: JSON = [
            "tags": [.string(tag)], "operationId": .string(id), "summary": .string(Self.sentence(method.name)),
        ]
        json = json.adding("description", .string(method.origin.comment))
        json = json.adding("x-acp-access", .string(access == .open ? "public" : "\(access)"))
        // The one place where an empty list says something: no key is needed.
        if access == .open, case .object(let pairs) = json {
            json = .object(pairs + [.init(key: "security", value: [])])
        }
        let isUpload = method.policy?.uploadDataField.isEmpty == false && rule.body == "*"
        json = json.adding("parameters", .array(parameters(method, rule, isUpload: isUpload)))
        if isUpload {
            json = json.adding("requestBody", uploadBody(method))
        } else if !rule.body.isEmpty {
            json = json.adding("requestBody", body(method, rule))
        }
        return json.adding(
            "responses", ["200": response(method, rule), "default": ["$ref": "#/components/responses/Problem"]])
    }

    /// `GetAnswer` → `Get answer`.
    private static func sentence(_ name: String) -> String {
        var words: [String] = []
        for character in name {
            if character.isUppercase || words.isEmpty { words.append("") }
            words[words.count - 1].append(character)
        }
        // A word of one letter is `I`, and stays it.
        return words.enumerated().map { $0 == 0 || $1.count == 1 ? $1 : $1.lowercased() }.joined(separator: " ")
    }

    // MARK: Requests

    private func parameters(_ method: Method, _ rule: Method.HTTPRule, isUpload: Bool) -> [JSON] {
        let variables = PathTemplate(rule.template)?.variables ?? []
        var result: [JSON] = variables.map { variable in
            let field = FieldPath.find(variable.split(separator: ".").map(String.init), in: method.input, types)
            let json: JSON = ["name": .string(variable), "in": "path", "required": true]
            return json.adding("description", .string(field?.origin.comment ?? ""))
                .adding("schema", field.map { schemas.value($0) } ?? [:])
        }
        if isUpload {
            let start = uploadStart(method)
            result += start.map { queryParameters($0, prefix: "", proto: "", without: []) } ?? []
        } else if rule.body != "*", let request = types.message(method.input) {
            result += queryParameters(request, prefix: "", proto: "", without: Set(variables + [rule.body]))
        }
        return result
    }

    /// Fields of `message` as query parameters; those of nested messages have the names that lead to them, joined by points.
    private func queryParameters(_ message: Message, prefix: String, proto: String, without: Set<String>) -> [JSON] {
        message.fields.flatMap { field -> [JSON] in
            if without.contains(proto + field.name) { return [] }
            let name = prefix + field.jsonName
            var json: JSON = ["name": .string(name), "in": "query"]
            json = json.adding("description", .string(field.origin.comment))
            if let entry = types.mapEntry(field) {
                // A map of messages has no form as parameters.
                if case .message(let type) = entry.fields[1].kind, type != "google.protobuf.Timestamp" { return [] }
                // `filter[project]=apollo`
                return [
                    json.adding("style", "deepObject").adding("explode", true).adding("schema", schemas.value(field))
                ]
            }
            if case .message(let type) = field.kind, type != "google.protobuf.Timestamp" {
                // A list of messages has no form as parameters.
                guard !field.isRepeated, let nested = types.message(type) else { return [] }
                return queryParameters(
                    nested, prefix: name + ".", proto: proto + field.name + ".", without: without)
            }
            return [json.adding("schema", schemas.value(field))]
        }
    }

    private func uploadStart(_ method: Method) -> Message? {
        guard let policy = method.policy, let request = types.message(method.input),
            case .message(let type) = request.fields.first(where: { $0.name == policy.uploadStartField })?.kind
        else { return nil }
        return types.message(type)
    }

    /// Raw bytes with the description in the query, or a form with the description in parts before the file.
    private func uploadBody(_ method: Method) -> JSON {
        var parts: [JSON.Pair] = []
        if let start = uploadStart(method) {
            parts = start.fields.map { .init(key: $0.jsonName, value: schemas.property($0)) }
        }
        parts.append(.init(key: "file", value: ["type": "string", "contentMediaType": "application/octet-stream"]))
        return [
            "required": true,
            "content": [
                "application/octet-stream": ["schema": ["type": "string", "format": "binary"]],
                "multipart/form-data": [
                    "schema": ["type": "object", "required": ["file"], "properties": .object(parts)]
                ],
            ],
        ]
    }

    private func body(_ method: Method, _ rule: Method.HTTPRule) -> JSON {
        var content = schemas.reference(method.input)
        let variables = PathTemplate(rule.template)?.variables ?? []
        if rule.body != "*" {
            content = FieldPath.find([rule.body], in: method.input, types).map { schemas.property($0) } ?? content
        } else if !variables.isEmpty, let message = types.message(method.input) {
            content = schemas.object(message, without: Set(variables))
        }
        return ["required": true, "content": ["application/json": ["schema": content]]]
    }

    // MARK: Responses

    private func response(_ method: Method, _ rule: Method.HTTPRule) -> JSON {
        let message = schemas.reference(method.output)
        let whole: JSON.Pair = .init(key: "application/json", value: ["schema": message])
        var contents = [whole]
        if !rule.responseBody.isEmpty, let field = FieldPath.find([rule.responseBody], in: method.output, types) {
            contents = [.init(key: "application/json", value: ["schema": schemas.value(field)])]
        }
        guard method.serverStreaming else { return ["description": "OK", "content": .object(contents)] }
        // OpenAPI 3.1 cannot say "a sequence of": the schema is that of each message.
        var streams: [JSON.Pair] = [
            .init(key: "text/event-stream", value: ["schema": message]),
            .init(key: "application/x-ndjson", value: ["schema": message]),
        ]
        if !rule.responseBody.isEmpty { streams += contents }
        return [
            "description":
                "A stream: one event, or one line, for each message; the schema is that of one message.",
            "content": .object(streams),
        ]
    }
}
