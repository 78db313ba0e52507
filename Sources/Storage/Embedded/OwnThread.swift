import CProcess
import Core

/// Runs `body` on a new thread of its own; for blocking work, which must not hold a thread of the cooperative pool.
func startThread(_ body: @escaping @Sendable () -> Void) throws {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body))
    let code = acp_thread_start(
        { context in
            if let context { Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body() }
        }, box.toOpaque(), 1 << 20)
    guard code == 0 else {
        box.release()
        throw Failure(
            .resourceExhausted, "No thread could be started: \(ServerFiles.errorText(-code)).",
            remedy: "Raise the limit of processes (ulimit -u).")
    }
}

/// The result of blocking `body`, run on a thread of its own.
func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        do {
            try startThread { continuation.resume(with: Result { try body() }) }
        } catch {
            continuation.resume(throwing: error)
        }
    }
}
