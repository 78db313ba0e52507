internal import Core
internal import RPC
internal import Storage

extension DocumentStore {
    /// Takes a document out of search: marked, its jobs cancelled, its current revision retracted, all in one transaction. Its revisions stay for
    /// the citations that name them. Deleting it again changes nothing.
    ///
    /// Returns the jobs it ended, to be announced.
    /// - Throws: NOT_FOUND.
    func delete(_ id: UUIDv7) async throws -> (document: RPC.Document, ended: [JobTransition]) {
        try await database.transaction { connection in
            let ended = try Self.delete(id, on: connection)
            guard let document = try DocumentQueries.load([id], on: connection).first else {
                throw DocumentQueries.notFound(id)
            }
            return (document, ended)
        }
    }

    private static func delete(_ id: UUIDv7, on connection: isolated PostgresConnection) throws -> [JobTransition] {
        // Documents are locked before jobs, here and when publishing.
        let rows = try connection.execute(
            "SELECT current_revision_id, deleted_at IS NOT NULL FROM documents WHERE id = $1 FOR UPDATE", [.uuid(id)])
        guard let row = rows.first else { throw DocumentQueries.notFound(id) }
        if try row.bool(1) { return [] }
        let current = try row.optionalUUID(0)
        let open = try connection.execute(
            """
            SELECT id FROM jobs WHERE revision_id IN (SELECT id FROM revisions WHERE document_id = $1)
                AND state IN ('queued', 'running') ORDER BY id FOR UPDATE
            """, [.uuid(id)]
        ).map { try $0.uuid(0) }
        let ended = try open.map { try JobQueue.cancel($0, on: connection) }
        _ = try connection.pipeline([
            (
                "UPDATE documents SET deleted_at = now(), updated_at = now(), current_revision_id = NULL WHERE id = $1",
                [.uuid(id)]
            ),
            (
                """
                UPDATE revisions SET state = 'failed', reason = 'DELETED', message = 'The document was deleted before it was processed.'
                WHERE document_id = $1 AND state = 'pending'
                """, [.uuid(id)]
            ),
            ("UPDATE revisions SET state = 'retracted' WHERE id = $1", [.uuid(current)]),
        ])
        if let current {
            try IndexLog.append([IndexLog.Addition(.retract, documentID: id, revisionID: current)], on: connection)
        }
        return ended
    }
}
