internal import Core
internal import NIOCore
internal import RPC

/// A client-streaming upload over HTTP: raw body or multipart, streamed through as it arrives.
///
/// The start message is filled from query parameters and form fields. What HTTP itself tells fills the fields of these names when
/// the message has them and the client left them out: `media_type` (Content-Type), `size_bytes` (Content-Length), `origin` (file name).
struct UploadMethod: Sendable {
    let method: MethodDescriptor
    private let start: FieldEnvelope
    private let data: FieldEnvelope

    init(_ method: MethodDescriptor) throws {
        self.method = method
        start = try FieldEnvelope(type: method.requestType, field: method.uploadStartField)
        data = try FieldEnvelope(type: method.requestType, field: method.uploadDataField)
    }

    func handling(
        _ request: HTTPRequest, _ client: RPCClient, _ options: CallOptions, _ configuration: HTTPGateway.Configuration
    ) throws -> Handling {
        let contentType = try request.single("content-type") ?? ""
        guard let boundary = try MultipartParser.boundary(contentType) else {
            return try raw(request, contentType, client, options, configuration)
        }
        let query = request.target.parameters
        return .streamed(bytesMax: configuration.batchBytesMax) { exchange in
            let batch = UploadBatch(
                self, client, options, MultipartReader(exchange.body, boundary: boundary), query,
                fileBytesMax: configuration.uploadBytesMax, filesMax: configuration.batchFilesMax)
            exchange.answer(try await batch.run(exchange.identity))
        }
    }

    private func raw(
        _ request: HTTPRequest, _ contentType: String, _ client: RPCClient, _ options: CallOptions,
        _ configuration: HTTPGateway.Configuration
    ) throws -> Handling {
        var description = Description(given: request.target.parameters)
        description.mediaType = contentType
        if case .length(let length) = request.framing { description.sizeBytes = length }
        let start = try startMessage(description)
        return .streamed(bytesMax: configuration.uploadBytesMax) { exchange in
            let body = exchange.body
            let reply = try await call(client, options, start) {
                try await body.next(bytesMax: Limits.uploadMessageBytes)
            }
            exchange.answer(.json(try await Transcoder.json(reply, method.responseType, "")))
        }
    }

    /// What is known of a file.
    struct Description {
        var given: [MessageBindings.Parameter] = []
        /// Values that are JSON: maps and messages in form fields.
        var givenJSON: [MessageBindings.Parameter] = []
        var mediaType = ""
        var fileName = ""
        var sizeBytes = 0

        init(given: [MessageBindings.Parameter]) { self.given = given }
    }

    /// Types that say nothing, sent by tools that do not know better.
    private static let meaninglessTypes: Set<String> = [
        "", "application/octet-stream", "application/x-www-form-urlencoded",
    ]

    /// The packed first message of the stream.
    /// - Throws: `Failure` for fields that the start message does not have or take.
    func startMessage(_ description: Description) throws -> ByteBuffer {
        let mediaType = description.mediaType.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
        let known = [
            ("media_type", Self.meaninglessTypes.contains(mediaType) ? "" : mediaType),
            ("origin", description.fileName),
            ("size_bytes", description.sizeBytes > 0 ? String(description.sizeBytes) : ""),
        ]
        var bindings = MessageBindings(query: description.given)
        bindings.fields = description.givenJSON
        bindings.defaults = known.filter { !$0.1.isEmpty && MessageJSON.hasField($0.0, in: start.fieldType) }
            .map { MessageBindings.Parameter($0.0, $0.1) }
        return start.wrap(try MessageJSON.build(type: start.fieldType, bindings))
    }

    /// Makes the call: the start message, then everything `next` gives, each piece when the service has room for it.
    func call(
        _ client: RPCClient, _ options: CallOptions, _ start: ByteBuffer, _ next: () async throws -> ByteBuffer?
    ) async throws -> ByteBuffer {
        let reply: RawMessage = try await client.clientStreaming(method, options: options) {
            (writer: RequestWriter<RawMessage>) in
            try await writer.write(RawMessage(start))
            while let bytes = try await next() { try await writer.write(RawMessage(data.wrap(bytes))) }
        }
        return reply.bytes
    }
}
