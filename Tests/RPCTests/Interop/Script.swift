import NIOCore
import TestProtos

@testable import RPC

/// The bytes a misbehaving server writes to one call.
struct Script {
    let stream: UInt32
    let request: TestControlRequest

    /// What the server announces. It asks for no checksums, so the client's frames come without.
    static var hello: WireHello {
        var hello = WireHello()
        hello.features = Features.zstd.rawValue
        hello.role = "service"
        hello.instance = "scripted"
        return hello
    }

    /// Whether the connection is closed after the bytes.
    var closes: Bool {
        [.closeInsteadOfAnswer, .closeInsideMessage, .closeInsideFrame, .goAwayError].contains(request.misbehaviour)
    }

    var bytes: [UInt8] { frames.flatMap(\.bytes) + trailer }

    // MARK: Parts

    private func data(_ payload: [UInt8], _ flags: FrameFlags = .endMessage) -> RawFrame {
        RawFrame(type: 3, flags: flags.rawValue, stream: stream, payload: payload)
    }

    private func status(_ flags: FrameFlags = [.endStream, .noMessage], meta: [UInt8] = [], payload: [UInt8] = [])
        -> RawFrame
    {
        RawFrame(type: 4, flags: flags.rawValue, stream: stream, meta: meta, payload: payload)
    }

    private func answer(_ payload: [UInt8]) -> RawFrame { status([.endMessage, .endStream], payload: payload) }

    private var reply: [UInt8] { RawFrame.bytes(of: TestControlReply(payload: Array("fine".utf8))) }

    private var headers: RawFrame {
        var pair = WirePair()
        pair.key = "seen"
        pair.value = Array("yes".utf8)
        var headers = WireHeaders()
        headers.metadata = [pair]
        return RawFrame(type: 2, stream: stream, meta: RawFrame.bytes(of: headers))
    }

    private func goAway(last: UInt32, code: UInt32) -> RawFrame {
        var frame = WireGoAway()
        frame.lastStream = last
        frame.code = code
        frame.message = "as scripted"
        return RawFrame(type: 9, meta: RawFrame.bytes(of: frame))
    }

    private func window(_ credit: UInt32, stream: UInt32 = 0) -> RawFrame {
        RawFrame(type: 6, stream: stream, payload: credit.bigEndianBytes)
    }

    /// Bytes that are not whole frames.
    private var trailer: [UInt8] {
        switch request.misbehaviour {
        case .closeInsideFrame: Array(answer(reply).bytes.dropLast(2))
        case .notAFrame: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        default: []
        }
    }

    private var frames: [RawFrame] {
        switch request.misbehaviour {
        case .none, .unrecognized: [headers, answer(reply)]
        case .closeInsteadOfAnswer, .closeInsideFrame, .notAFrame: []
        case .closeInsideMessage: [data(reply, [])]
        case .goAwayError: [goAway(last: stream, code: 13)]
        case .goAwayRefusing: [goAway(last: stream - 1, code: 0)]
        case .goAwayThenAnswer: [goAway(last: stream, code: 0), headers, answer(reply)]
        case .windowExceeded: Array(repeating: data(ControlPayload.make(60_000)), count: 6)
        case .windowOverfilled: [window(0x7FFF_FFFF)]
        case .windowZero: [window(0, stream: stream)]
        case .windowShort: [RawFrame(type: 6, payload: [1])]
        case .windowOfUnknownStream: [window(1000, stream: stream + 1000), answer(reply)]
        case .emptyDataFlood: Array(repeating: data([], []), count: 1001)
        default: brokenFrames + brokenEncodings + brokenStreams
        }
    }

    private var brokenFrames: [RawFrame] {
        switch request.misbehaviour {
        case .unknownFrame: [RawFrame(type: 0x55)]
        case .ignorableFrame: [RawFrame(type: 0x95, stream: 6, meta: [1, 2], payload: [3]), answer(reply)]
        case .clientFrame: [RawFrame(type: 1, flags: 3, stream: stream)]
        case .oversizedFrame: [RawFrame(type: 3, stream: stream, claimedLength: 0x00FF_FFFF)]
        case .metaBeyondFrame: [RawFrame(type: 4, stream: stream, payload: [1], claimedMetaLength: 9)]
        case .metaTooLong: [status(meta: ControlPayload.make(RPCLimits.metaBytesMax + 1))]
        case .unknownFlag: [RawFrame(type: 4, flags: 0x42, stream: stream)]
        case .helloTwice: [RawFrame(type: 0, meta: RawFrame.bytes(of: Self.hello))]
        case .pingShort: [RawFrame(type: 7, payload: [1, 2, 3])]
        case .pingFlood: Array(repeating: RawFrame(type: 7, payload: [1, 2, 3, 4, 5, 6, 7, 8]), count: 101)
        default: []
        }
    }

    private var brokenEncodings: [RawFrame] {
        var checked = headers
        checked.hasChecksum = true
        var wrong = answer(reply)
        wrong.hasChecksum = true
        wrong.checksumError = 0x100
        // A frame without a declared size: magic, descriptor, window, one last raw block of three bytes.
        let sizeless: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x00, 0x19, 0x00, 0x00, 0x61, 0x62, 0x63]
        // One block of 128 KiB of the same byte, whose size is declared.
        let bomb: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0x00, 0x00, 0x02, 0x00, 0x03, 0x00, 0x10, 0x61]
        return switch request.misbehaviour {
        case .checksumUnasked: [checked]
        case .checksumWrong: [checked, wrong]
        case .checksumMissing: [checked, answer(reply)]
        case .zstdGarbage: [status([.endMessage, .endStream, .zstd], payload: Array("not zstd at all".utf8))]
        case .zstdWithoutSize: [status([.endMessage, .endStream, .zstd], payload: sizeless)]
        case .zstdBomb: [data(bomb, [.endMessage, .zstd]), status()]
        case .zstdPartly: [data([1], .zstd), data([2], .endMessage), status()]
        default: []
        }
    }

    private var brokenStreams: [RawFrame] {
        var other = answer(reply)
        var onConnection = answer(reply)
        other.stream = stream + 1000
        onConnection.stream = 0
        var even = data(reply)
        even.stream = stream + 1
        var unknown = data(reply)
        unknown.stream = stream + 1000
        return switch request.misbehaviour {
        case .twoStatuses: [answer(reply), answer(reply)]
        case .statusOfUnknownStream: [other]
        case .statusOnConnection: [onConnection]
        case .statusUnreadable: [status(meta: [0xFF, 0xFF])]
        case .statusUnknownCode: [status(meta: [0x08, 99])]
        case .headersUnreadable: [RawFrame(type: 2, stream: stream, meta: [0x0A, 5, 1])]
        case .headersTwice: [headers, headers, answer(reply)]
        case .headersAfterData: [data(reply), headers, status()]
        case .dataAfterStatus: [answer(reply), data(reply)]
        case .dataOfUnknownStream: [unknown]
        case .dataOnEvenStream: [even]
        case .statusInsideMessage: [data(reply, []), status()]
        case .noMessageWithPayload: [data(reply, .noMessage)]
        case .answerMissing: [status()]
        case .answerTwice: [data(reply), answer(reply)]
        case .answerNotProtobuf: [answer([0xFF, 0xFF, 0xFF])]
        case .answerTooLarge: Array(repeating: data(ControlPayload.make(60_000), []), count: 3)
        default: []
        }
    }
}

extension UInt32 {
    fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
