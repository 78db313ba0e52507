import Core
import NIOCore

@testable import RPC

/// A unary call over a client's end on an embedded loop.
final class EmbeddedCall: @unchecked Sendable {
    let stream: ClientStream
    private let end: EmbeddedEnd<ClientConnection>
    private var task: Task<Void, Never>?
    private(set) var result: Result<ByteBuffer, Failure>?

    init(
        _ end: EmbeddedEnd<ClientConnection>, _ method: MethodDescriptor = EmbeddedService.echo,
        _ request: RawMessage = RawMessage(), timeoutMs: Int64? = nil
    ) {
        self.end = end
        stream = ClientStream(connection: end.connection)
        let deadline = timeoutMs.map { end.embedded.now.advanced(by: .milliseconds($0)) }
        let opening = ClientConnection.Opening(
            method: method, meta: RequestMeta(), deadline: deadline, endStream: true)
        task = Task.immediate(executorPreference: end.embedded.context.executor) { [self] in
            do {
                result = .success(
                    try await withTaskCancellationHandler {
                        try await withUnsafeThrowingContinuation { continuation in
                            stream.expectAnswer(continuation)
                            end.connection.open(stream, opening, first: request)
                        }
                    } onCancel: {
                        end.connection.cancel(stream)
                    })
            } catch { result = .failure(Failure(wrapping: error)) }
        }
        end.embedded.run()
    }

    var failure: Failure? {
        if case .failure(let failure) = result { return failure }
        return nil
    }

    func cancel() {
        task?.cancel()
        end.embedded.run()
    }
}
