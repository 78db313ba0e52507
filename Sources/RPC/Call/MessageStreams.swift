internal import Core
public import NIOCore

/// Messages of one direction of a call, in order. Iterate once, from one task.
public struct MessageReader<Message: WireMessage>: AsyncSequence, Sendable {
    public typealias Element = Message
    public typealias Failure = any Error

    let source: MessageSource

    public struct AsyncIterator: AsyncIteratorProtocol {
        let reader: MessageReader

        public mutating func next() async throws -> Message? { try await reader.next() }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Message? {
            try await reader.next(isolation: actor)
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: self) }

    /// The next message; nil after the last. A call whose first attempt failed before anything came may be repeated here.
    /// - Throws: the call's `Failure`; CANCELLED when the task is cancelled, which also ends the call of a client. A server's call goes on.
    public func next(isolation: isolated (any Actor)? = #isolation) async throws -> Message? {
        while true {
            let stream = source.stream
            let bytes: ByteBuffer?
            do {
                bytes = try await stream.next()
            } catch {
                guard case .client(let call) = source else { throw error }
                try await call.restart(after: error)
                continue
            }
            return try bytes.map { try Message.decode($0) }
        }
    }

    /// Metadata that came before the first message. Complete once a message or the end has been read.
    public func initialMetadata() async throws -> Metadata {
        let stream = source.stream
        return try await stream.connection.onLoop { $0.resume(returning: stream.headers) }
    }

    /// Metadata of the status. Complete once the end has been read.
    public func trailingMetadata() async throws -> Metadata {
        let stream = source.stream
        return try await stream.connection.onLoop { $0.resume(returning: stream.trailers) }
    }
}

extension MessageReader {
    /// What the server says of the time that the call took it; nil until the end has been read, and when the call ended without its word.
    /// Only a client's reader has it.
    public func serverTimes() async throws -> ServerTimes? {
        guard case .client(let call) = source else { return nil }
        let stream = call.stream
        return try await stream.connection.onLoop { $0.resume(returning: stream.times) }
    }
}

/// Where the time of a call went at its server.
public struct ServerTimes: Sendable, Hashable {
    /// What the handler took.
    public var serverMicroseconds: UInt64
    /// What the call waited for its turn before that.
    public var queueMicroseconds: UInt64
}

/// Writes messages of one direction of a call.
public struct MessageWriter<Message: WireMessage>: Sendable {
    let source: MessageSource

    /// Sends one message; returns when flow control has let it out. The peer's pace is the writer's pace.
    /// - Throws: the call's `Failure` once it has ended; CANCELLED when the task is cancelled while it waits. That ends only this write: the
    ///   message was not sent, or what is left of it follows, and the call goes on for who reads it.
    public func write(_ message: Message) async throws {
        var buffer = ByteBuffer()
        message.encode(into: &buffer)
        try await source.streamForWriting().send(buffer, endStream: false)
    }

    /// Says that no message follows. Only the client side of bidirectional calls needs it; elsewhere the call's end says so.
    public func finish() async throws {
        try await source.streamForWriting().send(nil, endStream: true)
    }
}

/// Whose messages a reader or writer moves.
enum MessageSource: Sendable {
    case server(RPCStream)
    /// Repeated attempts replace its stream. Dropping the last reference ends the call.
    case client(ClientCall)

    var stream: RPCStream {
        switch self {
        case .server(let stream): stream
        case .client(let call): call.stream
        }
    }

    func streamForWriting() async throws -> RPCStream {
        switch self {
        case .server(let stream): stream
        case .client(let call): try await call.streamForWriting()
        }
    }
}

/// A message that is bytes already: the gateway's calls pass through untyped.
public struct RawMessage: WireMessage {
    public static var typeName: String { "" }
    public var bytes = ByteBuffer()

    public init() {}

    public init(_ bytes: ByteBuffer) { self.bytes = bytes }

    public static func decode(_ bytes: UnsafeRawBufferPointer, limits: DecodeLimits) throws -> RawMessage {
        RawMessage(ByteBuffer(bytes: bytes))
    }

    public func encode(into buffer: inout ByteBuffer) { buffer.writeImmutableBuffer(bytes) }
}

/// Server side: the caller's messages.
public typealias RequestReader<Message: WireMessage> = MessageReader<Message>
/// Server side: messages to the caller.
public typealias ResponseWriter<Message: WireMessage> = MessageWriter<Message>
/// Client side: the server's messages.
public typealias ResponseReader<Message: WireMessage> = MessageReader<Message>
/// Client side: messages to the server.
public typealias RequestWriter<Message: WireMessage> = MessageWriter<Message>
