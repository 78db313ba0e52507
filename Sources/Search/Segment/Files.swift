internal import Core
internal import Glibc

/// The system calls of the index directory, with errors that say what failed.
enum Files {
    /// What the operating system said, as a failure about `path`.
    static func failure(_ action: StaticString, _ path: String, _ code: Int32 = errno) -> Failure {
        let text = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        if code == ENOSPC || code == EDQUOT {
            return Failure(
                .resourceExhausted, reason: "DISK_FULL", "Could not \(action) \(path): \(text).",
                remedy: "Free space on the disk of the search index; indexing goes on by itself.")
        }
        return Failure(
            .unavailable, reason: "INDEX_IO", "Could not \(action) \(path): \(text).",
            remedy: "Check that the service may read and write the directory of the search index.")
    }

    /// Creates a directory and its parents, readable by the owner only.
    static func createDirectory(_ path: String) throws {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw failure("create", path)
        }
        try createDirectory(String(path[..<slash]))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure("create", path) }
    }

    /// Names in a directory, without `.` and `..`.
    static func names(in directory: String) throws -> [String] {
        guard let handle = opendir(directory) else { throw failure("list", directory) }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// A new file for writing; one of the same name is emptied.
    static func create(_ path: String) throws -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("create", path) }
        return descriptor
    }

    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String) throws {
        var offset = 0
        while offset < bytes.count {
            let count = write(descriptor, bytes.baseAddress.map { $0 + offset }, bytes.count - offset)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("write", path)
            }
            offset += count
        }
    }

    static func sync(_ descriptor: Int32, _ path: String) throws {
        guard fsync(descriptor) == 0 else { throw failure("flush", path) }
    }

    static func rename(_ from: String, to path: String) throws {
        guard Glibc.rename(from, path) == 0 else { throw failure("rename to", path) }
    }

    /// Makes renames in a directory durable.
    static func syncDirectory(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", path) }
        defer { close(descriptor) }
        try sync(descriptor, path)
    }

    static func remove(_ path: String) { unlink(path) }

    /// The whole of a small file; nil when there is none.
    static func read(_ path: String, bytesMax: Int) throws -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("read", path)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        try forEachBlock(of: descriptor, path) { block in
            guard bytes.count + block.count <= bytesMax else { throw IndexDamage("a file is larger than its limit") }
            bytes.append(contentsOf: block)
        }
        return bytes
    }

    /// Reads a file from its beginning in blocks, without mapping it: pages that are only checked do not count as memory of the process.
    static func forEachBlock(
        of descriptor: Int32, _ path: String, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
        defer { block.deallocate() }
        var offset: off_t = 0
        while true {
            let count = pread(descriptor, block.baseAddress, block.count, offset)
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("read", path)
            }
            if count == 0 { return }
            try body(UnsafeRawBufferPointer(rebasing: block[..<count]))
            offset += off_t(count)
        }
    }
}

/// An exclusive lock on the index directory, held while an index is open and released by the kernel when the process dies.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    init(directory: String) throws {
        let path = directory + "/lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Files.failure("open", path) }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else { throw Files.failure("lock", path, code) }
            throw Failure(
                .failedPrecondition, reason: "INDEX_IN_USE",
                "The search index in \(directory) is used by another process.",
                remedy: "Stop the other process or give each its own data directory.")
        }
    }

    deinit { close(descriptor) }
}
