internal import CPQ
internal import Core
internal import Glibc

/// How much a transaction sees of concurrent ones.
public enum Isolation: Sendable {
    /// Each statement sees what was committed before it began.
    case readCommitted
    case repeatableRead
    case serializable
    /// One snapshot for several reads; writes are refused.
    case readOnlySnapshot

    var begin: StaticString {
        switch self {
        case .readCommitted: "BEGIN"
        case .repeatableRead: "BEGIN ISOLATION LEVEL REPEATABLE READ"
        case .serializable: "BEGIN ISOLATION LEVEL SERIALIZABLE"
        case .readOnlySnapshot: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        }
    }
}

/// One connection to PostgreSQL with its own thread: everything isolated to it runs there and may block.
///
/// Got from `Database.run` or `Database.transaction`; never kept beyond them. libpq's pipeline mode is always on (except during COPY),
/// so that preparing, BEGIN and several statements travel in one round trip.
public actor PostgresConnection {
    /// Statements in one `pipeline`.
    public static let pipelineStatementsMax = 10_000
    /// Prepared statements kept per connection; beyond it all are dropped and prepared again when used.
    static let preparedStatementsMax = 256
    /// Added to the server's statement timeout before the client gives the connection up: the server should have answered.
    private static let answerGraceMs = 5000

    private struct Prepared {
        let name: String
        let types: [UInt32]
    }

    private nonisolated let executor: ThreadExecutor
    let handle: ConnectionHandle
    private let statementTimeoutMs: Int
    /// By address of the SQL literal, which lives forever and never changes.
    private var prepared: [UInt: Prepared] = [:]
    private var preparedCount = 0
    private var isInTransaction = false
    /// Set between the start of a transaction and its first statement, which carries BEGIN along.
    var pendingBegin: Isolation?
    /// Nothing more can be done with the connection; the pool replaces it.
    var isBroken = false

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    init(executor: ThreadExecutor, handle: ConnectionHandle, statementTimeoutMs: Int) {
        self.executor = executor
        self.handle = handle
        self.statementTimeoutMs = statementTimeoutMs
    }

    deinit { executor.stop() }

    /// Runs one statement, prepared at its first use on this connection. Outside a transaction it commits by itself.
    @discardableResult
    public func execute(_ sql: StaticString, _ parameters: [SQLValue] = []) throws -> Rows {
        let results = try pipeline([(sql, parameters)])
        return results[0]
    }

    /// Runs statements in order with one flush. All or nothing: outside a transaction they form one of their own.
    /// The first that fails ends the batch and is thrown.
    public func pipeline(_ statements: [(StaticString, [SQLValue])]) throws -> [Rows] {
        guard statements.count <= Self.pipelineStatementsMax else {
            throw Failure(
                .internalError, reason: "PIPELINE_SIZE",
                "A batch had more than \(Self.pipelineStatementsMax) statements.")
        }
        try requireUsable()
        if prepared.count >= Self.preparedStatementsMax {
            prepared.removeAll()
            _ = try exchange([.plain("DEALLOCATE ALL")])
        }
        var steps: [Step] = []
        steps.reserveCapacity(statements.count + 2)
        if let isolation = pendingBegin { steps.append(.plain(isolation.begin)) }
        // Statements that this batch prepares are known to later ones of the same batch, and to the connection once they succeeded.
        var preparedHere: [UInt: Prepared] = [:]
        for (sql, parameters) in statements {
            let key = UInt(bitPattern: sql.utf8Start)
            let types = parameters.map(\.typeOID)
            if let known = preparedHere[key] ?? prepared[key], known.types == types {
                steps.append(.run(known.name, parameters))
            } else {
                preparedCount += 1
                let statement = Prepared(name: "s\(preparedCount)", types: types)
                preparedHere[key] = statement
                steps.append(.prepare(statement.name, sql, types))
                steps.append(.run(statement.name, parameters))
            }
        }
        pendingBegin = nil
        let results = try exchange(steps)
        prepared.merge(preparedHere) { $1 }
        let rows = zip(steps, results).compactMap { step, result in
            if case .run = step { Rows(result) } else { nil }
        }
        precondition(rows.count == statements.count, "one result per statement when none failed")
        return rows
    }

    /// Runs `body` between BEGIN and COMMIT.
    private func transaction<T: Sendable>(
        _ isolation: Isolation, _ body: (isolated PostgresConnection) throws -> T
    ) throws -> T {
        guard !isInTransaction else {
            throw Failure(.internalError, reason: "NESTED_TRANSACTION", "A transaction was begun inside a transaction.")
        }
        isInTransaction = true
        pendingBegin = isolation
        defer {
            isInTransaction = false
            pendingBegin = nil
        }
        let value: T
        do {
            value = try body(self)
        } catch {
            rollback()
            throw error
        }
        try commit()
        return value
    }

    /// What became of one loan of the connection.
    struct Loan<T: Sendable>: Sendable {
        /// nil when the server had closed the connection while it was idle, so that nothing was run.
        var outcome: Result<T, any Error>?
        /// False when the connection was lost or left inside a transaction.
        var isReusable: Bool
    }

    /// Runs `body` for one borrower, in a transaction when `isolation` says so.
    func lend<T: Sendable>(
        _ isolation: Isolation?, _ body: (isolated PostgresConnection) throws -> T
    ) -> Loan<T> {
        if isStale() { return Loan(outcome: nil, isReusable: false) }
        do {
            let value = if let isolation { try transaction(isolation, body) } else { try body(self) }
            return Loan(outcome: .success(value), isReusable: isReusable)
        } catch {
            return Loan(outcome: .failure(error), isReusable: isReusable)
        }
    }

    private func commit() throws {
        // No statement ran: nothing was begun.
        guard pendingBegin == nil else { return }
        let results: [ResultHandle]
        do {
            results = try exchange([.plain("COMMIT")])
        } catch  where isBroken {
            throw Failure.commitUnknown()
        }
        // COMMIT of a failed transaction "succeeds" by rolling back.
        guard Rows(results[0]).command == "COMMIT" else {
            throw Failure(
                .aborted, reason: DatabaseReason.transactionAborted,
                "A statement of the transaction had failed; nothing was stored.")
        }
    }

    private func rollback() {
        guard pendingBegin == nil, !isBroken else { return }
        do { _ = try exchange([.plain("ROLLBACK")]) } catch { isBroken = true }
    }

    private var isReusable: Bool { !isBroken && PQtransactionStatus(handle.raw) == PQTRANS_IDLE }

    /// Looks, without waiting, whether the server has closed the idle connection (restart, administrator, timeout). A server that
    /// speaks unasked is nearly always saying farewell, so such a connection is not trusted further.
    private func isStale() -> Bool {
        if handle.isReadable { isBroken = true }
        return isBroken
    }
}

