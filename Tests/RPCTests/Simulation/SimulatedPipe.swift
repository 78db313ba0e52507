import NIOCore
import NIOEmbedded

@testable import RPC

/// One direction of a simulated connection. It parses what is written into frames, decides when each arrives, and hands the bytes on, whole or in parts.
///
/// Frames of one stream stay in order. So do REQUESTs, because stream numbers must rise, and frames of stream 0. Nothing overtakes the preface, HELLO,
/// GOAWAY or the first frame with a checksum, and they overtake nothing, because they change what the other frames mean. Everything else may be overtaken: WINDOW of the connection by DATA, DATA of one
/// stream by DATA of another, as if the sender's writer had chosen another order.
final class SimulatedPipe {
    private let loop: EmbeddedEventLoop
    private let network: SimulationPlan.Network
    private var random: SeededGenerator
    private let trace: SimulationTrace
    private let name: String
    /// Where the bytes go; nil once that end is closed.
    weak var target: SimulatedLinkEnd?
    /// The first frame after this many that a checksum protects is damaged.
    var damagedFrame: Int?

    // What was written and is not yet a whole frame.
    private var unparsed = ByteBuffer()
    private var prefaceExpected: Bool
    private var frameCount = 0
    private var hasChecksums = false
    // Frames on their way, in the order in which they will arrive.
    private struct Parcel {
        let arrival: Int64
        let number: Int
        var bytes: ByteBuffer
    }
    private var parcels: [Parcel] = []
    // For the order: the latest arrival of anything, of each stream, of REQUESTs, and of what nothing overtakes.
    private var latest: Int64 = 0
    private var latestOfStream: [UInt32: Int64] = [:]
    private var latestRequest: Int64 = 0
    private var barrier: Int64 = 0
    // What has arrived and waits for the reader.
    private var arrived = ByteBuffer()
    private var isHandingOver = false
    private(set) var isStalled = false
    private(set) var isCut = false
    private var endsAfterDelivery = false
    // What the socket has not taken yet.
    private var writtenBytes = 0
    private var deliveredBytes = 0
    private var waiting: [(end: Int, promise: EventLoopPromise<Void>?)] = []

    init(
        _ name: String, loop: EmbeddedEventLoop, network: SimulationPlan.Network, seed: UInt64,
        trace: SimulationTrace, prefaceExpected: Bool
    ) {
        self.name = name
        self.loop = loop
        self.network = network
        random = SeededGenerator(seed: seed)
        self.trace = trace
        self.prefaceExpected = prefaceExpected
    }

    private var now: Int64 { Int64(loop.now.uptimeNanoseconds) }

    // MARK: The writer's side

    func write(_ bytes: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
        guard !isCut else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        trace.note(UInt64(now), "\(name) writes \(bytes.readableBytes)", 1, SimulationTrace.sum(bytes))
        writtenBytes += bytes.readableBytes
        unparsed.writeImmutableBuffer(bytes)
        waiting.append((writtenBytes, promise))
        while let bytes = nextFrame() { send(bytes) }
        keepPromises()
    }

    private func keepPromises() {
        while let first = waiting.first, first.end <= deliveredBytes + network.socketBytes {
            waiting.removeFirst()
            first.promise?.succeed()
        }
    }

    /// The writer has closed: the reader gets what is on its way, and then the end.
    func close() {
        endsAfterDelivery = true
        let waiting = self.waiting
        self.waiting = []
        for write in waiting { write.promise?.fail(ChannelError.ioOnClosedChannel) }
        handOver()
    }

    private func nextFrame() -> ByteBuffer? {
        if prefaceExpected {
            guard let preface = unparsed.readSlice(length: Preface.bytes) else { return nil }
            prefaceExpected = false
            return preface
        }
        guard unparsed.readableBytes >= FrameHeader.bytes else { return nil }
        let header = unparsed.withUnsafeReadableBytes { FrameHeader($0.baseAddress!) }
        return unparsed.readSlice(length: FrameHeader.bytes + header.length)
    }

