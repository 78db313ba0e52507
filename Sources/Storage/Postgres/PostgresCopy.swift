internal import CPQ
internal import Core

extension PostgresConnection {
    /// Bytes gathered before they are handed to libpq.
    private static let copyBufferBytes = 65_536

    /// Runs `COPY … FROM STDIN (FORMAT binary)` with `rows`, whose values must have exactly the columns' types.
    /// Returns the number of rows stored. For bulk: two round trips more than a statement, but the least work per row.
    @discardableResult
    public func copyIn(_ sql: StaticString, rows: some Sequence<[SQLValue]>) throws -> Int {
        try requireUsable()
        if let isolation = pendingBegin {
            pendingBegin = nil
            _ = try exchange([.plain(isolation.begin)])
        }
        // COPY is not allowed in pipeline mode.
        guard PQexitPipelineMode(handle.raw) == 1 else { throw lost() }
        let outcome = Result { try copy(sql, rows) }
        guard isBroken || PQenterPipelineMode(handle.raw) == 1 else { throw lost() }
        return try outcome.get()
    }

    private func copy(_ sql: StaticString, _ rows: some Sequence<[SQLValue]>) throws -> Int {
        guard PQsendQuery(handle.raw, sql.cString) == 1 else { throw lost() }
        guard let start = try nextResult(until: answerDeadline) else { throw lost() }
        guard PQresultStatus(start.raw) == PGRES_COPY_IN else {
            _ = try finish()
            throw ServerError(start.raw).failure
        }
        // Signature, flags, header extension length: "Binary Format" in PostgreSQL's documentation of COPY.
        var buffer: [UInt8] = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)
        for row in rows {
            buffer.append(bigEndian: Int16(clamping: row.count))
            for value in row {
                let lengthAt = buffer.count
                buffer.append(bigEndian: Int32(-1))
                if let length = value.encode(into: &buffer) {
                    buffer.patch(bigEndian: Int32(clamping: length), at: lengthAt)
                }
            }
            if buffer.count >= Self.copyBufferBytes {
                try put(buffer)
                buffer.removeAll(keepingCapacity: true)
            }
        }
        buffer.append(bigEndian: Int16(-1))
        try put(buffer)
        try retryingWhileFull { PQputCopyEnd(handle.raw, nil) }
        return try finish()
    }

    private func put(_ buffer: [UInt8]) throws {
        try buffer.withUnsafeBytes { bytes in
            try retryingWhileFull {
                PQputCopyData(
                    handle.raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: bytes.count))
            }
        }
    }

    /// libpq answers 0 while its buffer is full and the socket would block.
    private func retryingWhileFull(_ body: () -> Int32) throws {
        let deadline = answerDeadline
        while true {
            switch body() {
            case 1: return
            case 0: guard handle.wait(forWriting: true, until: deadline) else { throw lost() }
            default: throw lost()
            }
        }
    }

    /// Reads every result up to the end of the command: the rows stored, or the failure.
    private func finish() throws -> Int {
        let deadline = answerDeadline
        var stored = 0
        var failure: Failure?
        while let result = try nextResult(until: deadline) {
            if PQresultStatus(result.raw) == PGRES_COMMAND_OK {
                stored = Rows(result).affected
            } else if PQstatus(handle.raw) != CONNECTION_OK {
                throw lost()
            } else {
                failure = failure ?? ServerError(result.raw).failure
            }
        }
        if let failure { throw failure }
        return stored
    }
}

extension PostgresConnection {
    /// Runs a file of several statements inside the current transaction. Only for migrations: the text is ours and has no parameters.
    func executeScript(_ sql: [UInt8]) throws {
        try requireUsable()
        guard PQexitPipelineMode(handle.raw) == 1 else { throw lost() }
        let outcome = Result {
            guard
                (sql + [0]).withUnsafeBytes({
                    PQsendQuery(handle.raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
                }) == 1
            else { throw lost() }
            _ = try finish()
        }
        guard isBroken || PQenterPipelineMode(handle.raw) == 1 else { throw lost() }
        try outcome.get()
    }
}
