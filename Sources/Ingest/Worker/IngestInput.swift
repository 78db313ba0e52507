internal import Core
internal import Storage

/// A claimed job with what it is about.
struct IngestInput: Sendable {
    var lease: JobLease
    var documentID: UUIDv7
    var revisionID: UUIDv7
    /// Of the revision within its document.
    var sequence: Int
    /// A revision that was published before is not processed again.
    var isPublished: Bool
    var sha256: [UInt8]
    var size: Int
    var mediaType: MediaType
    var origin: String
    /// Given by the uploader; empty for the document's own.
    var title: String
    /// The original when it has one part.
    var part: [UInt8]?
    var traceparent: String
    var requestID: String

    /// The context of the call that uploaded the document, continued.
    var context: CallContext {
        CallContext(
            trace: TraceContext(traceparent: traceparent)?.child() ?? .root(),
            requestID: requestID.isEmpty ? lease.jobID.description : requestID)
    }

    /// Reads what the claimed jobs are about, in one round trip. A job that is about nothing that exists is left out.
    static func load(_ claimed: [ClaimedJob], on connection: isolated PostgresConnection) throws -> [IngestInput] {
        let leases = Dictionary(claimed.map { ($0.job.id, $0) }, uniquingKeysWith: { first, _ in first })
        return try connection.execute(
            """
            SELECT j.id, r.document_id, r.id, r.sequence, r.state, r.original_sha256, r.size, r.media_type, d.origin,
                coalesce(j.payload->>'title', ''), p.data
            FROM jobs j JOIN revisions r ON r.id = j.revision_id JOIN documents d ON d.id = r.document_id
            LEFT JOIN original_parts p ON p.sha256 = r.original_sha256 AND p.ordinal = 0 AND r.size <= $2
            WHERE j.id = ANY($1)
            """, [.uuidArray(claimed.map(\.job.id)), .int(SpooledOriginal.partBytes)]
        ).compactMap { row in
            guard let claim = leases[try row.uuid(0)] else { return nil }
            let state = try row.text(4)
            return IngestInput(
                lease: claim.lease, documentID: try row.uuid(1), revisionID: try row.uuid(2), sequence: try row.int(3),
                isPublished: state == "published" || state == "retracted", sha256: try row.bytes(5),
                size: try row.int(6),
                mediaType: MediaType(rawValue: try row.text(7)) ?? .plainText, origin: try row.text(8),
                title: try row.text(9), part: try row.optionalBytes(10), traceparent: claim.job.traceparent,
                requestID: claim.job.requestID)
        }
    }
}
