internal import Core

/// Surrounds every call of a client. The first of a list is the outermost; attempts and copies of a call are inside of it.
public protocol ClientInterceptor: Sendable {
    /// Makes the call with `next`, once, with `options` or others made of them, and sees how it ended. Where the answer is a stream that the
    /// caller reads, `next` returns when that has begun. Must rethrow what `next` throws, or something better.
    func intercept(
        _ method: MethodDescriptor, _ options: CallOptions, next: (CallOptions) async throws -> Void) async throws
}

extension RPCClient {
    /// Makes a call inside the interceptors.
    func intercepted<Result>(
        _ method: MethodDescriptor, _ options: CallOptions, _ call: (CallOptions) async throws -> Result
    ) async throws -> Result {
        guard !interceptors.isEmpty else { return try await call(options) }
        var result: Result?
        try await intercept(from: 0, method, options) { result = try await call($0) }
        guard let result else {
            throw Failure(
                .internalError, reason: "NOT_CALLED",
                "An interceptor of \(method.name) returned without making the call.")
        }
        return result
    }

    private func intercept(
        from index: Int, _ method: MethodDescriptor, _ options: CallOptions,
        _ call: (CallOptions) async throws -> Void
    ) async throws {
        guard index < interceptors.count else { return try await call(options) }
        try await interceptors[index].intercept(method, options) { options in
            try await self.intercept(from: index + 1, method, options, call)
        }
    }
}
