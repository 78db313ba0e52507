import Core
import NIOCore
import Testing

@testable import RPC

/// Text that is not UTF-8, or holds NUL, in every place of the wire that has text.
@Suite struct InvalidTextTests {
    static let texts: [[UInt8]] = [[0xC3, 0x28], [0xFF], [0xED, 0xA0, 0x80], [0x61, 0]]

    /// A field of this number with these bytes.
    private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(bytes.count)] + bytes
    }

    private static let path = field(1, Array(EmbeddedService.echo.path.utf8))

    @Test(arguments: texts) func inARequestTheyEndTheCallAlone(_ text: [UInt8]) throws {
        let places: [(String, [UInt8])] = [
            ("path", Self.field(1, Array("/a/".utf8) + text)), ("trace state", Self.path + Self.field(6, text)),
            ("request id", Self.path + Self.field(7, text)), ("correlation id", Self.path + Self.field(8, text)),
            ("idempotency key", Self.path + Self.field(9, text)), ("credential", Self.path + Self.field(11, text)),
            ("metadata key", Self.path + Self.field(12, Self.field(1, text) + Self.field(2, [0x61]))),
            ("metadata value", Self.path + Self.field(12, Self.field(1, [0x6B]) + Self.field(2, text))),
        ]
        let end = try EmbeddedEnd.server()
        for (index, (place, meta)) in places.enumerated() {
            let stream = UInt32(2 * index + 1)
            end.receive(WireFrame(type: .request, flags: [.endMessage, .endStream], stream: stream, meta: meta))
            let status = try #require(try end.sent().first { $0.stream == stream }?.statusMeta, "\(place)")
            #expect(status.failure?.code == .invalidArgument, "\(place)")
        }
        end.receive(.request(101, EmbeddedService.echo.path))
        #expect(try end.sent().first?.statusMeta?.failure == nil, "the connection goes on")
        end.lose()
    }

    @Test(arguments: texts) func inAHelloTheyEndTheConnection(_ text: [UInt8]) throws {
        let known = WireHello(role: "r", instance: "i", build: "b", credential: "c")
        let bytes = Array(known.encoded().readableBytesView)
        // Each of the four texts is one letter; each place in turn holds the bad one.
        let places = bytes.indices.filter { [0x72, 0x69, 0x62, 0x63].contains(bytes[$0]) && bytes[$0 - 1] == 1 }
        #expect(places.count == 4)
        for place in places {
            let meta = Array(bytes[..<(place - 1)]) + [UInt8(text.count)] + text + Array(bytes[(place + 1)...])
            let end = try EmbeddedEnd.server(router: EmbeddedService().router, greets: false)
            end.receivePreface()
            end.receive(WireFrame(type: .hello, meta: meta))
            #expect(try end.sent().last?.goAway?.message.contains("HELLO cannot be read") == true)
            end.lose()
        }
    }

    @Test(arguments: texts) func inAMessageTheyEndTheCallAlone(_ text: [UInt8]) async throws {
        try await TestSystem.with(.tcp) { system in
            // The only text of the request, and one in a map of a message of it: fields 1 and 4.
            for bytes in [Self.field(1, text), Self.field(4, Self.field(1, text)), Self.field(4, Self.field(2, text))] {
                let refused = await failure { () -> RawMessage in
                    try await system.client.unary(TestSystem.fail, RawMessage(ByteBuffer(bytes: bytes)))
                }
                #expect(refused?.reason == "MALFORMED_MESSAGE", "\(bytes)")
            }
            let reply: RawMessage = try await system.client.unary(TestSystem.echo, bytes(3))
            #expect(reply.bytes.readableBytes == 3)
        }
    }

    @Test(arguments: texts) func aServersTheyEndTheConnectionAndItsCallsLearnWhy(_ text: [UInt8]) throws {
        let code: [UInt8] = [8, 2]
        let frames: [(String, WireFrame)] = [
            (
                "message",
                .init(type: .status, flags: [.endStream, .noMessage], stream: 1, meta: code + Self.field(2, text))
            ),
            (
                "reason",
                .init(type: .status, flags: [.endStream, .noMessage], stream: 1, meta: code + Self.field(3, text))
            ),
            (
                "remedy",
                .init(type: .status, flags: [.endStream, .noMessage], stream: 1, meta: code + Self.field(4, text))
            ),
            (
                "field",
                .init(
                    type: .status, flags: [.endStream, .noMessage], stream: 1,
                    meta: code + Self.field(5, Self.field(1, text)))
            ),
            (
                "trailing metadata",
                .init(
                    type: .status, flags: [.endStream, .noMessage], stream: 1,
                    meta: Self.field(7, Self.field(1, [0x6B]) + Self.field(2, text)))
            ),
            ("initial metadata", .init(type: .headers, stream: 1, meta: Self.field(1, Self.field(1, text)))),
            ("GOAWAY", .init(type: .goAway, meta: Self.field(3, text))),
        ]
        for (place, frame) in frames {
            let end = try EmbeddedEnd.client()
            let call = EmbeddedCall(end)
            end.receive(frame)
            #expect(call.failure?.code == .internalError, "\(place): \(String(describing: call.result))")
            // The server may have done the work: nothing says that a repeat is safe.
            #expect(call.stream.progress == .sent, "\(place)")
            #expect(end.connection.isClosed, "\(place)")
            end.lose()
        }
    }
}
