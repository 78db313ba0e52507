internal import Core
internal import RPC
internal import Storage
internal import Synchronization

/// Takes documents in: spools, checks, stores, acknowledges.
final class UploadService: Sendable {
    /// UTF-8 bytes of a pasted text.
    private static let pasteBytesMax = 4_000_000

    private let store: DocumentStore
    private let thread: WorkThread
    private let spoolDirectory: String
    private let bytesMax: Int
    private let uploadsMax: Int
    private let space: FreeSpace
    private let wake: WakeCoalescer
    private let uploads = Mutex(0)

    init(
        store: DocumentStore, thread: WorkThread, spoolDirectory: String, bytesMax: Int, uploadsMax: Int,
        space: FreeSpace, wake: WakeCoalescer
    ) {
        self.store = store
        self.thread = thread
        self.spoolDirectory = spoolDirectory
        self.bytesMax = bytesMax
        self.uploadsMax = uploadsMax
        self.space = space
        self.wake = wake
    }

    func upload(_ requests: RequestReader<UploadDocumentRequest>, idempotencyKey: String) async throws
        -> UploadDocumentResponse
    {
        try begin()
        defer { uploads.withLock { $0 -= 1 } }
        guard case .start(let start)? = try await requests.next()?.part else {
            throw Failure.invalid(field: "start", "must be the first message of the stream")
        }
        let description = try UploadDescription(start, bytesMax: bytesMax)
        try await space.checkUpload(of: description.sizeBytes ?? 0)
        var spool = UploadSpool(directory: spoolDirectory, thread: thread, bytesMax: bytesMax)
        var mediaType: MediaType?
        while let request = try await requests.next() {
            guard case .data(let data)? = request.part else {
                throw Failure.invalid(field: "data", "must be in every message after the first")
            }
            guard data.count <= Limits.uploadMessageBytes else {
                throw Failure.invalid(field: "data", "has more than \(Limits.uploadMessageBytes) bytes")
            }
            if let expected = description.sizeBytes, spool.size + data.count > expected {
                throw Self.sizeDiffers(expected)
            }
            try await spool.append(data)
            // As soon as enough is there: nobody should send 100 MB to learn that the type is not read.
            if mediaType == nil, spool.head.count >= MediaType.headBytesMax {
                mediaType = try Self.detect(spool.head, description)
            }
        }
        if let expected = description.sizeBytes, spool.size != expected {
            throw Self.truncated(received: spool.size, expected: expected)
        }
        let type = try mediaType ?? Self.detect(spool.head, description)
        let original = try await spool.finish()
        if let expected = description.sha256, original.sha256 != expected {
            throw Self.hashDiffers(expected, original.sha256)
        }
        return try await store(original, description, type, idempotencyKey)
    }

    func paste(_ request: PasteDocumentRequest, idempotencyKey: String) async throws -> UploadDocumentResponse {
        let bytes = Array(request.text.utf8)
        var check = FieldChecks()
        check.text("text", request.text, bytes: 1...min(Self.pasteBytesMax, bytesMax))
        check.require(
            "media_type",
            ["", MediaType.plainText.rawValue, MediaType.markdown.rawValue].contains(request.mediaType),
            "must be text/plain, text/markdown or empty")
        try check.finish()
        try begin()
        defer { uploads.withLock { $0 -= 1 } }
        try await space.checkUpload(of: bytes.count)
        let origin = request.origin.isEmpty ? "paste:" + hexString(ContentHash.of(bytes)) : request.origin
        let description = try UploadDescription(paste: request, origin: origin)
        var spool = UploadSpool(directory: spoolDirectory, thread: thread, bytesMax: bytesMax)
        try await spool.append(bytes)
        let type = try MediaType(rawValue: request.mediaType) ?? Self.detectPasted(spool.head)
        return try await store(try await spool.finish(), description, type, idempotencyKey)
    }

    private func store(
        _ original: SpooledOriginal, _ description: UploadDescription, _ type: MediaType, _ idempotencyKey: String
    ) async throws -> UploadDocumentResponse {
        let stored = try await store.store(
            original, description, mediaType: type, idempotencyKey: idempotencyKey)
        if stored.hasWork { wake.wake() }
        return UploadDocumentResponse(document: stored.document, job: stored.job, unchanged: stored.isUnchanged)
    }

    private func begin() throws {
        let isBusy = uploads.withLock { uploads in
            guard uploads < uploadsMax else { return true }
            uploads += 1
            return false
        }
        guard !isBusy else {
            throw Failure(
                .resourceExhausted, reason: "UPLOADS_BUSY",
                "The service receives as many uploads as it may at once (\(uploadsMax), ingest.uploads-max).",
                remedy: "Try again in a moment, with fewer at once.", retryAfterMs: 1000)
        }
    }

    // MARK: Refusals

    private static func detect(_ head: [UInt8], _ description: UploadDescription) throws -> MediaType {
        do {
            return try head.withUnsafeBytes { bytes in
                try MediaType.detect(bytes, fileName: description.origin, declared: description.mediaType)
            }
        } catch {
            var failure = Failure(wrapping: error)
            failure.message += " Nothing was stored of \"\(description.origin)\"."
            throw failure
        }
    }

    /// A pasted text has no name and is text by its nature: markup in it is for reading.
    private static func detectPasted(_ head: [UInt8]) throws -> MediaType {
        let type = try head.withUnsafeBytes { bytes in try MediaType.detect(bytes, fileName: "") }
        return type == .markdown ? .markdown : .plainText
    }

    private static func truncated(received: Int, expected: Int) -> Failure {
        Failure(
            .invalidArgument, reason: "UPLOAD_TRUNCATED",
            "The upload ended after \(received) of \(expected) bytes. Nothing was stored.",
            remedy: "Upload the document again.")
    }

    private static func sizeDiffers(_ expected: Int) -> Failure {
        Failure(
            .invalidArgument, reason: "SIZE_MISMATCH",
            "The upload has more than the \(expected) bytes it announced. Nothing was stored.",
            remedy: "The file may have changed while it was sent: upload it again.")
    }

    private static func hashDiffers(_ expected: [UInt8], _ received: [UInt8]) -> Failure {
        Failure(
            .invalidArgument, reason: "HASH_MISMATCH",
            "The bytes received have the SHA-256 \(hexString(received)), not \(hexString(expected)) as announced. Nothing was stored.",
            remedy: "The file may have changed while it was sent: upload it again.")
    }
}
