import Core
import NIOCore
import Testing

@testable import RPC

/// Clients and servers of other protocols at the other end.
@Suite struct ForeignProtocolTests {
    static let openings: [(name: String, bytes: [UInt8])] = [
        ("SSH", Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)), ("HTTP/2", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)),
        ("a lower-case method", Array("get / http/1.1\r\n\r\n".utf8)), ("Redis", Array("*1\r\n$4\r\nPING\r\n".utf8)),
        ("Redis, inline", Array("ping\r\n".utf8)), ("PostgreSQL", [0, 0, 0, 8, 4, 0xD2, 0x16, 0x2F]),
        ("MySQL", [0x4A, 0, 0, 0, 10] + Array("8.0\0".utf8)), ("Kafka", [0, 0, 0, 0x17, 0, 0x12, 0, 3]),
        ("MQTT", [0x10, 0x0F, 0, 4] + Array("MQTT".utf8)), ("zeros", Array(repeating: 0, count: 5000)),
        ("a newline", [0x0A]), ("high bytes", [0xFF, 0xFE, 0xFD]),
        ("only the first byte is ours", [0xAC] + Array("hello there".utf8)),
    ]

    @Test func aClientOfAnotherProtocolGetsSomethingReadableAndAClose() async throws {
        try await TestSystem.with(.tcp) { system in
            for (name, bytes) in Self.openings {
                let answer = try await RawPeer.exchange(system, [bytes])
                let text = String(decoding: answer, as: UTF8.self)
                #expect(text.contains("ACP"), "\(name): \(text)")
                #expect(answer.count < 1000, "\(name)")
            }
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(5))
            #expect(reply.bytes.readableBytes == 5, "others are served")
        }
    }

    @Test func aServerOfAnotherProtocolFailsTheCallWithAReason() throws {
        for (name, bytes) in Self.openings {
            let end = try EmbeddedEnd.client(greets: false)
            let call = EmbeddedCall(end)
            end.receive(ByteBuffer(bytes: bytes))
            // Too few bytes for a frame say nothing yet; then the time for HELLO ends it.
            if call.result == nil { end.embedded.pass(milliseconds: 5000) }
            let failure = try #require(call.failure, "\(name)")
            #expect(failure.code == .internalError || failure.code == .unavailable, "\(name): \(failure)")
            #expect(!failure.message.isEmpty)
            #expect(end.connection.isClosed, "\(name)")
            end.lose()
        }
    }
}
