public import Core
internal import Synchronization

/// API keys and who they stand for.
public final class KeyStore: Sendable {
    /// What may be shown of a key.
    public struct KeyInfo: Sendable, Hashable {
        public var publicID: String
        public var principal: Principal
        public var createdAt: WallTime
        public var expiresAt: WallTime?
        public var revokedAt: WallTime?
        /// To within a minute.
        public var lastUsedAt: WallTime?
    }

    /// A key just made, with its secret, which is not known to anyone afterwards.
    public struct NewKey: Sendable {
        public let key: APIKey
        public let principal: Principal
    }

    /// How long a proven key is believed without asking again, in milliseconds; bounds how long a revoked one still works.
    static let cacheMs = 900
    /// Proven keys remembered.
    private static let cachedMax = 10_000

    /// When the database was asked about a key, and the answer.
    private struct Proof: Sendable {
        let askedAt: MonotonicTime
        let principal: Task<Principal, any Error>
    }

    private let database: Database
    private let pepper: Pepper
    private let environment: String
    /// By HMAC, so that no secret lies in memory longer than its call.
    private let proofs = Mutex<[[UInt8]: Proof]>([:])

    /// - Parameter environment: part of new keys, e.g. `live`; 1 to 16 of a–z and 0–9.
    public init(database: Database, pepper: Pepper, environment: String = "live") {
        self.database = database
        self.pepper = pepper
        self.environment = environment
    }

    /// Who the bearer of `credential` is. Throws UNAUTHENTICATED when the key is malformed, unknown, revoked or expired, or its
    /// principal is disabled; UNAVAILABLE when that cannot be found out.
    public func authenticate(_ credential: String) async throws -> Principal {
        guard let key = APIKey(credential) else { throw Self.refused("it is not a valid API key") }
        let hmac = key.hmac(pepper: pepper.bytes)
        let now = MonotonicTime.now()
        let proof = proofs.withLock { proofs in
            if let proof = proofs[hmac], proof.askedAt.duration(to: now) < .milliseconds(Self.cacheMs) { return proof }
            if proofs.count >= Self.cachedMax { proofs.removeAll() }
            // One question for all calls that arrive with the same key.
            let proof = Proof(askedAt: now, principal: Task { [self] in try await lookUp(key) })
            proofs[hmac] = proof
            return proof
        }
        do {
            return try await proof.principal.value
        } catch {
            // Failures are not remembered: a key that was just made must work.
            proofs.withLock { if $0[hmac]?.askedAt == proof.askedAt { $0[hmac] = nil } }
            throw error
        }
    }

    /// Makes a key for the principal called `name`, who is made too, with `role`, unless they exist with that role.
    /// Throws ALREADY_EXISTS when they exist with another role.
    public func create(name: String, role: Role, expiresAt: WallTime? = nil) async throws -> NewKey {
        try Self.check(name: name)
        let key = try APIKey(environment: environment)
        let hmac = key.hmac(pepper: pepper.bytes)
        let principal = try await database.transaction { connection in
            try Self.insert(key, hmac, name: name, role: role, expiresAt: expiresAt, on: connection)
        }
        return NewKey(key: key, principal: principal)
    }

    /// The first administrator's key, made only while no administrator has a key that works; nil otherwise.
    public func ensureAdmin() async throws -> NewKey? {
        let key = try APIKey(environment: environment)
        let hmac = key.hmac(pepper: pepper.bytes)
        let principal: Principal? = try await database.transaction { connection in
            try connection.execute("SELECT pg_advisory_xact_lock($1)", [.int64(AdvisoryLock.firstKey)])
            let working = try connection.execute(
                """
                SELECT 1 FROM api_keys k JOIN principals p ON p.id = k.principal_id
                WHERE p.role = 'admin' AND p.disabled_at IS NULL AND k.revoked_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > now()) LIMIT 1
                """)
            guard working.isEmpty else { return nil }
            return try Self.insert(key, hmac, name: "admin", role: .admin, expiresAt: nil, on: connection)
        }
        return principal.map { NewKey(key: key, principal: $0) }
    }

    /// Revokes a key by its public id. It stops working everywhere within a second. Throws NOT_FOUND.
    public func revoke(publicID: String) async throws {
        let rows = try await database.run { connection in
            try connection.execute(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE public_id = $1 RETURNING 1",
                [.text(publicID)])
        }
        guard !rows.isEmpty else {
            throw Failure(
                .notFound, reason: "KEY_NOT_FOUND", "There is no API key \(publicID).",
                remedy: "List the keys to see them.")
        }
        // Here it stops at once.
        proofs.withLock { $0.removeAll() }
    }

