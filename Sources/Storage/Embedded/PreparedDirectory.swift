import Core
import Glibc

/// A data directory that was found good, completed and locked: everything that can be checked before a server is started.
struct PreparedDirectory: Sendable {
    let layout: EmbeddedLayout
    let identity: ServerIdentity
    let programs: ServerPrograms
    let lock: DataDirectoryLock

    /// Free space needed for a new cluster (its files, its first log, room to work) and for an existing one (a log segment and temporary files).
    static let newFreeBytesMin: UInt64 = 256 << 20
    static let existingFreeBytesMin: UInt64 = 64 << 20
    static let pathBytesMax = 1024

    /// - Throws: `Failure`; then nothing was made that was not there before.
    init(path: String, options: EmbeddedOptions) throws {
        let wanted = ServerFiles.absolute(path)
        guard wanted.utf8.count <= Self.pathBytesMax, wanted != "/",
            !wanted.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
        else {
            throw Failure(
                .invalidArgument, reason: "DATA_DIRECTORY_UNUSABLE",
                "The data directory's path must name a directory other than / in at most \(Self.pathBytesMax) bytes "
                    + "without control characters.")
        }
        let (existing, missing) = try Self.split(wanted)
        let root = ([existing == "/" ? "" : existing] + missing).joined(separator: "/")
        let cluster = EmbeddedLayout(root: root, run: "").cluster
        let identity = try ServerIdentity.choose(cluster: cluster)
        let version = try Self.clusterVersion(cluster)
        let programs = try ServerPrograms.find(
            options: options, clusterMajor: version, cluster: cluster, identity: identity)
        try Self.checkReach(existing, root: root, identity)
        try Self.checkSpace(
            existing, root: root, bytesMin: version == nil ? Self.newFreeBytesMin : Self.existingFreeBytesMin)

        var made: [String] = []
        do {
            try Self.makeRoot(existing, missing, identity, &made)
            lock = try DataDirectoryLock(directory: root)
            let run = try Self.makeRunDirectory(
                root: root, identity, runtimeDirectories: Self.runtimeDirectories(identity))
            layout = EmbeddedLayout(root: root, run: run)
            try Self.makeParts(layout, identity)
        } catch {
            if !made.isEmpty {
                unlink(DataDirectoryLock.path(in: root))
                for part in ["run", "conf", "logs", "redis"] { rmdir("\(root)/\(part)") }
            }
            for directory in made.reversed() { rmdir(directory) }
            throw error
        }
        self.identity = identity
        self.programs = programs
    }

    /// The longest part of an absolute path that exists, without symbolic links, and the names that are missing below it.
    private static func split(_ path: String) throws -> (String, [String]) {
        var parts = path.split(separator: "/").map(String.init)
        var missing: [String] = []
        while true {
            let prefix = "/" + parts.joined(separator: "/")
            if let real = ServerFiles.realPath(prefix) {
                guard ServerFiles.isDirectory(real) else { throw ServerFiles.failure(ENOTDIR, "using", real) }
                return (real, missing)
            }
            guard errno == ENOENT, let last = parts.popLast() else {
                throw ServerFiles.failure(errno, "using the data directory", prefix)
            }
            missing.insert(last, at: 0)
        }
    }

    /// The major version of the cluster; nil when there is none yet.
    private static func clusterVersion(_ cluster: String) throws -> Int? {
        var status = stat()
        guard lstat(cluster, &status) == 0 else { return nil }
        if let text = ServerFiles.read("\(cluster)/PG_VERSION", bytesMax: 64),
            let major = Int(text.prefix { $0.isNumber })
        {
            return major
        }
        // Somebody's empty directory is as good as none. Our own clusters get this name only when they are complete.
        if rmdir(cluster) == 0 { return nil }
        throw Failure(
            .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
            "\(cluster) exists and is not a PostgreSQL cluster that can be read.",
            remedy: "Move it away or choose another --data-dir.")
    }

    private static func checkReach(_ existing: String, root: String, _ identity: ServerIdentity) throws {
        if let obstacle = try identity.firstObstacle(on: existing) {
            throw Failure(
                .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
                "PostgreSQL and Redis run as user \(identity.name) when started by root, and that user may not enter "
                    + "\(obstacle), which leads to the data directory \(root).",
                remedy:
                    "Choose a --data-dir below /var/lib, let others pass (chmod o+x \(obstacle)), or run as a normal user."
            )
        }
        if access(existing, W_OK | X_OK) != 0 { throw ServerFiles.failure(errno, "writing into", existing) }
        guard geteuid() == 0, existing == root else { return }
        // Whoever may rename things in it could lead root's writing elsewhere.
        var status = stat()
        guard stat(root, &status) == 0 else { throw ServerFiles.failure(errno, "reading", root) }
        if status.st_uid != 0 || status.st_mode & 0o022 != 0 {
            throw Failure(
                .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
                "The data directory \(root) can be changed by users other than root (owner \(status.st_uid), "
                    + "mode \(String(status.st_mode & 0o7777, radix: 8))), so root does not use it.",
                remedy: "Run as its owner, or choose a --data-dir below /var/lib.")
        }
    }

