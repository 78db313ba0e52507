import Core
import NIOCore
import Testing

@testable import RPC

/// zstd frames made by hand, so that they say exactly what a test wants.
@Suite struct CompressionLimitTests {
    /// A frame that unpacks to `count` zeros and takes `bytes` bytes, by blocks of one repeated byte; what does not fit into the
    /// first goes into further blocks of one byte each.
    private func frame(unpackingTo count: Int, blocks: Int = 1) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(0xFD2F_B528), endianness: .little)
        // A single segment whose content size is in four bytes.
        buffer.writeInteger(UInt8(0xA0))
        buffer.writeInteger(UInt32(count), endianness: .little)
        for index in 1...blocks {
            let size = index == 1 ? count - (blocks - 1) : 1
            let header = UInt32(size << 3 | 1 << 1 | (index == blocks ? 1 : 0))
            buffer.writeInteger(UInt8(header & 0xFF))
            buffer.writeInteger(UInt8(header >> 8 & 0xFF))
            buffer.writeInteger(UInt8(header >> 16))
            buffer.writeInteger(UInt8(0))
        }
        return buffer
    }

    private func reason(_ frame: ByteBuffer, _ messageBytesMax: Int = 1 << 20) -> String? {
        do {
            _ = try MessageCompressor().decompress(frame, messageBytesMax: messageBytesMax)
            return nil
        } catch { return Failure(wrapping: error).reason }
    }

    @Test func theRatioIsLimitedToTheByte() {
        let bytes = frame(unpackingTo: 1).readableBytes
        #expect(reason(frame(unpackingTo: 200 * bytes)) == nil)
        #expect(reason(frame(unpackingTo: 200 * bytes + 1)) == Failure.tooLarge)
    }

    @Test func theSizeIsLimitedToTheByte() {
        #expect(reason(frame(unpackingTo: 5000, blocks: 10), 5000) == nil)
        #expect(reason(frame(unpackingTo: 5001, blocks: 10), 5000) == Failure.tooLarge)
    }

    @Test func aFrameMustBeWholeAndMeanWhatItDeclares() {
        let good = frame(unpackingTo: 1000, blocks: 4)
        for count in 0..<good.readableBytes {
            #expect(reason(good.getSlice(at: 0, length: count) ?? ByteBuffer()) != nil, "\(count) bytes")
        }
        var more = good
        more.setInteger(UInt32(999), at: 5, endianness: .little)
        #expect(reason(more) == "BAD_COMPRESSION")
        var less = good
        less.setInteger(UInt32(1001), at: 5, endianness: .little)
        #expect(reason(less) == "BAD_COMPRESSION")
    }

    @Test func whatIsCompressedIsReadBack() throws {
        var random = SeededGenerator(seed: 11)
        let compressor = MessageCompressor()
        for _ in 0..<200 {
            let count = Int.random(in: 0...20_000, using: &random)
            let spread = UInt8.random(in: 0...255, using: &random)
            let message = ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: 0...spread, using: &random) })
            guard let compressed = compressor.compress(message) else { continue }
            #expect(compressed.readableBytes * 10 <= count * 9)
            #expect(try compressor.decompress(compressed, messageBytesMax: count) == message)
            #expect(throws: Failure.self) { try compressor.decompress(compressed, messageBytesMax: count - 1) }
        }
    }

    @Test func messagesWaitCompressedForTheirReader() throws {
        let service = EmbeddedService()
        service.collectsLater = true
        let end = try EmbeddedEnd.server(router: service.router)
        let bytes = Array(frame(unpackingTo: 100_000, blocks: 125).readableBytesView)
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        let data = WireFrame(type: .data, flags: [.endMessage, .zstd], stream: 1, payload: bytes)
        for _ in 0..<100 { end.receive(data) }
        #expect(end.connection.openStreams.first?.inboundBytes == 100 * bytes.count)
        service.letGo()
        end.embedded.run()
        #expect(service.collected == 10_000_000)
    }

    @Test func damageThatShowsOnlyWhenItIsReadEndsTheCallAlone() throws {
        let service = EmbeddedService()
        let end = try EmbeddedEnd.server(router: service.router)
        var bytes = Array(frame(unpackingTo: 1000, blocks: 4).readableBytesView)
        bytes[9] ^= 0x06
        end.receive(.request(1, EmbeddedService.collect.path, flags: .noMessage))
        end.receive(WireFrame(type: .data, flags: [.endMessage, .zstd], stream: 1, payload: bytes))
        #expect(try end.sent().first { $0.type == .status }?.statusMeta?.failure?.reason == "BAD_COMPRESSION")
        end.receive(.request(3, EmbeddedService.echo.path))
        #expect(try end.sent().first?.statusMeta?.failure == nil)
        #expect(end.connection.openStreamCount == 0)
        #expect(end.connection.connectionReceiveWindow.isWhole)
    }
}
