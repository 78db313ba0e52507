import Glibc

/// The file `postmaster.pid` in which a running PostgreSQL describes itself, line by line (PostgreSQL's `pidfile.h`).
struct PostmasterFile {
    var pid: pid_t
    /// The first socket directory; nil while it is still being written.
    var socketDirectory: String?
    /// `starting`, `ready`, `stopping` or `standby`; empty while it is still being written.
    var status: String

    static func path(in cluster: String) -> String { "\(cluster)/postmaster.pid" }

    /// nil when there is none.
    static func read(cluster: String) -> PostmasterFile? {
        ServerFiles.read(path(in: cluster), bytesMax: 4096).flatMap(PostmasterFile.init(text:))
    }

    init?(text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        // A single-user server writes its id negated; it is as much in the way.
        guard let first = lines.first, let id = pid_t(first), id != 0, id != .min else { return nil }
        pid = abs(id)
        socketDirectory = lines.count > 4 && !lines[4].isEmpty ? String(lines[4]) : nil
        status = lines.count > 7 ? String(lines[7].prefix { $0 != " " }) : ""
    }
}
