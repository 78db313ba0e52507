internal import Core
internal import RPC
internal import Storage

/// API keys as the credentials of calls.
struct KeyAuthenticator: Authenticator {
    let keys: KeyStore

    func authenticate(_ credential: String) async throws -> Principal { try await keys.authenticate(credential) }
}
