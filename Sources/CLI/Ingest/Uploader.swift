internal import Core
internal import RPC

/// Sends files, several at a time on one connection.
struct Uploader: Sendable {
    /// Data in one message: with its envelope it still fits one frame of 64 KiB.
    static let messageBytes = 64_512
    static let inFlightMax = 16
    /// Times that one file is sent when the service becomes unavailable in between.
    private static let attemptsMax = 4

    let client: IngestClient
    let reader: FileReader
    let collection: String
    let metadata: [String: String]
    let bytesMax: Int
    let timeout: Duration
    let busy: BusyRetry

    /// Uploads `files` and returns one result each, in their order.
    ///
    /// What concerns one file is that file's result. What concerns all of them (no key, no service) ends the upload:
    /// files that were not sent say so, and `stopped` says why.
    func upload(
        _ files: [FileTree.File], progress: UploadProgress
    ) async -> (results: [FileResult], stopped: Failure?) {
        var results = files.map { FileResult(path: $0.path, outcome: .notSent) }
        var stopped: Failure?
        await withTaskGroup(of: (Int, Result<UploadDocumentResponse, Failure>).self) { group in
            var next = 0
            func start() {
                guard next < files.count, stopped == nil, !Task.isCancelled else { return }
                let index = next
                next += 1
                group.addTask { (index, await send(files[index]) { progress.sent($0, of: index) }) }
            }
            for _ in 0..<Self.inFlightMax { start() }
            while let (index, outcome) = await group.next() {
                switch outcome {
                case .success(let response): results[index] = FileResult(path: files[index].path, response: response)
                case .failure(let failure):
                    if failure.code != .cancelled {
                        results[index] = FileResult(path: files[index].path, failure: failure)
                    }
                    if Self.concernsAllFiles(failure), stopped == nil { stopped = failure }
                }
                progress.finished()
                start()
            }
        }
        return (results, stopped)
    }

    private static func concernsAllFiles(_ failure: Failure) -> Bool {
        switch failure.code {
        case .unauthenticated, .permissionDenied, .unavailable: true
        default: failure.reason == "DISK_FULL"
        }
    }

    /// Sends one file. Repeating it is safe: the same bytes for the same origin are a no-op.
    private func send(
        _ file: FileTree.File, sent: @escaping @Sendable (Int) -> Void
    ) async -> Result<UploadDocumentResponse, Failure> {
        var attempt = 1
        while true {
            do {
                return .success(try await busy.run { try await sendOnce(file, sent) })
            } catch {
                let failure = Failure(wrapping: error)
                let canRepeat = failure.code == .unavailable && failure.reason != "UNREACHABLE"
                guard canRepeat, attempt < Self.attemptsMax, !Task.isCancelled else { return .failure(failure) }
            }
            try? await Task.sleep(for: .milliseconds(200 << attempt))
            attempt += 1
        }
    }

    private func sendOnce(
        _ file: FileTree.File, _ sent: @escaping @Sendable (Int) -> Void
    ) async throws -> UploadDocumentResponse {
        let opened = try await reader.open(file.origin, headBytes: Self.messageBytes, bytesMax: bytesMax)
        let start = UploadStart(
            collection: collection, origin: file.origin, sizeBytes: UInt64(opened.bytes), metadata: metadata)
        do {
            // The wait is bounded for the answer, not for the sending, which takes as long as the file is big.
            let allowed = timeout + .seconds(opened.bytes / 1_000_000)
            let response = try await client.uploadDocument(options: CallOptions(timeout: allowed)) { writer in
                try await writer.write(UploadDocumentRequest(part: .start(start)))
                try await writer.write(UploadDocumentRequest(part: .data(opened.head)))
                var count = opened.head.count
                sent(count)
                guard let descriptor = opened.descriptor else { return }
                while true {
                    let bytes = try await reader.read(descriptor, Self.messageBytes, path: file.path)
                    if bytes.isEmpty { return }
                    try await writer.write(UploadDocumentRequest(part: .data(bytes)))
                    count += bytes.count
                    sent(count)
                }
            }
            if let descriptor = opened.descriptor { await reader.close(descriptor) }
            return response
        } catch {
            if let descriptor = opened.descriptor { await reader.close(descriptor) }
            throw error
        }
    }
}
