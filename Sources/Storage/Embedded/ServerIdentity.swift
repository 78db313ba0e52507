import CProcess
import Core
import Glibc

/// The user the embedded servers run as: ourselves, or an unprivileged one when we are root (PostgreSQL refuses root).
struct ServerIdentity: Sendable, Hashable {
    var uid: uid_t
    var gid: gid_t
    var groups: [gid_t]
    var name: String
    /// Our own name: the one PostgreSQL's peer authentication sees when we connect.
    var ownName: String
    /// We are root and become this user to run a server.
    var isAnotherUser: Bool

    /// Users that Debian's packages make for such servers, then the one that every system has.
    static let candidates = ["postgres", "redis", "nobody"]

    /// - Parameter cluster: path of the cluster; when we are root, its owner goes on serving it.
    static func choose(cluster: String) throws -> ServerIdentity {
        let own = geteuid()
        var status = stat()
        let owner: uid_t? = lstat(cluster, &status) == 0 ? status.st_uid : nil
        guard let ownEntry = entry(uid: own) else {
            throw Failure(
                .failedPrecondition, reason: "USER_UNKNOWN",
                "The user id \(own) has no name in /etc/passwd, which PostgreSQL needs.",
                remedy: "Run as a named user, or configure --database-url and --redis-url.")
        }
        if own != 0 {
            if let owner, owner != own {
                throw Failure(
                    .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
                    "The cluster \(cluster) belongs to user id \(owner), not to \(ownEntry.name).",
                    remedy: "Run as its owner or choose another --data-dir.")
            }
            return ownEntry
        }
        if let owner {
            guard owner != 0, var keeper = entry(uid: owner) else {
                throw Failure(
                    .failedPrecondition, reason: "DATA_DIRECTORY_UNUSABLE",
                    "The cluster \(cluster) belongs to user id \(owner), as which PostgreSQL cannot run.",
                    remedy: "Give it to an unprivileged user: chown -R postgres \(cluster)")
            }
            keeper.ownName = ownEntry.name
            keeper.isAnotherUser = true
            return keeper
        }
        for name in candidates {
            guard let uid = uid(named: name), uid != 0, var user = entry(uid: uid) else { continue }
            user.ownName = ownEntry.name
            user.isAnotherUser = true
            return user
        }
        throw Failure(
            .failedPrecondition, reason: "USER_UNKNOWN",
            "PostgreSQL refuses to run as root, and this system has none of the users \(candidates.joined(separator: ", ")).",
            remedy: "Run acp as a normal user, or make one of them.")
    }

    /// The first part of `path` (absolute, existing) that this user may not pass through; nil when the user reaches it.
    func firstObstacle(on path: String) throws -> String? {
        guard isAnotherUser, try !mayEnter(path) else { return nil }
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += "/\(part)"
            if try !mayEnter(prefix) { return prefix }
        }
        return path
    }

    private func mayEnter(_ path: String) throws -> Bool {
        let outcome = groups.withUnsafeBufferPointer {
            acp_access_as(path, X_OK, uid, gid, $0.baseAddress, $0.count)
        }
        if outcome == 0 || outcome == -EACCES { return outcome == 0 }
        throw ServerFiles.failure(-outcome, "entering as user \(name) the directory", path)
    }

    private static func uid(named name: String) -> uid_t? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16384)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.pw_uid
    }

    private static func entry(uid: uid_t) -> ServerIdentity? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16384)
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name else {
            return nil
        }
        var groups = [gid_t](repeating: 0, count: 1024)
        var count = Int32(groups.count)
        guard getgrouplist(name, entry.pw_gid, &groups, &count) >= 0 else { return nil }
        let text = String(cString: name)
        return ServerIdentity(
            uid: uid, gid: entry.pw_gid, groups: Array(groups[..<Int(count)]), name: text, ownName: text,
            isAnotherUser: false)
    }
}
