import Core
import NIOCore

@testable import RPC

/// Valid inputs of the codecs.
enum CodecSeeds {
    static var requestMeta: [(name: String, bytes: [UInt8])] {
        var meta = RequestMeta()
        meta.timeoutMicroseconds = 1_500_000
        meta.trace = TraceContext(traceHigh: 1, traceLow: 2, span: 3, state: "a=b")
        meta.requestID = "request"
        meta.correlationID = "é漢😀"
        meta.idempotencyKey = "key"
        meta.attempt = 300
        meta.credential = "secret"
        try? meta.metadata.add("color", "blue")
        try? meta.metadata.add("raw-bin", bytes: [0, 255])
        func encoded(_ meta: RequestMeta, _ path: String) -> [UInt8] {
            var buffer = ByteBuffer()
            _ = meta.encode(path: Array(path.utf8), into: &buffer)
            return Array(buffer.readableBytesView)
        }
        return [
            ("empty", []), ("path", encoded(RequestMeta(), "/a.B/C")), ("full", encoded(meta, "/acp.v1.Search/Search")),
            ("later-version", encoded(RequestMeta(), "/a.B/C") + [0xA2, 0x06, 1, 7, 0xA5, 0x06, 0, 0, 0, 0]),
            ("wrong-wire-type", [1 << 3, 1]),
        ]
    }

    static var statusMeta: [(name: String, bytes: [UInt8])] {
        var failure = Failure(
            .invalidArgument, reason: "REASON", "It was refused.", remedy: "Do otherwise.",
            fields: [.init(field: "a.b", description: "is wrong")], retryAfterMs: 70_000)
        func encoded(_ meta: StatusMeta) -> [UInt8] {
            var buffer = ByteBuffer()
            _ = meta.encode(into: &buffer)
            return Array(buffer.readableBytesView)
        }
        var ok = StatusMeta()
        ok.serverMicroseconds = 1234
        try? ok.metadata.add("why-bin", bytes: [1, 2, 3])
        var refused = StatusMeta(failure: failure)
        refused.isRefused = true
        refused.queueMicroseconds = 99
        failure.fields = Array(repeating: failure.fields[0], count: 6)
        return [
            ("empty", []), ("ok", encoded(ok)), ("refused", encoded(refused)),
            ("fields", encoded(StatusMeta(failure: failure))),
            ("code-above-32-bits", [0x08, 0x80, 0x80, 0x80, 0x80, 0x10]),
        ]
    }

    static var hello: [(name: String, bytes: [UInt8])] {
        func encoded(_ change: (inout WireHello) -> Void) -> [UInt8] { WireFrame.hello(change).meta }
        func message(_ hello: WireHello) -> [UInt8] { Array(hello.encoded().readableBytesView) }
        return [
            ("empty", []),
            ("defaults", message(RPCLimits().hello(options: .init(), role: "client", instance: "i", build: "b"))),
            (
                "small",
                encoded {
                    $0.frameBytesMax = 1
                    $0.messageBytesMax = 1
                    $0.streamWindowBytes = 1
                    $0.connectionWindowBytes = 1
                    $0.streamsMax = 1
                }
            ),
            (
                "large",
                encoded {
                    $0.frameBytesMax = .max
                    $0.messageBytesMax = .max
                    $0.streamWindowBytes = .max
                    $0.connectionWindowBytes = .max
                    $0.features = .max
                }
            ), ("later", encoded { $0.minorMin = 1 }), ("credential", encoded { $0.credential = "secret" }),
        ]
    }

    static var zstd: [(name: String, bytes: [UInt8])] {
        let text = Array(repeating: Array("Some text that repeats itself. ".utf8), count: 60).flatMap { $0 }
        let packed = MessageCompressor().compress(ByteBuffer(bytes: text)).map { Array($0.readableBytesView) } ?? []
        return [
            ("packed", [0, 0xFF, 0xFF] + packed), ("packed-small-limit", [0, 0, 1] + packed),
            ("cut", [0, 0xFF, 0xFF] + packed.dropLast(3)), ("two", [0, 0xFF, 0xFF] + packed + packed),
            ("pack", [1] + text), ("pack-repeated", [0xF1] + Array("abcdefgh".utf8)),
        ]
    }
}

/// What real ends have said to each other, and scripts of frames.
enum ConnectionSeeds {
    private typealias T = FuzzTarget

    /// A frame of a script; see `FrameScript`.
    private static func step(
        _ type: FrameType, _ flags: FrameFlags, _ stream: UInt8, _ size: UInt8, _ rest: [UInt8] = []
    )
        -> [UInt8]
    { [type.rawValue, flags.rawValue, stream, size] + rest }

    private static let echo: UInt8 = 0
    private static let hold: UInt8 = 1
    private static let collect: UInt8 = 2
    private static let chat: UInt8 = 3
    private static let count: UInt8 = 4
    private static let whole: FrameFlags = [.endMessage, .endStream]
    private static let frames = T.isFrames | T.isGreeted