// MARK: - The exchange with the server

extension PostgresConnection {
    enum Step {
        case plain(StaticString)
        case prepare(String, StaticString, [UInt32])
        case run(String, [SQLValue])
    }

    func requireUsable() throws {
        if isBroken { throw Failure.databaseUnavailable("the connection was lost.") }
    }

    /// The moment at which a server that should have answered is given up.
    var answerDeadline: MonotonicTime {
        MonotonicTime.now().advanced(by: .milliseconds(statementTimeoutMs + Self.answerGraceMs))
    }

    /// Sends all steps and one sync, then collects one result per step. After an error the connection is usable again
    /// unless `isBroken`.
    func exchange(_ steps: [Step]) throws -> [ResultHandle] {
        let connection = handle.raw
        for step in steps {
            guard send(step, on: connection) == 1 else { throw lost() }
        }
        guard PQpipelineSync(connection) == 1 else { throw lost() }

        let deadline = answerDeadline
        var results: [ResultHandle] = []
        results.reserveCapacity(steps.count)
        var failure: Failure?
        for step in steps {
            // Each step answers with one result and a terminating null.
            while let result = try nextResult(until: deadline) {
                switch PQresultStatus(result.raw) {
                case PGRES_COMMAND_OK, PGRES_TUPLES_OK: results.append(result)
                case PGRES_PIPELINE_ABORTED: break
                default: failure = failure ?? refused(step, result)
                }
            }
        }
        guard let sync = try nextResult(until: deadline), PQresultStatus(sync.raw) == PGRES_PIPELINE_SYNC else {
            throw lost()
        }
        if let failure { throw failure }
        return results
    }

    private func send(_ step: Step, on connection: OpaquePointer) -> Int32 {
        switch step {
        case .plain(let sql):
            return PQsendQueryParams(connection, sql.cString, 0, nil, nil, nil, nil, 1)
        case .prepare(let name, let sql, let types):
            return PQsendPrepare(connection, name, sql.cString, Int32(types.count), types)
        case .run(let name, let parameters):
            return EncodedParameters(parameters).withPointers { values, lengths, formats in
                PQsendQueryPrepared(connection, name, Int32(values.count), values, lengths, formats, 1)
            }
        }
    }

    private func refused(_ step: Step, _ result: ResultHandle) -> Failure {
        if PQstatus(handle.raw) != CONNECTION_OK { return lost() }
        let error = ServerError(result.raw)
        // A plan that no longer fits a changed table, or a statement the server forgot: prepare again next time.
        if error.sqlState == "0A000" || error.sqlState == "26000" { prepared.removeAll() }
        return error.failure
    }

    /// The next result, or nil at the end of a step. Waits on the socket itself, so that a server that stopped answering is noticed.
    func nextResult(until deadline: MonotonicTime) throws -> ResultHandle? {
        let connection = handle.raw
        while PQisBusy(connection) == 1 {
            let unsent = PQflush(connection)
            guard unsent >= 0 else { throw lost() }
            guard handle.wait(forWriting: unsent == 1, until: deadline) else { throw lost() }
            guard PQconsumeInput(connection) == 1 else { throw lost() }
        }
        return PQgetResult(connection).map(ResultHandle.init)
    }

    /// Marks the connection as lost and says why.
    func lost() -> Failure {
        isBroken = true
        return .databaseUnavailable(handle.errorMessage)
    }
}

extension StaticString {
    /// String literals are stored with a terminating zero.
    var cString: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}
