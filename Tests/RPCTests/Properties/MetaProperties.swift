import Core
import NIOCore
import Testing

@testable import RPC

/// The meta decoders made by hand against protobuf-c with the generated code, on random, damaged and foreign input.
@Suite struct MetaProperties {
    private static func text(_ random: inout SeededGenerator) -> String {
        let scalars: [UnicodeScalar] = ["a", "/", "\u{7F}", "é", "漢", "😀", "\u{1}"]
        return random.oneIn(3)
            ? ""
            : String(
                String.UnicodeScalarView(
                    (0..<Int.random(in: 1...20, using: &random)).map { _ in scalars.randomElement(using: &random)! }))
    }

    private static func bytes(_ random: inout SeededGenerator, _ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private static func pairs(_ random: inout SeededGenerator) -> [WirePair] {
        (0..<(random.oneIn(2) ? 0 : Int.random(in: 0...4, using: &random))).map { _ in
            var pair = WirePair()
            pair.key = ["k", "a-bin", "Z", "", "x.y_z-0"].randomElement(using: &random) ?? ""
            pair.value = random.oneIn(2) ? Array("visible".utf8) : bytes(&random, 3)
            return pair
        }
    }

    private static func request(_ random: inout SeededGenerator) -> ByteBuffer {
        var request = WireRequest()
        request.path = random.oneIn(2) ? "/a.B/C" : text(&random)
        request.timeoutUs = random.oneIn(2) ? random.next() : 0
        request.traceID = bytes(&random, random.oneIn(3) ? 5 : 16)
        request.spanID = bytes(&random, random.oneIn(3) ? 9 : 8)
        request.traceFlags = UInt32(truncatingIfNeeded: random.next())
        request.traceState = text(&random)
        request.requestID = text(&random)
        request.correlationID = text(&random)
        request.idempotencyKey = text(&random)
        request.attempt = random.oneIn(2) ? UInt32(truncatingIfNeeded: random.next()) : 0
        request.credential = text(&random)
        request.metadata = pairs(&random)
        return request.encoded()
    }

    private static func status(_ random: inout SeededGenerator) -> ByteBuffer {
        var status = WireStatus()
        status.code =
            random.oneIn(4) ? UInt32(truncatingIfNeeded: random.next()) : UInt32.random(in: 0...17, using: &random)
        status.message = text(&random)
        status.reason = text(&random)
        status.remedy = text(&random)
        status.fields = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            var field = WireFieldViolation()
            field.field = text(&random)
            field.description = text(&random)
            return field
        }
        status.retryAfterMs = UInt32(truncatingIfNeeded: random.next())
        status.metadata = pairs(&random)
        status.serverUs = random.next()
        status.queueUs = random.next()
        status.refused = random.oneIn(2)
        return status.encoded()
    }

    /// Changes some bytes, cuts, repeats or adds fields of all wire types.
    private static func damage(_ buffer: ByteBuffer, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = Array(buffer.readableBytesView)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            switch Int.random(in: 0..<5, using: &random) {
            case 0 where !bytes.isEmpty:
                bytes[Int.random(in: bytes.indices, using: &random)] ^=
                    UInt8(1) << UInt8.random(in: 0...7, using: &random)
            case 1: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
            case 2: bytes += bytes
            case 3:
                bytes +=
                    [UInt8.random(in: 0...127, using: &random)]
                    + Self.bytes(&random, Int.random(in: 0...9, using: &random))
            // A field of a later version, in each wire type.
            default:
                bytes +=
                    [
                        [0xA0, 0x06, 5], [0xA1, 0x06, 0, 0, 0, 0, 0, 0, 0, 0], [0xA2, 0x06, 1, 7],
                        [0xA5, 0x06, 0, 0, 0, 0],
                    ].randomElement(using: &random) ?? []
            }
        }
        return bytes
    }

    @Test func requestsAreReadAsProtobufDoes() throws {
        var random = SeededGenerator(seed: 1)
        var accepted = 0
        for round in 0..<20_000 {
            let bytes = Self.damage(Self.request(&random), &random)
            let problem = MetaComparison.request(bytes)
            #expect(problem == nil, "round \(round): \(problem ?? ""), \(bytes)")
            if problem != nil { break }
            if (try? WireRequest.decode(ByteBuffer(bytes: bytes))) != nil { accepted += 1 }
        }
        #expect(accepted > 5000)
    }

    @Test func statusesAreReadAsProtobufDoes() throws {
        var random = SeededGenerator(seed: 2)
        var accepted = 0
        for round in 0..<20_000 {
            let bytes = Self.damage(Self.status(&random), &random)
            let problem = MetaComparison.status(bytes)
            #expect(problem == nil, "round \(round): \(problem ?? ""), \(bytes)")
            if problem != nil { break }
            if (try? WireStatus.decode(ByteBuffer(bytes: bytes))) != nil { accepted += 1 }
        }
        #expect(accepted > 5000)
    }

    @Test func whatIsWrittenByHandIsReadByProtobuf() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            var meta = RequestMeta()
            meta.timeoutMicroseconds = random.next()
            meta.requestID = Self.text(&random)
            meta.credential = Self.text(&random)
            meta.attempt = UInt32(truncatingIfNeeded: random.next())
            try meta.metadata.add("k-bin", bytes: Self.bytes(&random, Int.random(in: 0...300, using: &random)))
            var buffer = ByteBuffer()
            let count = meta.encode(path: Array("/a.B/C".utf8), into: &buffer)
            #expect(count == buffer.readableBytes)
            let read = try WireRequest.decode(buffer)
            #expect(read.path == "/a.B/C" && read.timeoutUs == meta.timeoutMicroseconds && read.attempt == meta.attempt)
            #expect(read.requestID == meta.requestID && read.credential == meta.credential)
            #expect(read.metadata.first?.value == meta.metadata.pairs.first?.value)
        }
    }
}
