public import Core

/// Surrounds every call of a server: metrics, logs. The first of a list is the outermost.
public protocol ServerInterceptor: Sendable {
    /// Runs `next` and sees how it ended. Must rethrow what `next` throws, or something better.
    func intercept(
        _ context: ServerContext, next: @Sendable () async throws -> (any WireMessage)?
    ) async throws -> (any WireMessage)?
}

/// Proves who calls.
public protocol Authenticator: Sendable {
    /// The principal of a credential.
    /// - Throws: `Failure` UNAUTHENTICATED when the credential proves nobody, UNAVAILABLE when that cannot be found out now.
    func authenticate(_ credential: String) async throws -> Principal
}
