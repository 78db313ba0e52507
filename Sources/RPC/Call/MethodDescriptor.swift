public import Core

/// What is known of a method from its proto file: route, kind, rights and HTTP bindings.
///
/// One reference: descriptors are passed with every call.
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

    private let storage: Storage

    /// `/package.Service/Method`, as on the wire.
    public var path: String { storage.path }
    /// `package.Service`.
    public var service: String { storage.service }
    public var name: String { storage.name }
    public var requestType: String { storage.requestType }
    public var responseType: String { storage.responseType }
    public var clientStreaming: Bool { storage.clientStreaming }
    public var serverStreaming: Bool { storage.serverStreaming }
    public var access: Access { storage.access }
    /// Calling twice has the effect of calling once.
    public var idempotent: Bool { storage.idempotent }
    /// For uploads: field of the first message, and field of the messages with bytes. Empty otherwise.
    public var uploadStartField: String { storage.uploadStartField }
    public var uploadDataField: String { storage.uploadDataField }
    public var httpRules: [HTTPRule] { storage.httpRules }

    /// The path as bytes: what REQUEST frames carry.
    var pathBytes: [UInt8] { storage.pathBytes }

    public init(
        path: String, service: String, name: String, requestType: String, responseType: String,
        clientStreaming: Bool, serverStreaming: Bool, access: Access, idempotent: Bool,
        uploadStartField: String, uploadDataField: String, httpRules: [HTTPRule]
    ) {
        storage = Storage(
            path: path, service: service, name: name, requestType: requestType, responseType: responseType,
            clientStreaming: clientStreaming, serverStreaming: serverStreaming, access: access,
            idempotent: idempotent, uploadStartField: uploadStartField, uploadDataField: uploadDataField,
            httpRules: httpRules)
    }

    public static func == (lhs: MethodDescriptor, rhs: MethodDescriptor) -> Bool {
        lhs.storage === rhs.storage || lhs.storage.isEqual(to: rhs.storage)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(path) }

    private final class Storage: Sendable {
        let path: String
        let pathBytes: [UInt8]
        let service: String
        let name: String
        let requestType: String
        let responseType: String
        let clientStreaming: Bool
        let serverStreaming: Bool
        let access: Access
        let idempotent: Bool
        let uploadStartField: String
        let uploadDataField: String
        let httpRules: [HTTPRule]

        init(
            path: String, service: String, name: String, requestType: String, responseType: String,
            clientStreaming: Bool, serverStreaming: Bool, access: Access, idempotent: Bool,
            uploadStartField: String, uploadDataField: String, httpRules: [HTTPRule]
        ) {
            self.path = path
            pathBytes = Array(path.utf8)
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

        func isEqual(to other: Storage) -> Bool {
            path == other.path && service == other.service && name == other.name
                && requestType == other.requestType && responseType == other.responseType
                && clientStreaming == other.clientStreaming && serverStreaming == other.serverStreaming
                && access == other.access && idempotent == other.idempotent
                && uploadStartField == other.uploadStartField && uploadDataField == other.uploadDataField
                && httpRules == other.httpRules
        }
    }
}
