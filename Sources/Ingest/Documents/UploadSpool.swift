internal import Core
internal import Storage

/// One MiB of an original, compressed, as `original_parts` holds it.
struct OriginalPart: Sendable {
    /// Bytes before compression.
    var size: Int
    var data: [UInt8]
}

/// An original that has arrived completely and is not stored yet: small ones in memory, large ones in a nameless file.
struct SpooledOriginal: Sendable {
    static let partBytes = 1 << 20

    var size: Int
    var sha256: [UInt8]
    fileprivate var parts: Parts

    fileprivate enum Parts: Sendable {
        case memory([OriginalPart])
        case file(SpoolFile, [(offset: Int, size: Int, compressed: Int)])
    }

    var partCount: Int {
        switch parts {
        case .memory(let parts): parts.count
        case .file(_, let places): places.count
        }
    }

    /// Reads a part; blocks when it is in a file.
    func part(_ ordinal: Int) throws -> OriginalPart {
        switch parts {
        case .memory(let parts): return parts[ordinal]
        case .file(let file, let places):
            let place = places[ordinal]
            return OriginalPart(size: place.size, data: try file.read(count: place.compressed, at: place.offset))
        }
    }
}

/// Takes an upload's bytes as they come: hashes them, compresses every full MiB, keeps at most one MiB of plain bytes in memory.
///
/// One task uses it. Dropping it frees everything.
struct UploadSpool: ~Copyable {
    /// Bytes that are compressed on the event loop without anybody noticing.
    private static let compressInPlaceBytesMax = 32 << 10

    private let directory: String
    private let thread: WorkThread
    private let bytesMax: Int
    private var hash = ContentHash()
    private var buffer: [UInt8] = []
    private(set) var size = 0
    private var file: SpoolFile?
    private var places: [(offset: Int, size: Int, compressed: Int)] = []
    private var fileBytes = 0
    /// The first bytes, for finding out the type.
    private(set) var head: [UInt8] = []

    init(directory: String, thread: WorkThread, bytesMax: Int) {
        self.directory = directory
        self.thread = thread
        self.bytesMax = bytesMax
    }

    /// - Throws: `Failure` TOO_LARGE, DISK_FULL, SPOOL_UNUSABLE.
    mutating func append(_ bytes: [UInt8]) async throws {
        guard size + bytes.count <= bytesMax else { throw Self.tooLarge(bytesMax) }
        size += bytes.count
        hash.update(bytes)
        if head.count < MediaType.headBytesMax { head += bytes.prefix(MediaType.headBytesMax - head.count) }
        buffer += bytes
        while buffer.count > SpooledOriginal.partBytes {
            let part = Array(buffer.prefix(SpooledOriginal.partBytes))
            buffer.removeFirst(SpooledOriginal.partBytes)
            try await spill(part)
        }
    }

    /// Everything has come.
    mutating func finish() async throws -> SpooledOriginal {
        let sha256 = hash.value()
        guard let file else {
            let bytes = buffer
            let data =
                bytes.count <= Self.compressInPlaceBytesMax
                ? try Zstd.compress(bytes) : try await thread.run { try Zstd.compress(bytes) }
            let part = OriginalPart(size: bytes.count, data: data)
            return SpooledOriginal(size: size, sha256: sha256, parts: .memory(size == 0 ? [] : [part]))
        }
        if !buffer.isEmpty { try await spill(buffer) }
        buffer = []
        return SpooledOriginal(size: size, sha256: sha256, parts: .file(file, places))
    }

    private mutating func spill(_ part: [UInt8]) async throws {
        let (directory, existing, offset) = (directory, file, fileBytes)
        let (file, count) = try await thread.run {
            let file = try existing ?? SpoolFile(directory: directory)
            let data = try Zstd.compress(part)
            try file.write(data, at: offset)
            return (file, data.count)
        }
        self.file = file
        places.append((offset, part.count, count))
        fileBytes += count
    }

    static func tooLarge(_ bytesMax: Int) -> Failure {
        Failure(
            .resourceExhausted, reason: Failure.tooLarge,
            "The document is larger than the \(bytesMax) bytes that are accepted. Nothing was stored.",
            remedy: "Split it, or ask the operator to raise ingest.upload-bytes-max.")
    }
}
