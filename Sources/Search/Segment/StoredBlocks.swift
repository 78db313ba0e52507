internal import CZstd

/// Collects stored chunks into blocks and compresses them.
struct BlockWriter: ~Copyable {
    /// Enough for text; higher levels cost more time than they save bytes in blocks of this size.
    private static let level: Int32 = 3

    private let context: OpaquePointer?
    private var raw: [UInt8] = []
    private var packed: [UInt8] = []
    /// The section `blocks`.
    private(set) var table: [UInt8] = []
    private(set) var blockCount: UInt32 = 0

    /// - Parameter compressing: false keeps blocks as they are.
    init(compressing: Bool) { context = compressing ? ZSTD_createCCtx() : nil }

    deinit {
        if let context { ZSTD_freeCCtx(context) }
    }

    /// Adds one entry and returns its block and its offset there.
    mutating func add(
        _ entry: UnsafeRawBufferPointer, sink: inout ByteSink, sectionStart: UInt64
    ) throws -> (block: UInt32, offset: UInt32) {
        let place = (blockCount, UInt32(raw.count))
        raw.append(contentsOf: entry)
        if raw.count >= SegmentFormat.blockBytes { try close(sink: &sink, sectionStart: sectionStart) }
        return place
    }

    /// Writes what is collected as a block.
    mutating func close(sink: inout ByteSink, sectionStart: UInt64) throws {
        guard !raw.isEmpty else { return }
        table.append(u64: sink.count - sectionStart)
        let packedCount = pack()
        table.append(u32: UInt32(packedCount ?? raw.count))
        table.append(u32: UInt32(raw.count))
        if let packedCount {
            try packed.withUnsafeBytes { try sink.append(UnsafeRawBufferPointer(rebasing: $0[..<packedCount])) }
        } else {
            try sink.append(raw)
        }
        raw.removeAll(keepingCapacity: true)
        blockCount += 1
    }

    /// Compresses into `packed`; nil when that saves nothing.
    private mutating func pack() -> Int? {
        guard let context else { return nil }
        let bound = ZSTD_compressBound(raw.count)
        if packed.count < bound { packed = [UInt8](repeating: 0, count: bound) }
        let count = packed.withUnsafeMutableBytes { target in
            raw.withUnsafeBytes { source in
                ZSTD_compressCCtx(
                    context, target.baseAddress, target.count, source.baseAddress, source.count, Self.level)
            }
        }
        return ZSTD_isError(count) == 0 && count < raw.count ? count : nil
    }
}

/// Reads stored chunks; remembers the last block, because neighbours are read together.
struct BlockReader: ~Copyable {
    private var owner: ObjectIdentifier?
    private var block: UInt32 = 0
    private var raw: [UInt8] = []

    init() {}

    /// Calls `body` with the stored entry of a chunk.
    mutating func withEntry<R>(
        of chunk: Int, in segment: Segment, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let place = try segment.storedPlace(ofChunk: chunk)
        try load(place.block, of: segment)
        return try raw.withUnsafeBytes { bytes in
            try body(try bytes.slice(offset: UInt64(place.offset), count: UInt64(place.count)))
        }
    }

    private mutating func load(_ number: UInt32, of segment: Segment) throws {
        if owner == ObjectIdentifier(segment), block == number { return }
        owner = nil
        let stored = try segment.block(number)
        guard stored.rawCount <= SegmentFormat.blockBytesMax else { throw IndexDamage("a block is too large") }
        if stored.bytes.count == stored.rawCount {
            raw = [UInt8](stored.bytes)
        } else {
            raw = [UInt8](repeating: 0, count: stored.rawCount)
            let count = raw.withUnsafeMutableBytes {
                ZSTD_decompress($0.baseAddress, $0.count, stored.bytes.baseAddress, stored.bytes.count)
            }
            guard ZSTD_isError(count) == 0, count == stored.rawCount else {
                throw IndexDamage("a block of text does not decompress")
            }
        }
        owner = ObjectIdentifier(segment)
        block = number
    }
}
