internal import Core
internal import Storage

/// Reads stored originals back for their parsers.
struct OriginalReader: Sendable {
    /// Parts fetched at once.
    private static let partsPerQuery = 4

    let database: Database
    let spoolDirectory: String
    let thread: WorkThread

    /// An original that can be handed to a parser, and what keeps it alive.
    struct Opened: Sendable {
        let bytes: OriginalBytes
        fileprivate let file: SpoolFile?

        /// Calls `body` with the bytes while they are valid.
        func with<T>(_ body: (OriginalBytes) async throws -> T) async rethrows -> T {
            defer { withExtendedLifetime(file) {} }
            return try await body(bytes)
        }
    }

    /// An original of one part.
    /// - Throws: DATA_LOSS when it is not what was uploaded.
    static func open(part: [UInt8], size: Int, sha256: [UInt8]) throws -> Opened {
        let bytes = try Zstd.decompress(part, bytesMax: SpooledOriginal.partBytes)
        guard bytes.count == size, ContentHash.of(bytes) == sha256 else { throw damaged(sha256) }
        return Opened(bytes: .bytes(bytes), file: nil)
    }

    /// An original of several parts, put together in a nameless file.
    /// - Throws: DATA_LOSS when it is not what was uploaded; DISK_FULL, SPOOL_UNUSABLE; what the database throws.
    func open(sha256: [UInt8], size: Int) async throws -> Opened {
        let directory = spoolDirectory
        let file = try await thread.run { try SpoolFile(directory: directory) }
        var hash = ContentHash()
        var offset = 0
        var ordinal = 0
        while offset < size {
            let first = ordinal
            let frames = try await database.run { connection in
                try connection.execute(
                    "SELECT data FROM original_parts WHERE sha256 = $1 AND ordinal >= $2 ORDER BY ordinal LIMIT $3",
                    [.bytes(sha256), .int(first), .int(Self.partsPerQuery)]
                ).map { try $0.bytes(0) }
            }
            guard !frames.isEmpty else { throw Self.damaged(sha256) }
            let (at, soFar) = (offset, hash)
            (offset, hash) = try await thread.run {
                var (at, hash) = (at, soFar)
                for frame in frames {
                    let part = try Zstd.decompress(frame, bytesMax: SpooledOriginal.partBytes)
                    hash.update(part)
                    try file.write(part, at: at)
                    at += part.count
                }
                return (at, hash)
            }
            ordinal += frames.count
        }
        guard offset == size, hash.value() == sha256 else { throw Self.damaged(sha256) }
        return Opened(bytes: .file(file.descriptor), file: file)
    }

    private static func damaged(_ sha256: [UInt8]) -> Failure {
        Failure(
            .dataLoss, reason: "ORIGINAL_DAMAGED", "The stored original \(hexString(sha256)) is not what was uploaded.",
            remedy: "Upload the document again, and check the database's storage.")
    }
}
