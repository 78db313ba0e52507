public import Core

/// Where the embedded servers' programs are and how long they may take.
public struct EmbeddedOptions: Sendable {
    /// Directory of `postgres` and `initdb`. nil: the PATH and the system's PostgreSQL directories are searched, preferring the version of an existing cluster.
    public var postgresDirectory: String?
    /// Path of `redis-server`. nil: the PATH is searched.
    public var redisServer: String?
    /// The colon-separated directories to search. nil: the PATH of this process.
    public var searchPath: String?
    /// Where the distribution keeps PostgreSQL versions, each as `VERSION/bin`.
    public var postgresVersionsDirectory = "/usr/lib/postgresql"
    /// How long one server may take to answer, replay of its log after a crash included. 1...3600.
    public var startSeconds = 60
    /// Which of the two to run; the other is provided by somebody else, and its program need not be installed.
    public var startsPostgres = true
    public var startsRedis = true

    public init() {}
}

/// How to reach the embedded servers.
public struct EmbeddedEndpoints: Sendable, Hashable {
    /// A libpq connection URI: database `acp`, role `acp`, over a Unix socket.
    public var databaseURL: String
    /// `unix://` and the absolute path of the socket of Redis.
    public var redisURL: String
    /// Paths of the log files of both servers.
    public var postgresLog: String
    public var redisLog: String
}

/// The process that runs on a data directory.
public struct EmbeddedOwner: Sendable, Hashable {
    /// nil in the instant between its taking the lock and its writing the file.
    public var pid: Int32?
    /// Its start time in clock ticks since boot (field 22 of `/proc/PID/stat`): tells it from a later process with the same id.
    public var startTicks: UInt64?
}

/// What one embedded server is doing.
public enum EmbeddedServerState: Sendable, Hashable {
    case stopped
    case starting
    /// It answered. `adopted`: it had outlived an earlier `acp`.
    case running(pid: Int32, adopted: Bool)
    /// It died or became unreachable and is being started again; `attempts` since it last ran.
    case down(Failure, attempts: Int)
    case stopping
}

/// The state of both embedded servers, for readiness.
public struct EmbeddedHealth: Sendable, Hashable {
    public var postgres: EmbeddedServerState
    public var redis: EmbeddedServerState

    /// Both run.
    public var isReady: Bool {
        if case .running = postgres, case .running = redis { return true }
        return false
    }
}
