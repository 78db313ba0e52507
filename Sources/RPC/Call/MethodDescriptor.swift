public import Core

/// What is known of a method from its proto file: route, kind, rights and HTTP bindings.
public struct MethodDescriptor: Sendable, Hashable {
    /// Who may call.
    public enum Access: Sendable, Hashable {
        /// Nobody: the policy is missing.
        case denied
        /// Anyone who can connect.
        case open
        /// Principals of at least this role.
        case role(Role)
    }

    /// One `google.api.http` binding.
    public struct HTTPRule: Sendable, Hashable {
        /// `GET`, `POST`, …
        public var verb: String
        /// Path template, e.g. `/v1/jobs/{id}:watch`.
        public var template: String
        /// Field that the request body fills: `*` for the whole message, empty for none.
        public var body: String
        /// Field of the response that becomes the body; empty for the whole message.
        public var responseBody: String

        public init(verb: String, template: String, body: String, responseBody: String) {
            self.verb = verb
            self.template = template
            self.body = body
            self.responseBody = responseBody
        }
    }

    /// `/package.Service/Method`, as on the wire.
    public var path: String
    /// `package.Service`.
    public var service: String
    public var name: String
    public var requestType: String
    public var responseType: String
    public var clientStreaming: Bool
    public var serverStreaming: Bool
    public var access: Access
    /// Calling twice has the effect of calling once.
    public var idempotent: Bool
    /// For uploads: field of the first message, and field of the messages with bytes. Empty otherwise.
    public var uploadStartField: String
    public var uploadDataField: String
    public var httpRules: [HTTPRule]

    public init(
        path: String, service: String, name: String, requestType: String, responseType: String,
        clientStreaming: Bool, serverStreaming: Bool, access: Access, idempotent: Bool,
        uploadStartField: String, uploadDataField: String, httpRules: [HTTPRule]
    ) {
        self.path = path
        self.service = service
        self.name = name
        self.requestType = requestType
        self.responseType = responseType
        self.clientStreaming = clientStreaming
        self.serverStreaming = serverStreaming
        self.access = access
        self.idempotent = idempotent
        self.uploadStartField = uploadStartField
        self.uploadDataField = uploadDataField
        self.httpRules = httpRules
    }
}
