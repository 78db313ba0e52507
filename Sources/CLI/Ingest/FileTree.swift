internal import Core
internal import Glibc

/// What below a path is to be uploaded.
enum FileTree {
    /// Files found below the paths of one command.
    static let filesMax = 100_000
    static let depthMax = 64

    /// Endings of the types that can be read. In a directory others are left out, so that a project's pictures are not errors;
    /// a file that is named itself is always sent, because its bytes decide.
    static let extensions: Set<String> = [
        "md", "markdown", "mdown", "mkd", "txt", "text", "log", "rst", "adoc", "html", "htm", "xhtml", "pdf",
    ]

    struct File: Sendable, Hashable {
        /// As the user would name it.
        var path: String
        /// Absolute and without symbolic links: the document's identity, however the command was typed.
        var origin: String
        /// Bytes when it was listed; for showing progress only.
        var bytes: Int
    }

    struct Skipped: Sendable, Hashable {
        var path: String
        var reason: String
    }

    struct Listing: Sendable {
        var files: [File] = []
        var skipped: [Skipped] = []
        /// Directories that could not be read.
        var failed: [(path: String, failure: Failure)] = []
    }

    /// A file by itself, or a directory's files in order of their names' bytes: hidden ones and symbolic links are left out,
    /// so that nothing outside the directory is uploaded by accident and no circle is walked.
    /// - Throws: `Failure` when `path` does not exist or holds more than `filesMax` files.
    static func files(at path: String) throws -> Listing {
        guard let real = realpath(path, nil) else { throw FileReader.unreadable(path, errno) }
        defer { free(real) }
        let origin = String(cString: real)
        var status = stat()
        guard stat(origin, &status) == 0 else { throw FileReader.unreadable(path, errno) }
        var listing = Listing()
        if status.st_mode & S_IFMT == S_IFDIR {
            try walk(path, origin, depth: 0, into: &listing)
        } else {
            listing.files = [File(path: path, origin: origin, bytes: Int(status.st_size))]
        }
        return listing
    }

    private static func walk(_ path: String, _ origin: String, depth: Int, into listing: inout Listing) throws {
        guard depth < depthMax else {
            listing.skipped.append(Skipped(path: path, reason: "nested deeper than \(depthMax) directories"))
            return
        }
        guard let directory = opendir(origin) else {
            listing.failed.append((path, FileReader.unreadable(path, errno)))
            return
        }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(validatingCString: $0) }
            }
            guard let name else {
                listing.skipped.append(Skipped(path: path, reason: "a name in it is not UTF-8"))
                continue
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        closedir(directory)
        for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            try add(path.hasSuffix("/") ? path + name : "\(path)/\(name)", "\(origin)/\(name)", depth, into: &listing)
        }
    }

    private static func add(_ path: String, _ origin: String, _ depth: Int, into listing: inout Listing) throws {
        var status = stat()
        guard lstat(origin, &status) == 0 else {
            listing.failed.append((path, FileReader.unreadable(path, errno)))
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: try walk(path, origin, depth: depth + 1, into: &listing)
        case S_IFLNK: listing.skipped.append(Skipped(path: path, reason: "a symbolic link"))
        case S_IFREG:
            guard extensions.contains(fileExtension(of: path)) else {
                listing.skipped.append(Skipped(path: path, reason: "not a type that can be read"))
                return
            }
            guard listing.files.count < filesMax else {
                throw Failure(
                    .resourceExhausted, reason: Failure.tooLarge,
                    "There are more than \(filesMax) files below \(path).",
                    remedy: "Upload the directories one by one.")
            }
            listing.files.append(File(path: path, origin: origin, bytes: Int(status.st_size)))
        default: listing.skipped.append(Skipped(path: path, reason: "not a regular file"))
        }
    }

    /// Lower case, without the dot; empty when there is none.
    static func fileExtension(of path: String) -> String {
        let name = path.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
        return name[name.index(after: dot)...].lowercased()
    }
}
