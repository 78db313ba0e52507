import Core
import Glibc

/// Where everything of one data directory is.
struct EmbeddedLayout: Sendable, Hashable {
    /// Absolute, without symbolic links: the kernel reports directories of processes in this form.
    let root: String
    /// Holds the sockets; below `root` unless a socket's path would be too long there.
    let run: String

    /// `sun_path` holds 108 bytes with the closing zero.
    static let socketPathBytesMax = 107
    /// PostgreSQL names its socket after a port although it listens on none.
    static let port = 5432

    var cluster: String { "\(root)/postgres" }
    var redis: String { "\(root)/redis" }
    var configuration: String { "\(root)/conf" }
    var logs: String { "\(root)/logs" }
    var postgresLog: String { "\(logs)/postgres.log" }
    var redisLog: String { "\(logs)/redis.log" }
    var initialiseLog: String { "\(logs)/initdb.log" }
    var postgresSocket: String { Self.postgresSocket(in: run) }
    var redisSocket: String { "\(run)/redis.sock" }
    /// Clusters that are still being made; never used as they are.
    static let unfinishedPrefix = "postgres.new-"

    static func postgresSocket(in directory: String) -> String { "\(directory)/.s.PGSQL.\(port)" }

    var databaseURL: String { Self.databaseURL(role: "acp", database: "acp", directory: run) }
    var redisURL: String { "unix://\(redisSocket)" }

    static func databaseURL(role: String, database: String, directory: String) -> String {
        var host = ""
        for byte in directory.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                host.append(Character(Unicode.Scalar(byte)))
            default: host += "%" + hexString([byte])
            }
        }
        return "postgresql://\(role)@/\(database)?host=\(host)&port=\(port)"
    }

    /// Where the sockets of `root` may be, best first.
    /// - Parameter runtimeDirectories: short directories for sockets, for when `root` is too long; `user` tells apart users who share one.
    static func runDirectories(root: String, runtimeDirectories: [String], user: uid_t) -> [String] {
        let short = runtimeDirectories.map { "\($0)/acp-\(user)-\(hexString(fingerprint(root)))" }
        return (["\(root)/run"] + short).filter { postgresSocket(in: $0).utf8.count <= socketPathBytesMax }
    }

    /// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/): the same in every run, unlike `Hasher`.
    private static func fingerprint(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// Removes the run directory of a long path once its sockets are gone; one inside the data directory stays.
    func removeOutsideRunDirectory() {
        if run != "\(root)/run" { rmdir(run) }
    }
}