    /// Decides when a frame arrives.
    private func send(_ frame: ByteBuffer) {
        frameCount += 1
        var bytes = frame
        // Checksums protect from the second on: the damage to the first may be that it has none.
        if let damagedFrame, frameCount >= damagedFrame, hasChecksums {
            self.damagedFrame = nil
            let at = Int.random(in: bytes.readerIndex..<bytes.writerIndex, using: &random)
            let old = bytes.getInteger(at: at, as: UInt8.self) ?? 0
            bytes.setInteger(old ^ UInt8.random(in: 1...255, using: &random), at: at)
            trace.note(UInt64(now), "\(name) damages frame \(frameCount) at \(at - bytes.readerIndex)", 2, UInt64(at))
        }
        var arrival = now + Int64.random(in: 0...network.delayMsMax * 1_000_000, using: &random)
        let isPreface = frame.readableBytes == Preface.bytes
        let header = isPreface ? nil : frame.withUnsafeReadableBytes { FrameHeader($0.baseAddress!) }
        let type = header.flatMap { FrameType(rawValue: $0.type) }
        let stream = header?.stream ?? 0
        let isFirstChecked = !hasChecksums && header?.flags.contains(.crc32c) == true
        if isFirstChecked { hasChecksums = true }
        let isBarrier = isPreface || isFirstChecked || type == .hello || type == .goAway
        arrival = max(arrival, barrier)
        if !network.reorders || isBarrier { arrival = max(arrival, latest) }
        arrival = max(arrival, latestOfStream[stream] ?? 0)
        if type == .request {
            arrival = max(arrival, latestRequest)
            latestRequest = arrival
        }
        if isBarrier { barrier = arrival }
        latestOfStream[stream] = arrival
        latest = max(latest, arrival)
        trace.note(
            UInt64(now), "\(name) sends \(type.map { "\($0)" } ?? "preface") \(stream), \(bytes.readableBytes) bytes",
            8, UInt64(stream))
        let parcel = Parcel(arrival: arrival, number: frameCount, bytes: bytes)
        // After those that arrive at the same time.
        parcels.insert(parcel, at: parcels.firstIndex { $0.arrival > arrival } ?? parcels.count)
        loop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(arrival))) { [self] in arrive(parcel.number) }
    }

    // MARK: The reader's side

    private func arrive(_ number: Int) {
        guard let index = parcels.firstIndex(where: { $0.number == number }) else { return }
        arrived.writeImmutableBuffer(parcels.remove(at: index).bytes)
        handOver()
    }

    /// Gives the reader what has arrived, if it wants it.
    func handOver() {
        guard !isHandingOver, !isStalled, !isCut, let target else { return }
        if arrived.readableBytes == 0 {
            guard endsAfterDelivery, parcels.isEmpty else { return }
            isCut = true
            target.end()
            return
        }
        guard target.wantsRead else { return }
        let count =
            network.splits && random.oneIn(2)
            ? Int.random(in: 1...arrived.readableBytes, using: &random) : arrived.readableBytes
        guard let bytes = arrived.readSlice(length: count) else { return }
        trace.note(UInt64(now), "\(name) delivers \(count)", 3, SimulationTrace.sum(bytes))
        // The rest, and what its reading makes possible, in a turn of its own.
        isHandingOver = true
        target.receive(bytes)
        deliveredBytes += count
        keepPromises()
        loop.scheduleTask(in: .microseconds(network.splits ? Int64.random(in: 0...500, using: &random) : 0)) { [self] in
            isHandingOver = false
            handOver()
        }
    }

    // MARK: Faults

    func stall() {
        isStalled = true
        trace.note(UInt64(now), "\(name) stalls", 4)
    }

    func goOn() {
        isStalled = false
        trace.note(UInt64(now), "\(name) goes on", 5)
        handOver()
    }

    /// The connection is lost. What was on its way is lost too, except the beginning of the next frame when `truncates`.
    func cut(truncates: Bool) {
        guard !isCut else { return }
        trace.note(UInt64(now), "\(name) is cut", 6)
        if truncates, let first = parcels.first, !isStalled {
            arrived.writeImmutableBuffer(first.bytes)
            let count = Int.random(in: 0..<arrived.readableBytes, using: &random)
            if count > 0, let bytes = arrived.readSlice(length: count) { target?.receive(bytes) }
        }
        isCut = true
        parcels = []
        arrived.clear()
        let waiting = self.waiting
        self.waiting = []
        for write in waiting { write.promise?.fail(ChannelError.ioOnClosedChannel) }
        target?.end()
    }
}
