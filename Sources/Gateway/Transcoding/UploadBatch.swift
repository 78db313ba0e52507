internal import Core
internal import NIOCore
internal import RPC

/// The files of one multipart body, one upload after the other.
final class UploadBatch {
    private static let fieldBytesMax = 65_536
    private static let fieldsMax = 256

    private struct Outcome {
        var file: String
        var result: Result<[UInt8], Failure>
    }

    private let upload: UploadMethod
    private let client: RPCClient
    private let options: CallOptions
    private let reader: MultipartReader
    private let fileBytesMax: Int
    private let filesMax: Int
    private var outcomes: [Outcome] = []
    /// Fields in force, and before which file each was given: a later field of the same name replaces it.
    private var fields: [(parameter: MessageBindings.Parameter, isJSON: Bool, files: Int)]

    init(
        _ upload: UploadMethod, _ client: RPCClient, _ options: CallOptions, _ reader: MultipartReader,
        _ query: [MessageBindings.Parameter], fileBytesMax: Int, filesMax: Int
    ) {
        self.upload = upload
        self.client = client
        self.options = options
        self.reader = reader
        self.fileBytesMax = fileBytesMax
        self.filesMax = filesMax
        fields = query.map { ($0, false, 0) }
    }

    /// Uploads every file. One file: its result, or its failure thrown. Several: an array with a result or a problem for each, and
    /// status 207 when there is a problem among them.
    func run(_ identity: RequestIdentity) async throws -> HTTPAnswer {
        while let part = try await reader.nextPart() {
            guard part.fileName != nil else {
                try await readField(part)
                continue
            }
            guard outcomes.count < filesMax else {
                throw HTTPRefusal(
                    status: 413, code: .resourceExhausted, reason: Failure.tooLarge,
                    "The form holds more than \(filesMax) files; those before were stored.", closes: true)
            }
            try await readFile(part)
        }
        switch outcomes.count {
        case 0:
            throw HTTPRefusal(
                status: 400, reason: "NO_FILE", "The form holds no file.",
                remedy: "Send a part with a file name, as `curl -F file=@document.pdf` does.")
        case 1: return .json(try outcomes[0].result.get())
        default: return several(identity)
        }
    }

    private func readField(_ part: MultipartParser.Part) async throws {
        var value: [UInt8] = []
        while let bytes = try await reader.nextData() {
            guard value.count + bytes.readableBytes <= Self.fieldBytesMax else {
                throw HTTPRefusal(
                    status: 413, code: .resourceExhausted, reason: Failure.tooLarge,
                    "The form field \(part.name) is larger than \(Self.fieldBytesMax) bytes.",
                    remedy: "A file needs a file name in its part.", closes: true)
            }
            value += bytes.readableBytesView
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            throw HTTPRefusal(status: 400, reason: "NOT_TEXT", "The form field \(part.name) is not UTF-8 text.")
        }
        fields.removeAll { $0.parameter.name == part.name && $0.files < outcomes.count }
        guard fields.count < Self.fieldsMax else {
            throw HTTPRefusal(
                status: 400, reason: "TOO_MANY_FIELDS", "The form has more than \(Self.fieldsMax) fields.")
        }
        fields.append((.init(part.name, text), part.contentType.hasPrefix("application/json"), outcomes.count))
    }

    private func readFile(_ part: MultipartParser.Part) async throws {
        let name = part.fileName ?? ""
        do {
            let start = try upload.startMessage(try description(part, name))
            var left = fileBytesMax
            let reply = try await upload.call(client, options, start) { [reader, fileBytesMax] in
                guard let bytes = try await reader.nextData() else { return nil }
                left -= bytes.readableBytes
                guard left >= 0 else { throw HTTPRefusal.tooLarge(fileBytesMax) }
                return bytes
            }
            let json = try await Transcoder.json(reply, upload.method.responseType, "")
            outcomes.append(Outcome(file: name, result: .success(json)))
        } catch {
            // When the body itself broke, there is nothing to go on with.
            if let broken = reader.failure { throw broken }
            let failure = (error as? HTTPRefusal)?.failure ?? Failure(wrapping: error)
            // What ails the caller or the service ails every file.
            if outcomes.isEmpty, [.unauthenticated, .permissionDenied, .unavailable, .cancelled].contains(failure.code)
            {
                throw error
            }
            outcomes.append(Outcome(file: name, result: .failure(failure)))
        }
        while try await reader.nextData() != nil {}
    }

    private func description(_ part: MultipartParser.Part, _ name: String) throws -> UploadMethod.Description {
        // An origin names one document: it must not silently cover the file after it.
        if !outcomes.isEmpty, fields.contains(where: { $0.parameter.name == "origin" && $0.files < outcomes.count }) {
            throw Failure.invalid(field: "origin", "it was given for the file before; give each file its own, or none")
        }
        var description = UploadMethod.Description(given: fields.filter { !$0.isJSON }.map(\.parameter))
        description.givenJSON = fields.filter(\.isJSON).map(\.parameter)
        description.mediaType = part.contentType
        description.fileName = name
        return description
    }

    private func several(_ identity: RequestIdentity) -> HTTPAnswer {
        var out: [UInt8] = []
        var status = 200
        for (index, outcome) in outcomes.enumerated() {
            out.append(contentsOf: index == 0 ? "[{\"file\":".utf8 : ",{\"file\":".utf8)
            JSONString.append(outcome.file, to: &out)
            switch outcome.result {
            case .success(let json):
                out.append(contentsOf: ",\"status\":200,\"result\":".utf8)
                out.append(contentsOf: json)
            case .failure(let failure):
                status = 207
                out.append(contentsOf: ",\"status\":\(failure.httpStatus),\"problem\":".utf8)
                out.append(contentsOf: Problem.json(failure, status: failure.httpStatus, identity))
            }
            out.append(UInt8(ascii: "}"))
        }
        out.append(UInt8(ascii: "]"))
        return .json(out, status: status)
    }
}

/// Pulls parts and their bytes out of a request's body.
final class MultipartReader {
    private let body: RequestBody
    private var parser: MultipartParser
    private var isInPart = false
    /// What broke the body; nothing can be read after it.
    private(set) var failure: (any Error)?

    init(_ body: RequestBody, boundary: String) {
        self.body = body
        parser = MultipartParser(boundary: boundary)
    }

    /// The next part; nil after the last. The bytes of the one before are skipped.
    func nextPart() async throws -> MultipartParser.Part? {
        while isInPart { _ = try await nextData() }
        guard case .part(let part)? = try await nextEvent() else { return nil }
        isInPart = true
        return part
    }

    /// The next bytes of the part; nil at its end.
    func nextData() async throws -> ByteBuffer? {
        guard isInPart else { return nil }
        guard case .data(let bytes)? = try await nextEvent() else {
            isInPart = false
            return nil
        }
        return bytes
    }

    private func nextEvent() async throws -> MultipartParser.Event? {
        if let failure { throw failure }
        do {
            while true {
                if let event = try parser.next() { return event }
                if parser.isFinished { return nil }
                guard let bytes = try await body.next(bytesMax: Limits.uploadMessageBytes) else {
                    throw MultipartParser.malformed("it ends before its last boundary")
                }
                parser.feed(bytes)
            }
        } catch {
            failure = error
            throw error
        }
    }
}
