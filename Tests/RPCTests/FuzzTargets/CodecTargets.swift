import Core
import NIOCore

@testable import RPC

extension FuzzTarget {
    static let requestMeta = FuzzTarget(name: "request-meta", inputBytesMax: 2048) { bytes in
        if let problem = MetaComparison.request(bytes) { throw Finding(problem) }
    } seeds: {
        CodecSeeds.requestMeta
    }

    static let statusMeta = FuzzTarget(name: "status-meta", inputBytesMax: 2048) { bytes in
        if let problem = MetaComparison.status(bytes) { throw Finding(problem) }
    } seeds: {
        CodecSeeds.statusMeta
    }

    /// A HELLO with these bytes to a real server: it is refused with GOAWAY, or a call is answered within what it announced.
    static let hello = FuzzTarget(name: "hello", inputBytesMax: 4096) { bytes in
        let end = try EmbeddedEnd.server(router: EmbeddedService().router, greets: false)
        end.receivePreface()
        end.receive(WireFrame(type: .hello, meta: bytes))
        var request = WireFrame.request(1, EmbeddedService.echo.path)
        request.payload = Array(repeating: 7, count: 3000)
        end.receive(request)
        var frames = try end.sent()
        try expect(frames.first?.type == .hello, "the server did not greet")
        frames.removeFirst()
        let isRefused = frames.contains { $0.type == .goAway }
        try expect(end.connection.helloReceived || isRefused, "a HELLO was neither taken nor refused")
        if !isRefused {
            let peer = end.connection.peer
            try expect(RPCLimits.frameBytesRange.contains(peer.frameBytesMax), "frames of \(peer.frameBytesMax) bytes")
            try expect(
                (1...SendWindow.bytesMax).contains(peer.streamWindowBytes)
                    && (1...SendWindow.bytesMax).contains(peer.connectionWindowBytes), "windows out of bounds")
            let data = frames.filter { $0.type == .data }
            let checksum = peer.features.contains(.crc32c) ? Checksum.bytes : 0
            let sent = data.reduce(0) { $0 + $1.payload.count - checksum }
            try expect(
                sent <= min(peer.streamWindowBytes, peer.connectionWindowBytes), "\(sent) bytes exceed the window")
            for frame in frames {
                let length = frame.meta.count + frame.payload.count
                try expect(length <= peer.frameBytesMax, "\(frame) exceeds \(peer.frameBytesMax)")
            }
            // Without an answer it waits for windows.
            let isAnswered = frames.contains { $0.type == .status }
            try expect(isAnswered || end.connection.openStreamCount == 1, "the call has no end")
        }
        end.lose()
        end.embedded.pass(milliseconds: 31_000)
    } seeds: {
        CodecSeeds.hello
    }

    /// Even first bytes: unpacks the rest, within limits that two bytes name. Odd ones: packs the rest and reads it back.
    static let zstd = FuzzTarget(name: "zstd", inputBytesMax: 16_384) { bytes in
        var input = FuzzInput(bytes)
        let mode = input.byte()
        let compressor = MessageCompressor()
        if mode & 1 == 0 {
            let limit = (Int(input.byte()) << 8 | Int(input.byte())) * 16
            let frame = ByteBuffer(bytes: input.rest())
            guard let message = try? compressor.decompress(frame, messageBytesMax: limit) else { return }
            try expect(message.readableBytes <= limit, "\(message.readableBytes) bytes exceed \(limit)")
            try expect(
                message.readableBytes <= frame.readableBytes * MessageCompressor.ratioMax, "a bomb was unpacked")
        } else {
            // Repeated, so that there is something to save.
            let part = input.rest()
            let message = ByteBuffer(bytes: (0...Int(mode >> 4)).flatMap { _ in part })
            guard let frame = compressor.compress(message) else { return }
            let back = try compressor.decompress(frame, messageBytesMax: message.readableBytes)
            try expect(back == message, "a message came back changed")
        }
    } seeds: {
        CodecSeeds.zstd
    }

    /// The first byte names a type, the rest is a message of it: what is read is written and read as the same, and the reader of C structs, which
    /// JSON is made from, takes and refuses the same bytes.
    static let message = FuzzTarget(name: "message", inputBytesMax: 4096) { bytes in
        var input = FuzzInput(bytes)
        let type = MessageTypes.all[Int(input.byte()) % MessageTypes.all.count]
        let message = ByteBuffer(bytes: input.rest())
        let json = Result { try MessageJSON.encode(message, type: type.name) }
        guard let first = try? type.roundTrip(message) else {
            return try expect(!isRead(json), "only C takes a \(type.name)")
        }
        try expect(isRead(json), "only Swift takes a \(type.name)")
        let firstJSON = try? MessageJSON.encode(first, type: type.name)
        try expect((try? json.get()) == firstJSON, "C and Swift read a \(type.name) differently")
        let second = try type.roundTrip(first)
        // Compared as bytes: NaN is not equal to itself.
        try expect(first == second, "a \(type.name) changes when it is written and read again")
    } seeds: {
        try MessageTypes.seeds()
    }

    /// Whether a message was read, even when JSON has no way to say it.
    private static func isRead(_ json: Result<[UInt8], any Error>) -> Bool {
        guard case .failure(let error) = json else { return true }
        return Failure(wrapping: error).code != .invalidArgument
    }

    /// The first byte names a type; bit 7 says that the rest is a message, otherwise it is JSON. What is read is a fixed point of writing and
    /// reading.
    static let json = FuzzTarget(name: "json", inputBytesMax: 4096) { bytes in
        var input = FuzzInput(bytes)
        let choice = input.byte()
        let type = MessageTypes.all[Int(choice & 0x7F) % MessageTypes.all.count]
        let message: ByteBuffer
        if choice & 0x80 == 0 {
            guard let read = try? MessageJSON.decode(input.rest(), type: type.name) else { return }
            message = read
        } else {
            guard let read = try? type.roundTrip(ByteBuffer(bytes: input.rest())) else { return }
            message = read
        }
        for options in [MessageJSON.Options(), MessageJSON.Options(indent: 2, printsDefaults: true)] {
            let json: [UInt8]
            do {
                json = try MessageJSON.encode(message, type: type.name, options: options)
            } catch {
                // Times beyond the year 9999 and the like have no JSON; what came from JSON has one.
                try expect(choice & 0x80 != 0, "what JSON says cannot be said in JSON: \(error)")
                return
            }
            let back = try MessageJSON.decode(json, type: type.name)
            let text = String(decoding: json, as: UTF8.self)
            // JSON has one NaN, messages have many.
            if choice & 0x80 == 0 || !text.contains("\"NaN\"") {
                try expect(back == message, "\(type.name) changes: \(text)")
            }
            let again = try MessageJSON.encode(back, type: type.name, options: options)
            try expect(again == json, "the JSON of \(type.name) changes")
        }
    } seeds: {
        try MessageTypes.jsonSeeds()
    }
}
