import Core
import NIOCore

@testable import RPC

/// A call over a client's end on an embedded loop.
final class EmbeddedCall: @unchecked Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case unary, largeUnary, serverStream, clientStream, chat

        var method: MethodDescriptor {
            switch self {
            case .unary, .largeUnary: EmbeddedService.echo
            case .serverStream: EmbeddedService.count
            case .clientStream: EmbeddedService.collect
            case .chat: EmbeddedService.chat
            }
        }

        /// What the caller sends. Bytes that repeat, so that they can be compressed.
        var requests: [ByteBuffer] {
            switch self {
            case .unary, .serverStream: [message(0, 20)]
            case .largeUnary: [message(0, 1600)]
            case .clientStream, .chat: [message(0, 30), message(1, 0), message(2, 1200)]
            }
        }

        private func message(_ index: Int, _ count: Int) -> ByteBuffer {
            ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: index + $0 % 23 * 7) })
        }
    }

    let stream: ClientStream
    let kind: Kind
    private let end: EmbeddedEnd<ClientConnection>
    private var task: Task<Void, Never>?
    /// The messages that came, once the call has ended.
    private(set) var result: Result<[ByteBuffer], Failure>?

    init(
        _ end: EmbeddedEnd<ClientConnection>, _ kind: Kind = .unary, requests: [ByteBuffer]? = nil,
        timeoutMs: Int64? = nil
    ) {
        self.end = end
        self.kind = kind
        stream = ClientStream(connection: end.connection)
        let requests = requests ?? kind.requests
        let deadline = timeoutMs.map { end.embedded.now.advanced(by: .milliseconds($0)) }
        let streams = kind == .clientStream || kind == .chat
        let opening = ClientConnection.Opening(
            method: kind.method, meta: RequestMeta(), deadline: deadline, endStream: !streams)
        task = Task.immediate(executorPreference: end.embedded.context.executor) { [self] in
            do { result = .success(try await run(opening, requests)) } catch {
                // What the client does when a caller gives up.
                if stream.isOpen { end.connection.cancel(stream) }
                result = .failure(Failure(wrapping: error))
            }
        }
        end.embedded.run()
    }

    /// A call as a fuzzer chooses it.
    convenience init(_ end: EmbeddedEnd<ClientConnection>, choice: UInt8) {
        let kinds: [Kind] = [.unary, .serverStream, .clientStream, .chat, .largeUnary]
        self.init(
            end, kinds[Int(choice & 7) % kinds.count],
            timeoutMs: choice & 0x40 == 0 ? nil : Int64(choice >> 3 & 7) * 20 + 1)
    }

    private func run(_ opening: ClientConnection.Opening, _ requests: [ByteBuffer]) async throws -> [ByteBuffer] {
        switch kind {
        case .unary, .largeUnary:
            return [
                try await cancellable {
                    try await withUnsafeThrowingContinuation { continuation in
                        self.stream.expectAnswer(continuation)
                        self.end.connection.open(self.stream, opening, first: RawMessage(requests[0]))
                    }
                }
            ]
        case .serverStream:
            end.connection.open(stream, opening, first: RawMessage(requests[0]))
            return try await readAll()
        case .clientStream:
            end.connection.open(stream, opening, first: nil as RawMessage?)
            try await sendAll(requests)
            return [try await cancellable { try await self.stream.answer() }]
        case .chat:
            end.connection.open(stream, opening, first: nil as RawMessage?)
            async let sent: Void = sendAll(requests)
            let read: Result<[ByteBuffer], any Error>
            do { read = .success(try await readAll()) } catch { read = .failure(error) }
            try await sent
            return try read.get()
        }
    }

    private func cancellable<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        try await withTaskCancellationHandler {
            try await body()
        } onCancel: {
            end.connection.cancel(stream)
        }
    }

    private func sendAll(_ requests: [ByteBuffer]) async throws {
        do {
            for request in requests { try await stream.send(request, endStream: false) }
            try await stream.send(nil, endStream: true)
        } catch let failure as Failure where failure.reason == "STREAM_ENDED" {
            // The server has answered: its answer is the outcome.
        } catch {
            // Nothing more comes of the call: who reads it must not wait.
            if stream.isOpen { end.connection.cancel(stream) }
            throw error
        }
    }

    private func readAll() async throws -> [ByteBuffer] {
        var messages: [ByteBuffer] = []
        while let message = try await cancellable({ try await self.stream.next() }) { messages.append(message) }
        return messages
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