    private static func checkSpace(_ existing: String, root: String, bytesMin: UInt64) throws {
        var space = statvfs()
        guard statvfs(existing, &space) == 0 else { throw ServerFiles.failure(errno, "measuring", existing) }
        // A file system without blocks (proc, some network ones) does not measure itself; making the directory will tell.
        guard space.f_blocks > 0 else { return }
        let free = UInt64(space.f_bavail) * UInt64(space.f_frsize)
        if free < bytesMin {
            throw Failure(
                .resourceExhausted, reason: "DISK_FULL",
                "The file system of the data directory \(root) has \(free >> 20) MiB free; \(bytesMin >> 20) MiB are needed.",
                remedy: "Free space on it or choose another --data-dir.")
        }
    }

    private static func makeRoot(
        _ existing: String, _ missing: [String], _ identity: ServerIdentity, _ made: inout [String]
    ) throws {
        var path = existing == "/" ? "" : existing
        for name in missing {
            path += "/\(name)"
            // Another user's server must be able to pass; nobody needs to list.
            if mkdir(path, 0o700) == 0 {
                made.append(path)
                if identity.isAnotherUser, chmod(path, 0o711) != 0 { throw ServerFiles.failure(errno, "opening", path) }
            } else if errno != EEXIST {
                throw ServerFiles.failure(errno, "making", path)
            }
        }
    }

    private static func makeParts(_ layout: EmbeddedLayout, _ identity: ServerIdentity) throws {
        let ours: mode_t = identity.isAnotherUser ? 0o711 : 0o700
        try makeDirectory(layout.configuration, mode: ours, owner: geteuid(), group: getegid())
        try makeDirectory(layout.logs, mode: 0o700, owner: geteuid(), group: getegid())
        try makeDirectory(layout.redis, mode: 0o700, owner: identity.uid, group: identity.gid)
    }

    private static func runtimeDirectories(_ identity: ServerIdentity) -> [String] {
        // /run/user/0 is closed to the server's user, so root has its sockets in /run.
        if identity.isAnotherUser { return ["/run", "/tmp"] }
        return [getenv("XDG_RUNTIME_DIR").map { String(cString: $0) }, "/tmp"].compactMap(\.self)
    }

    /// The first directory for sockets that is short enough and ours.
    static func makeRunDirectory(
        root: String, _ identity: ServerIdentity, runtimeDirectories: [String]
    ) throws -> String {
        var last: (any Error)?
        for run in EmbeddedLayout.runDirectories(
            root: root, runtimeDirectories: runtimeDirectories, user: identity.uid)
        {
            do {
                try makeDirectory(
                    run, mode: 0o700, owner: identity.uid, group: identity.gid, isInRoot: run == "\(root)/run")
                return run
            } catch {
                last = error
            }
        }
        throw last ?? ServerFiles.failure(ENAMETOOLONG, "making a directory for sockets of", root)
    }

    /// Makes a directory or accepts an existing one that belongs to `owner` or to us, and is then handed over.
    ///
    /// The directory for sockets may be in /tmp, where anybody can make one in advance: neither a link nor another owner is accepted there.
    /// - Parameter isInRoot: it is in the data directory, which nobody else may change, so that root may hand it from one user to another.
    private static func makeDirectory(
        _ path: String, mode: mode_t, owner: uid_t, group: gid_t, isInRoot: Bool = true
    ) throws {
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw ServerFiles.failure(errno, "making", path) }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard directory >= 0 else { throw ServerFiles.failure(errno, "opening the directory", path) }
        defer { close(directory) }
        var status = stat()
        guard fstat(directory, &status) == 0 else { throw ServerFiles.failure(errno, "reading", path) }
        if status.st_uid != owner {
            guard status.st_uid == geteuid() || geteuid() == 0 && isInRoot else {
                throw ServerFiles.failure(EPERM, "using the directory of user id \(status.st_uid)", path)
            }
            guard fchown(directory, owner, group) == 0 else { throw ServerFiles.failure(errno, "giving away", path) }
        }
        guard fchmod(directory, mode) == 0 else { throw ServerFiles.failure(errno, "closing to others", path) }
    }
}
