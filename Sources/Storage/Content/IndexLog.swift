public import Core

/// The log that every search replica follows: which revision became visible, got embeddings, or was withdrawn.
public enum IndexLog {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        case publish
        case embedded
        case retract
    }

    public struct Entry: Sendable, Hashable {
        /// Rises by one or more from entry to entry.
        public var sequence: Int64
        public var kind: Kind
        public var documentID: UUIDv7
        public var revisionID: UUIDv7
        public var createdAt: WallTime
    }

    /// One entry to write.
    public struct Addition: Sendable, Hashable {
        public var kind: Kind
        public var documentID: UUIDv7
        public var revisionID: UUIDv7

        public init(_ kind: Kind, documentID: UUIDv7, revisionID: UUIDv7) {
            self.kind = kind
            self.documentID = documentID
            self.revisionID = revisionID
        }
    }

    /// Entries in one `read`.
    public static let readLimitMax = 10_000

    /// Appends entries and returns their sequence numbers. Must be the LAST statement of the transaction.
    ///
    /// Numbers are taken before commit, so two transactions could commit in the other order and a follower that had read the higher
    /// number would never see the lower one. A lock held until commit makes commit order equal sequence order; being last keeps it short.
    @discardableResult
    public static func append(_ additions: [Addition], on connection: isolated PostgresConnection) throws -> [Int64] {
        guard !additions.isEmpty else { return [] }
        let results = try connection.pipeline([
            ("SELECT pg_advisory_xact_lock($1)", [.int64(AdvisoryLock.indexLog)]),
            (
                """
                INSERT INTO index_log (kind, document_id, revision_id)
                SELECT kind, document_id, revision_id
                FROM unnest($1::text[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS a (kind, document_id, revision_id, place)
                ORDER BY place
                RETURNING sequence
                """,
                [
                    .textArray(additions.map(\.kind.rawValue)), .uuidArray(additions.map(\.documentID)),
                    .uuidArray(additions.map(\.revisionID)),
                ]
            ),
        ])
        return try results[1].map { try $0.int64(0) }
    }

    /// The entries after `sequence` in order, at most `limit`.
    public static func read(
        after sequence: Int64, limit: Int, on connection: isolated PostgresConnection
    ) throws -> [Entry] {
        let rows = try connection.execute(
            """
            SELECT sequence, kind, document_id, revision_id, created_at FROM index_log
            WHERE sequence > $1 ORDER BY sequence LIMIT $2
            """, [.int64(sequence), .int(min(limit, readLimitMax))])
        return try rows.map { row in
            guard let kind = Kind(rawValue: try row.text(1)) else {
                throw Failure(
                    .failedPrecondition, reason: "INDEX_LOG_KIND", "The index log holds an entry of an unknown kind.",
                    remedy: "Run the version of the software that the database was migrated for.")
            }
            return Entry(
                sequence: try row.int64(0), kind: kind, documentID: try row.uuid(2), revisionID: try row.uuid(3),
                createdAt: try row.time(4))
        }
    }

    /// The last sequence number, 0 while the log is empty.
    public static func last(on connection: isolated PostgresConnection) throws -> Int64 {
        try connection.execute("SELECT coalesce(max(sequence), 0) FROM index_log").one().int64(0)
    }
}

/// Numbers of PostgreSQL's advisory locks, so that no two uses share one.
enum AdvisoryLock {
    /// "acp" and a serial number.
    static let migration: Int64 = 0x61_6370_0001
    static let indexLog: Int64 = 0x61_6370_0002
    static let firstKey: Int64 = 0x61_6370_0003
}