    /// All keys, revoked ones included, by public id; a page of at most 1,000 after `after`.
    public func list(after: String = "", limit: Int = 1000) async throws -> [KeyInfo] {
        let rows = try await database.run { connection in
            try connection.execute(
                """
                SELECT k.public_id, p.id, p.name, p.role, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
                FROM api_keys k JOIN principals p ON p.id = k.principal_id
                WHERE k.public_id > $1 ORDER BY k.public_id LIMIT $2
                """, [.text(after), .int(max(0, min(limit, 1000)))])
        }
        return try rows.map { row in
            KeyInfo(
                publicID: try row.text(0),
                principal: Principal(id: try row.uuid(1), name: try row.text(2), role: try Self.role(try row.text(3))),
                createdAt: try row.time(4), expiresAt: try row.optionalTime(5), revokedAt: try row.optionalTime(6),
                lastUsedAt: try row.optionalTime(7))
        }
    }
}

extension KeyStore {
    private func lookUp(_ key: APIKey) async throws -> Principal {
        let rows = try await database.run { connection in
            try connection.execute(
                """
                SELECT p.id, p.name, p.role, k.secret_hmac, k.revoked_at IS NOT NULL, coalesce(k.expires_at <= now(), false),
                    p.disabled_at IS NOT NULL, coalesce(k.last_used_at < now() - interval '1 minute', true)
                FROM api_keys k JOIN principals p ON p.id = k.principal_id WHERE k.public_id = $1
                """, [.text(key.publicID)])
        }
        guard let row = rows.first, key.matches(try row.bytes(3), pepper: pepper.bytes) else {
            throw Self.refused("no such key was issued here")
        }
        if try row.bool(4) { throw Self.refused("it was revoked") }
        if try row.bool(5) { throw Self.refused("it has expired") }
        if try row.bool(6) { throw Self.refused("its owner is disabled") }
        if try row.bool(7) { try await recordUse(key.publicID) }
        return Principal(id: try row.uuid(0), name: try row.text(1), role: try Self.role(try row.text(2)))
    }

    /// At most once a minute per key, however often it is used.
    private func recordUse(_ publicID: String) async throws {
        _ = try await database.run { connection in
            try connection.execute(
                """
                UPDATE api_keys SET last_used_at = now()
                WHERE public_id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
                """, [.text(publicID)])
        }
    }

    private static func insert(
        _ key: APIKey, _ hmac: [UInt8], name: String, role: Role, expiresAt: WallTime?,
        on connection: isolated PostgresConnection
    ) throws -> Principal {
        let results = try connection.pipeline([
            (
                "INSERT INTO principals (id, name, role) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
                [.uuid(UUIDv7()), .text(name), .text(role.name)]
            ),
            ("SELECT id, role FROM principals WHERE name = $1", [.text(name)]),
        ])
        let row = try results[1].one()
        let principal = Principal(id: try row.uuid(0), name: name, role: try Self.role(try row.text(1)))
        guard principal.role == role else {
            throw Failure(
                .alreadyExists, reason: "PRINCIPAL_ROLE",
                "\(name) exists with the role \(principal.role.name), not \(role.name).",
                remedy: "Use another name, or ask for a key with the role they have.")
        }
        try connection.execute(
            "INSERT INTO api_keys (id, principal_id, public_id, secret_hmac, expires_at) VALUES ($1, $2, $3, $4, $5)",
            [.uuid(UUIDv7()), .uuid(principal.id), .text(key.publicID), .bytes(hmac), .time(expiresAt)])
        return principal
    }

    private static func role(_ name: String) throws -> Role {
        guard let role = Role(name: name) else {
            throw Failure(.internalError, reason: "ROLE", "The database holds a role that this version does not know.")
        }
        return role
    }

    private static func check(name: String) throws {
        guard (1...Limits.nameBytesMax).contains(name.utf8.count) else {
            throw Failure.invalid(field: "name", "must have 1 to \(Limits.nameBytesMax) bytes")
        }
    }

    private static func refused(_ why: String) -> Failure {
        Failure(
            .unauthenticated, reason: "API_KEY_INVALID", "The API key was refused: \(why).",
            remedy: "Give a key that an administrator issued for this system.")
    }
}
