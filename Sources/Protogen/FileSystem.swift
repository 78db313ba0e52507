internal import Glibc

/// Whole files, without Foundation.
enum FileSystem {
    struct Problem: Error, CustomStringConvertible {
        var action: String
        var path: String
        var code: Int32

        var description: String { "cannot \(action) \(path): \(String(cString: strerror(code)))\n" }
    }

    static func read(_ path: String) throws -> [UInt8] {
        guard let file = fopen(path, "rb") else { throw Problem(action: "read", path: path, code: errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&block, 1, block.count, file)
            bytes += block[..<count]
            if count < block.count { break }
        }
        guard ferror(file) == 0 else { throw Problem(action: "read", path: path, code: EIO) }
        return bytes
    }

    /// Writes `text` as the file at `path` and makes the folders above it.
    static func write(_ text: String, to path: String) throws {
        try makeFolders(above: path)
        guard let file = fopen(path, "wb") else { throw Problem(action: "write", path: path, code: errno) }
        let bytes = Array(text.utf8)
        let written = fwrite(bytes, 1, bytes.count, file)
        guard fclose(file) == 0, written == bytes.count else { throw Problem(action: "write", path: path, code: errno) }
    }

    private static func makeFolders(above path: String) throws {
        var folder = path.first == "/" ? "" : "."
        for part in path.split(separator: "/").dropLast() {
            folder += "/" + part
            guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
                throw Problem(action: "make the folder", path: folder, code: errno)
            }
        }
    }
}
