internal import Core
internal import RPC
internal import Storage

/// `acp.v1.Keys`.
struct KeysServer: KeysService {
    /// Keys in one answer.
    private static let keysMax = 10_000
    private static let nameBytesMax = 200

    let keys: KeyStore

    func createKey(_ request: CreateKeyRequest, _ context: ServerContext) async throws -> CreateKeyResponse {
        var check = FieldChecks()
        check.text("name", request.name, bytes: 1...Self.nameBytesMax)
        let role = Role(name: request.role)
        check.require("role", role != nil, "must be admin, analyst or viewer")
        try check.finish()
        guard let role else { throw Failure.invalid(field: "role", "must be admin, analyst or viewer") }
        let made = try await keys.create(name: request.name, role: role)
        let key = ApiKey(
            id: made.key.publicID, name: made.principal.name, role: made.principal.role.name,
            createdAt: Timestamp(WallTime.now()))
        return CreateKeyResponse(key: key, secret: made.key.text)
    }

    func listKeys(_ request: ListKeysRequest, _ context: ServerContext) async throws -> ListKeysResponse {
        var found: [KeyStore.KeyInfo] = []
        while found.count < Self.keysMax {
            let page = try await keys.list(after: found.last?.publicID ?? "")
            if page.isEmpty { break }
            found += page
        }
        return ListKeysResponse(keys: found.map(Self.key))
    }

    func revokeKey(_ request: RevokeKeyRequest, _ context: ServerContext) async throws -> ApiKey {
        var check = FieldChecks()
        check.text("id", request.id, bytes: 1...64)
        try check.finish()
        try await keys.revoke(publicID: request.id)
        // Keys are listed in the order of their ids, so it is among those right after its own beginning.
        let near = try await keys.list(after: String(request.id.dropLast()))
        guard let key = near.first(where: { $0.publicID == request.id }) else {
            throw Failure(.notFound, reason: "KEY_NOT_FOUND", "There is no API key \(request.id).")
        }
        return Self.key(key)
    }

    func whoAmI(_ request: WhoAmIRequest, _ context: ServerContext) async throws -> WhoAmIResponse {
        guard let principal = context.call.principal else {
            throw Failure(.unauthenticated, reason: "NO_CREDENTIALS", "The call came without an API key.")
        }
        return WhoAmIResponse(principalID: principal.id.description, name: principal.name, role: principal.role.name)
    }

    private static func key(_ info: KeyStore.KeyInfo) -> ApiKey {
        ApiKey(
            id: info.publicID, name: info.principal.name, role: info.principal.role.name,
            createdAt: Timestamp(info.createdAt), lastUsedAt: info.lastUsedAt.map { Timestamp($0) },
            revoked: info.revokedAt != nil)
    }
}