    static func server() throws -> [(name: String, bytes: [UInt8])] {
        var seeds: [(name: String, bytes: [UInt8])] = []
        for exchange in RecordedExchange.Kind.allCases {
            let recorded = try RecordedExchange(exchange)
            seeds.append(("bytes-\(exchange)", [0, 0] + Array(recorded.fromClient.readableBytesView)))
            seeds.append(("reads-\(exchange)", [0, 7] + Array(recorded.fromClient.readableBytesView)))
        }
        let unary = step(.request, whole, 1, echo, [5] + Array("hello".utf8))
        let stream = step(.request, .noMessage, 1, collect, [0]) + step(.data, .endMessage, 1, 3, [1, 2, 3])
        let end = step(.data, [.endStream, .noMessage], 1, 0)
        seeds += [
            ("unary", [frames, 0] + unary), ("unary-checksums", [frames | T.hasChecksums, 3] + unary),
            ("unary-small-limits", [frames | T.isSmall, 0] + step(.request, whole, 1, echo, [200])),
            ("client-stream", [frames, 0] + stream + end),
            ("chat", [frames, 0] + step(.request, .noMessage, 1, chat, [0]) + step(.data, whole, 1, 140)),
            (
                "server-stream",
                [frames | T.isSmall, 0] + step(.request, whole, 1, count, [140]) + step(.window, [], 1, 200, [0])
            ),
            ("deadline", [frames, 0] + step(.request, whole, 1, hold | 20 << 3, [0]) + [FrameScript.pass, 200]),
            (
                "cancel",
                [frames, 0] + step(.request, whole, 1, hold, [0]) + step(.cancel, [], 1, 0) + [FrameScript.socket, 2]
            ),
            (
                "queue",
                [frames | T.isLimited, 0]
                    + [UInt8(1), 3, 5, 7].flatMap { step(.request, whole, $0, hold, [0]) } + [FrameScript.socket, 2]
            ), ("parts", [frames, 1] + step(.request, .noMessage, 1, collect, [0]) + step(.data, [], 1, 255) + end),
            ("ping", [frames, 0] + step(.ping, [], 0, 2)),
            ("keepalive", [frames, 0] + [FrameScript.pass | 0x80, 255]),
            ("stall", [frames | T.isSmall, 0] + [FrameScript.socket, 0] + unary + unary + [FrameScript.socket, 1]),
            ("damage", [frames | T.hasChecksums, 0] + unary + [FrameScript.damaged, 0, 1, 3, 9, 9, 9, 14]),
            ("go-away", [frames, 0] + step(.goAway, [], 0, 0) + unary),
        ]
        return seeds
    }

    static func client() throws -> [(name: String, bytes: [UInt8])] {
        var seeds: [(name: String, bytes: [UInt8])] = []
        for exchange in RecordedExchange.Kind.allCases {
            let recorded = try RecordedExchange(exchange)
            seeds.append(("bytes-\(exchange)", [0, 0] + Array(recorded.fromServer.readableBytesView)))
        }
        let call = [FrameScript.call, 0]
        let answer = step(.status, whole, 1, 0, [3, 1, 2, 3])
        let failure = Array(CodecSeeds.statusMeta[2].bytes.prefix(120))
        seeds += [
            ("unary", [frames, 0] + call + answer), ("unary-small", [frames | T.isSmall, 1] + call + answer),
            ("checksums", [frames | T.hasChecksums, 0] + call + answer),
            (
                "failure",
                [frames, 0] + call + step(.status, [.endStream, .noMessage], 1, UInt8(failure.count), failure + [0])
            ),
            (
                "stream",
                [frames, 0] + [FrameScript.call, 1] + step(.data, .endMessage, 1, 130)
                    + step(.status, [.endStream, .noMessage], 1, 0, [0])
            ),
            ("upload", [frames | T.isSmall, 0] + [FrameScript.call, 2] + step(.window, [], 1, 4, [0]) + answer),
            (
                "chat",
                [frames, 0] + [FrameScript.call, 3] + step(.data, .endMessage, 1, 5, [1, 2, 3, 4, 5])
                    + step(.status, [.endStream, .noMessage], 1, 0, [0])
            ),
            ("headers", [frames, 0] + call + step(.headers, [], 1, 0) + answer),
            ("go-away", [frames, 0] + call + call + step(.goAway, [], 0, 0)),
            ("cancel", [frames, 0] + call + [FrameScript.call, 0x80] + answer),
            (
                "compressed",
                [frames | T.compresses, 0] + call
                    + step(.status, [.endMessage, .endStream, .zstd], 1, 0, [5, 1, 2, 3, 4, 5])
            ),
            (
                "parts",
                [frames, 0] + call + step(.data, [], 1, 255) + step(.data, .endMessage, 1, 1, [0])
                    + step(.status, [.endStream, .noMessage], 1, 0, [0])
            ),
        ]
        return seeds
    }
}
