/// Where a segment is written: a file, or memory. Counts and hashes what passes.
struct ByteSink: ~Copyable {
    private static let bufferBytes = 256 << 10

    private let descriptor: Int32?
    private let path: String
    private var buffer: [UInt8] = []
    private var hash = XXH64()
    /// Bytes appended so far.
    private(set) var count: UInt64 = 0

    /// Keeps everything in memory; `finish` returns it.
    init() {
        descriptor = nil
        path = ""
    }

    /// Writes to an open file, which stays the caller's to sync and close.
    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
        buffer.reserveCapacity(Self.bufferBytes + 4096)
    }

    /// Whether what is written stays in memory, where nobody compresses it.
    var isMemory: Bool { descriptor == nil }

    mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
        count += UInt64(bytes.count)
        if let descriptor, bytes.count >= Self.bufferBytes {
            try drain()
            hash.update(bytes)
            try Files.writeAll(bytes, to: descriptor, path)
            return
        }
        buffer.append(contentsOf: bytes)
        if descriptor != nil, buffer.count >= Self.bufferBytes { try drain() }
    }

    mutating func append(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try append($0) }
    }

    /// Appends the hash of everything before it; returns the bytes of a memory sink, nothing for a file.
    consuming func finish() throws -> [UInt8] {
        if descriptor == nil {
            let hash = buffer.withUnsafeBytes { XXH64.hash($0) }
            buffer.append(u64: hash)
            return buffer
        }
        try drain()
        var trailer: [UInt8] = []
        trailer.append(u64: hash.value)
        try append(trailer)
        try drain()
        return []
    }

    private mutating func drain() throws {
        guard let descriptor, !buffer.isEmpty else { return }
        try buffer.withUnsafeBytes { bytes in
            hash.update(bytes)
            try Files.writeAll(bytes, to: descriptor, path)
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
