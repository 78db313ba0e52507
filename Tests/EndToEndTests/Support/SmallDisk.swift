import Foundation
import Glibc

/// A file system of a few hundred MiB in memory, to be filled up.
enum SmallDisk {
    /// nil when one can be made here; otherwise why not.
    static let missing: String? = {
        guard geteuid() == 0 else { return "only root can mount a small file system to fill up" }
        var template = Array("/tmp/acp-disk-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return "no temporary directory" }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(path) }
        do {
            try mount(path, mebibytes: 1)
            unmount(path)
            return nil
        } catch {
            return "\(error)"
        }
    }()

    /// Mounts one over the existing directory `path`.
    static func mount(_ path: String, mebibytes: Int) throws {
        guard Glibc.mount("tmpfs", path, "tmpfs", 0, "size=\(mebibytes)m,mode=755") == 0 else {
            throw Problem("a small file system cannot be mounted: \(String(cString: strerror(errno)))")
        }
    }

    /// Does nothing where none is mounted.
    static func unmount(_ path: String) { umount2(path, Int32(MNT_DETACH)) }

    /// Fills it with a file until `bytes` are free.
    /// - Returns: the file's path.
    static func fill(_ path: String, leaving bytes: Int) throws -> String {
        var space = statvfs()
        guard statvfs(path, &space) == 0 else { throw Problem("\(path) cannot be measured") }
        let filler = "\(path)/filler"
        let descriptor = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let size = max(0, Int(space.f_bavail) * Int(space.f_frsize) - bytes)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0, size > 0 else { return filler }
        let code = posix_fallocate(descriptor, status.st_size, off_t(size))
        guard code == 0 || code == ENOSPC else { throw Problem("the disk cannot be filled: error \(code)") }
        return filler
    }
}
