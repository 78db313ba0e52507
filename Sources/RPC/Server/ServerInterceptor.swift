public import Core

/// Surrounds every call of a server. The first of a list is the outermost.
///
/// What only watches how calls end is a `ServerObserver`, which costs less.
public protocol ServerInterceptor: Sendable {
    /// Runs `next` and sees how it ended. Must rethrow what `next` throws, or something better. The caller gets its status only when
    /// every interceptor has returned.
    func intercept(_ context: ServerContext, next: () async throws -> Void) async throws
}

/// Proves who calls.
public protocol Authenticator: Sendable {
    /// The principal of a credential.
    /// - Throws: `Failure` UNAUTHENTICATED when the credential proves nobody, UNAVAILABLE when that cannot be found out now.
    func authenticate(_ credential: String) async throws -> Principal
}
