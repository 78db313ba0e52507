public import Core

#if canImport(Glibc)
    internal import Glibc
#endif

/// How many files, sockets among them, this process may have open, and what follows for its connections.
public struct OpenFiles: Sendable {
    /// Of the process.
    public let filesMax: Int

    public init(filesMax: Int) { self.filesMax = filesMax }

    /// For everything but connections of peers: databases, index segments, uploads, logs, children.
    private static let otherFiles = 256
    /// Below that a port is of no use.
    private static let connectionsMin = 16
    /// A limit far above that only makes programs slow that look at every number up to it, and children inherit it.
    private static let filesWanted = 1_048_576

    /// Raises the process's limit to the most that it may set itself, within reason, and returns the limit that holds then. The usual 1,024 is
    /// for programs that use select(2); children of this one do not.
    public static func raiseLimit() -> Int {
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(files, &limit) == 0 else { return 1024 }
        let wanted = min(limit.rlim_max, rlim_t(filesWanted))
        if limit.rlim_cur < wanted {
            var raised = limit
            raised.rlim_cur = wanted
            if setrlimit(files, &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// Connections that each of `ports` ports may have, at most `wanted`.
    /// - Throws: FAILED_PRECONDITION `TOO_FEW_FILES` when they would be too few to serve anybody.
    public func connectionsMax(wanted: Int, ports: Int) throws(Failure) -> Int {
        let each = (filesMax - Self.otherFiles) / max(1, ports)
        guard each >= Self.connectionsMin else {
            throw Failure(
                .failedPrecondition, reason: "TOO_FEW_FILES",
                "This process may open only \(filesMax) files, and needs \(Self.otherFiles + ports * Self.connectionsMin) or more.",
                remedy: "Raise the hard limit: ulimit -Hn, or LimitNOFILE of the systemd unit.")
        }
        return min(wanted, each)
    }
}
