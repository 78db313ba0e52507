internal import Core
internal import Glibc
internal import Synchronization

/// The bytes of a segment for as long as anyone reads them: a mapped file or memory of our own.
///
/// Unchecked Sendable: the bytes never change after `init`, and are released when the last reader lets go.
final class SegmentBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    /// nil for memory.
    let path: String?
    /// Set when the file no longer belongs to the index; it is unlinked with the last reader.
    private let isObsolete = Atomic(false)

    /// A copy in memory.
    init(copying source: [UInt8]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
        memory.copyBytes(from: source)
        bytes = UnsafeRawBufferPointer(memory)
        path = nil
    }

    /// Maps a file after checking its size and, unless told otherwise, its checksum (the last eight bytes).
    init(mapping path: String, verifyChecksum: Bool = true) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { throw IndexDamage("a segment file is missing") }
            throw Files.failure("open", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Files.failure("read", path) }
        let size = Int(status.st_size)
        guard size >= SegmentFormat.footerBytes else { throw IndexDamage("a segment file is cut short") }
        if verifyChecksum { try Self.verify(descriptor, path, size: size) }
        guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
            throw Files.failure("map", path)
        }
        bytes = UnsafeRawBufferPointer(start: address, count: size)
        self.path = path
    }

    deinit {
        guard let path else { return bytes.deallocate() }
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
        if isObsolete.load(ordering: .acquiring) { Files.remove(path) }
    }

    func markObsolete() { isObsolete.store(true, ordering: .releasing) }

    private static func verify(_ descriptor: Int32, _ path: String, size: Int) throws {
        var hash = XXH64()
        var stored: [UInt8] = []
        var offset = 0
        try Files.forEachBlock(of: descriptor, path) { block in
            let hashed = max(0, min(block.count, size - 8 - offset))
            hash.update(UnsafeRawBufferPointer(rebasing: block[..<hashed]))
            stored.append(contentsOf: block[hashed...])
            offset += block.count
        }
        guard offset == size, stored.count == 8, try stored.withUnsafeBytes({ try $0.u64(at: 0) }) == hash.value else {
            throw IndexDamage("the checksum of a segment file does not match")
        }
    }
}
