internal import Core
internal import Glibc
internal import NIOCore

/// The side of protobuf's conformance suite that is tested: answers one `ConformanceRequest` after another on standard input and
/// output, each behind its length in four bytes, little endian. Built by dev/conformance together with the message layer of RPC.
@main
enum Testee {
    /// No case of the suite comes near.
    private static let requestBytesMax = 16 << 20

    static func main() {
        while let length = readLength() {
            guard length <= requestBytesMax else { stop("the runner announces a request of \(length) bytes") }
            guard let bytes = read(length) else { stop("the runner's request ends too early") }
            let response = ConformanceResponse(result: result(of: bytes)).encoded()
            var framed = ByteBuffer()
            framed.writeInteger(UInt32(response.readableBytes), endianness: .little)
            framed.writeImmutableBuffer(response)
            guard write(framed) else { stop("the runner does not read") }
        }
    }

    private static func result(of bytes: [UInt8]) -> ConformanceResponse.Result {
        do {
            let request = try bytes.withUnsafeBytes { try ConformanceRequest.decode($0, limits: .standard) }
            // The runner asks for the names of expected failures first: ours are in a file.
            if request.messageType == FailureSet.typeName { return .protobufPayload([]) }
            guard request.messageType == Proto3TestAllTypesProto3.typeName else {
                return .skipped("\(request.messageType) is not supported")
            }
            guard request.testCategory != .jsonIgnoreUnknownParsingTest else {
                return .skipped("unknown names in JSON are always refused")
            }
            return respond(request)
        } catch {
            return .runtimeError("the request: \(error)")
        }
    }

    private static func respond(_ request: ConformanceRequest) -> ConformanceResponse.Result {
        let message: Proto3TestAllTypesProto3
        // What JSON is written from: as in the gateway the bytes that came, otherwise the struct.
        let packed: ByteBuffer
        do {
            switch request.payload {
            case .protobufPayload(let bytes):
                packed = ByteBuffer(bytes: bytes)
                message = try Proto3TestAllTypesProto3.decode(packed)
            case .jsonPayload(let json):
                message = try MessageJSON.decode(json.utf8, as: Proto3TestAllTypesProto3.self)
                packed = message.encoded()
            default: return .skipped("only the binary and the JSON format are supported")
            }
        } catch {
            return .parseError("\(error)")
        }
        do {
            switch request.requestedOutputFormat {
            case .protobuf: return .protobufPayload(Array(message.encoded().readableBytesView))
            case .json:
                let json = try MessageJSON.encode(packed, type: Proto3TestAllTypesProto3.typeName)
                return .jsonPayload(String(decoding: json, as: UTF8.self))
            default: return .skipped("only the binary and the JSON format are supported")
            }
        } catch {
            return .serializeError("\(error)")
        }
    }

    // MARK: Pipes

    /// nil at the end of input.
    private static func readLength() -> Int? {
        guard let bytes = read(4) else { return nil }
        return Int(ByteBuffer(bytes: bytes).getInteger(at: 0, endianness: .little, as: UInt32.self) ?? 0)
    }

    private static func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(0, $0.baseAddress! + filled, count - filled) }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return nil }
            filled += got
        }
        return bytes
    }

    private static func write(_ buffer: ByteBuffer) -> Bool {
        buffer.withUnsafeReadableBytes { bytes in
            var done = 0
            while done < bytes.count {
                let put = Glibc.write(1, bytes.baseAddress! + done, bytes.count - done)
                if put < 0, errno == EINTR { continue }
                guard put > 0 else { return false }
                done += put
            }
            return true
        }
    }

    private static func stop(_ what: String) -> Never {
        var text = "conformance: \(what)\n"
        text.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
        exit(1)
    }
}
