internal import CPQ
internal import Core

/// Reasons of the failures that the database layer makes; the ones a caller may want to tell apart.
public enum DatabaseReason {
    /// PostgreSQL cannot be reached, or the connection was lost before anything was decided.
    public static let unavailable = "DATABASE_UNAVAILABLE"
    /// The connection was lost between sending COMMIT and its answer: stored or not is unknown.
    public static let commitUnknown = "COMMIT_UNKNOWN"
    /// No connection of the pool became free in time.
    public static let poolExhausted = "DATABASE_POOL_EXHAUSTED"
    public static let statementTimeout = "STATEMENT_TIMEOUT"
    public static let uniqueViolation = "UNIQUE_VIOLATION"
    public static let foreignKeyViolation = "FOREIGN_KEY_VIOLATION"
    public static let checkViolation = "CHECK_VIOLATION"
    public static let serialization = "SERIALIZATION_FAILURE"
    public static let deadlock = "DEADLOCK"
    /// The transaction had already failed when it was committed; nothing was stored.
    public static let transactionAborted = "TRANSACTION_ABORTED"
    public static let diskFull = "DISK_FULL"
}

extension Failure {
    /// True when repeating the same transaction can succeed at once.
    var isTransactionConflict: Bool {
        code == .aborted && (reason == DatabaseReason.serialization || reason == DatabaseReason.deadlock)
    }

    static func databaseUnavailable(_ detail: String) -> Failure {
        Failure(
            .unavailable, reason: DatabaseReason.unavailable, "PostgreSQL cannot be reached: \(detail)",
            remedy: "Check that PostgreSQL runs and that the database URL is right; the service reconnects by itself.",
            retryAfterMs: 1000)
    }

    static func commitUnknown() -> Failure {
        Failure(
            .unavailable, reason: DatabaseReason.commitUnknown,
            "The connection to PostgreSQL was lost while committing; the change may or may not have been stored.",
            remedy: "Look whether it was stored before repeating, or repeat with the same idempotency key.",
            retryAfterMs: 1000)
    }
}

/// What PostgreSQL said about a failed statement, without row values: its detail text may quote documents.
struct ServerError {
    var sqlState: String
    var constraint: String
    private var primary: String

    init(_ result: OpaquePointer) {
        func field(_ code: UnicodeScalar) -> String {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) } ?? ""
        }
        sqlState = field("C")
        constraint = field("n")
        primary = field("M")
    }

    /// The failure that callers see. SQLSTATE classes: https://www.postgresql.org/docs/15/errcodes-appendix.html
    var failure: Failure {
        switch sqlState {
        case "23505":
            return Failure(
                .alreadyExists, reason: DatabaseReason.uniqueViolation,
                "The database refused a second row where one may exist (\(constraint)).")
        case "23503":
            return Failure(
                .failedPrecondition, reason: DatabaseReason.foreignKeyViolation,
                "The database refused a row that refers to something missing (\(constraint)).")
        case "23514", "23502":
            return Failure(
                .failedPrecondition, reason: DatabaseReason.checkViolation,
                "The database refused a row that breaks a rule (\(constraint.isEmpty ? sqlState : constraint)).")
        case "40001":
            return Failure(
                .aborted, reason: DatabaseReason.serialization, "The transaction met a concurrent change.",
                remedy: "Repeat the request.", retryAfterMs: 50)
        case "40P01":
            return Failure(
                .aborted, reason: DatabaseReason.deadlock, "The transaction was ended to resolve a deadlock.",
                remedy: "Repeat the request.", retryAfterMs: 50)
        case "25P02":
            return Failure(
                .aborted, reason: DatabaseReason.transactionAborted,
                "A statement ran in a transaction that had already failed.")
        case "57014":
            return Failure(
                .deadlineExceeded, reason: DatabaseReason.statementTimeout,
                "A database statement took longer than its limit and was stopped.",
                remedy: "Try again when the system is less busy, or ask for less at once.")
        case "53300":
            return Failure(
                .unavailable, reason: "DATABASE_CONNECTIONS", "PostgreSQL has no connection slot left.",
                remedy: "Lower the pool sizes or raise max_connections.", retryAfterMs: 1000)
        default: return failureByClass
        }
    }

    private var failureByClass: Failure {
        switch sqlState.prefix(2) {
        case "08", "57", "":
            return .databaseUnavailable("the server ended the connection\(sqlState.isEmpty ? "" : " (\(sqlState))").")
        case "53":
            let isDisk = sqlState == "53100"
            return Failure(
                .resourceExhausted, reason: isDisk ? DatabaseReason.diskFull : "DATABASE_RESOURCES",
                isDisk
                    ? "The disk of the database is full; nothing was stored."
                    : "PostgreSQL ran out of memory or a limit.",
                remedy: isDisk ? "Free space on the volume of the data directory, then try again." : "Try again later.")
        case "22":
            return Failure(
                .invalidArgument, reason: "SQL_\(sqlState)",
                "The database refused a value: out of range, or text that is not valid UTF-8 without U+0000.")
        case "25":
            return Failure(
                .unavailable, reason: "DATABASE_READ_ONLY",
                "PostgreSQL refused the change in this transaction (\(sqlState)).",
                remedy: "Check that the database URL names the primary, not a standby.")
        case "42":
            return Failure(
                .internalError, reason: "SQL_\(sqlState)", "PostgreSQL did not accept a statement: \(primary).",
                remedy: "Check that the schema is migrated and that the database user owns it.")
        case "55":
            return Failure(
                .aborted, reason: "SQL_\(sqlState)", "The database could not get a lock in time.", remedy: "Try again.",
                retryAfterMs: 200)
        case "XX":
            return Failure(
                .dataLoss, reason: "SQL_\(sqlState)", "PostgreSQL reports an internal error or damaged data.",
                remedy: "Look into PostgreSQL's log and run `acp kb fsck`.")
        default:
            return Failure(
                .internalError, reason: "SQL_\(sqlState)", "A database statement failed with SQLSTATE \(sqlState).")
        }
    }
}
