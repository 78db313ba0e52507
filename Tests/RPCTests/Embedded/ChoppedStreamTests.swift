import Core
import NIOCore
import Testing

@testable import RPC

/// Every kind of call as the bytes of real ends, cut in two at every byte and handed over byte by byte, in both directions: what comes of it
/// never depends on how bytes are read.
@Suite struct ChoppedStreamTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let kind: RecordedExchange.Kind
        let wire: RecordedExchange.Wire
        var testDescription: String { "\(kind), \(wire)" }
    }

    static let cases = RecordedExchange.Kind.allCases.flatMap { kind in
        RecordedExchange.Wire.allCases.map { Case(kind: kind, wire: $0) }
    }

    private func pieces(_ bytes: ByteBuffer, cutAt cut: Int?) -> [ByteBuffer] {
        guard let cut else {
            return (0..<bytes.readableBytes).map { ByteBuffer(bytes: [bytes.getInteger(at: $0) ?? 0]) }
        }
        // Buffers of their own: parts of one would hide what is read beyond the end.
        var rest = bytes
        let first = rest.readBytes(length: cut) ?? []
        return [ByteBuffer(bytes: first), ByteBuffer(bytes: rest.readBytes(length: rest.readableBytes) ?? [])]
    }

    /// What a server answered, without what depends on when credit was gathered.
    private struct Answer: Equatable {
        var types: [FrameType] = []
        var metas: [[UInt8]] = []
        var payload: [UInt8] = []
        var credit: [UInt32: UInt32] = [:]

        init(_ frames: [WireFrame], _ wire: RecordedExchange.Wire) {
            for var frame in frames {
                if frame.flags.contains(.crc32c) { frame.payload.removeLast(Checksum.bytes) }
                if let credit = frame.credit {
                    self.credit[frame.stream, default: 0] += credit
                } else if frame.type == .data {
                    payload += frame.payload
                } else {
                    types.append(frame.type)
                    metas.append(frame.meta)
                    payload += frame.payload
                }
            }
        }
    }

    private func answer(_ wire: RecordedExchange.Wire, _ pieces: [ByteBuffer]) throws -> Answer {
        let server = try RecordedExchange.server(wire)
        for piece in pieces { server.receive(piece) }
        let answer = Answer(try server.sent(), wire)
        #expect(server.connection.openStreamCount == 0 && !server.connection.isClosed)
        server.lose()
        return answer
    }

    @Test(arguments: cases) func serversAnswerTheSame(_ recorded: Case) throws {
        let exchange = try RecordedExchange(recorded.kind, recorded.wire)
        var whole = exchange.fromServer
        let expected = Answer(try WireFrame.read(&whole), recorded.wire)
        #expect(expected.types.last == .status)
        for cut in 1..<exchange.fromClient.readableBytes {
            let answer = try answer(recorded.wire, pieces(exchange.fromClient, cutAt: cut))
            #expect(answer == expected, "cut at \(cut)")
            guard answer == expected else { return }
        }
        #expect(try answer(recorded.wire, pieces(exchange.fromClient, cutAt: nil)) == expected)
    }

    private func messages(_ recorded: Case, _ pieces: [ByteBuffer]) throws -> [ByteBuffer]? {
        let client = try RecordedExchange.client(recorded.wire)
        let call = EmbeddedCall(client, recorded.kind)
        for piece in pieces { client.receive(piece) }
        #expect(!client.connection.isClosed)
        client.lose()
        guard case .success(let messages) = call.result else { return nil }
        return messages
    }

    @Test(arguments: cases) func clientsReadTheSame(_ recorded: Case) throws {
        let exchange = try RecordedExchange(recorded.kind, recorded.wire)
        for cut in 1..<exchange.fromServer.readableBytes {
            let messages = try messages(recorded, pieces(exchange.fromServer, cutAt: cut))
            #expect(messages == exchange.messages, "cut at \(cut)")
            guard messages == exchange.messages else { return }
        }
        #expect(try messages(recorded, pieces(exchange.fromServer, cutAt: nil)) == exchange.messages)
    }

    /// Bytes that end too early leave everything open, and losing the connection ends it.
    @Test(arguments: cases) func truncatedAnswersAreLosses(_ recorded: Case) throws {
        let exchange = try RecordedExchange(recorded.kind, recorded.wire)
        for count in stride(from: 0, to: exchange.fromServer.readableBytes, by: 3) {
            let client = try RecordedExchange.client(recorded.wire)
            let call = EmbeddedCall(client, recorded.kind)
            client.receive(pieces(exchange.fromServer, cutAt: count)[0])
            #expect(call.result == nil, "after \(count) bytes")
            client.lose()
            #expect(call.failure?.reason == "CONNECTION_LOST", "after \(count) bytes")
            guard call.failure != nil else { return }
        }
    }
}
