import Core
import NIOCore

@testable import RPC

/// Real ends of connections, fed frames or bytes, in reads of any size, while time passes and the socket takes what it likes.
///
/// The first byte says how: bit 0 frames (else bytes), bit 1 checksums, bit 2 the peer has greeted, bit 3 small limits, bit 4 compression,
/// bit 5 a limited method. The second is the size of reads.
extension FuzzTarget {
    static let server = FuzzTarget(name: "server", inputBytesMax: 4096, run: runServer) { try ConnectionSeeds.server() }
    static let client = FuzzTarget(name: "client", inputBytesMax: 4096, run: runClient) { try ConnectionSeeds.client() }

    static let isFrames: UInt8 = 1
    static let hasChecksums: UInt8 = 2
    static let isGreeted: UInt8 = 4
    static let isSmall: UInt8 = 8
    static let compresses: UInt8 = 16
    static let isLimited: UInt8 = 32

    private static func limits(_ mode: UInt8) -> RPCLimits {
        var limits = RPCLimits()
        guard mode & isSmall != 0 else { return limits }
        limits.frameBytesMax = 2048
        limits.messageBytesMax = 5000
        limits.streamWindowBytes = 4000
        limits.connectionWindowBytes = 9000
        limits.streamsMax = 3
        limits.unsentBytesMax = 3000
        return limits
    }

    private static func options(_ mode: UInt8) -> WireOptions {
        var options = WireOptions()
        options.checksums = mode & hasChecksums != 0
        options.compression = mode & compresses != 0 ? .always : .never
        return options
    }

    private static func hello(_ mode: UInt8) -> WireFrame {
        .hello { $0.features = (mode & compresses != 0 ? Features.zstd : []).rawValue }
    }

    private static func check<End>(_ output: inout OutputCheck, _ end: EmbeddedEnd<End>) throws {
        try output.take(try end.sent(), frameBytesMax: end.connection.peer.frameBytesMax)
    }

    /// Feeds the whole input to `end`; `call` begins a call, for clients.
    private static func feed<End>(
        _ input: inout FuzzInput, _ mode: UInt8, _ end: EmbeddedEnd<End>, _ service: EmbeddedService,
        _ output: inout OutputCheck, _ call: (UInt8) -> Void
    ) throws {
        let chunk = input.byte()
        guard mode & isFrames != 0 else {
            for read in FrameScript.reads(ByteBuffer(bytes: input.rest()), chunk: chunk) {
                end.receive(read)
                try check(&output, end)
            }
            return
        }
        let script = FrameScript(checksums: mode & hasChecksums != 0)
        // Time that passes is work for timers: some is enough.
        var milliseconds: Int64 = 0
        while let step = script.next(&input), !end.isClosed {
            switch step {
            case .bytes(let bytes): for read in FrameScript.reads(bytes, chunk: chunk) { end.receive(read) }
            case .pass(let count) where milliseconds < 100_000:
                milliseconds += count
                end.embedded.pass(milliseconds: count)
            case .pass: break
            case .stall: end.isStalled = true
            case .takeAll: end.takeAll()
            case .letGo: service.letGo()
            case .call(let choice): call(choice)
            case .lose: end.lose()
            }
            try check(&output, end)
            let connection = end.connection
            try expect(connection.queuedMessages <= RPCLimits.queuedMessagesMax, "too many messages wait")
            try expect(connection.openStreamCount <= 1100, "\(connection.openStreamCount) streams are open")
        }
    }

    private static func runServer(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let mode = input.byte()
        let service = EmbeddedService()
        service.collectsLater = mode & isLimited != 0
        var configuration = RPCServer.Configuration()
        configuration.limits = limits(mode)
        configuration.options = options(mode)
        if mode & isLimited != 0 {
            configuration.concurrency = [EmbeddedService.hold.path: ConcurrencyLimit(runningMax: 1, waitingMax: 2)]
        }
        let embedded = EmbeddedLoop()
        let end = try EmbeddedEnd.server(configuration, router: service.router, on: embedded, greets: false)
        var output = OutputCheck(isServer: true)
        if mode & isGreeted != 0 {
            end.receivePreface()
            end.receive(hello(mode))
        }
        try feed(&input, mode, end, service, &output) { _ in }
        end.takeAll()
        try check(&output, end)
        end.lose()
        // Every handler returns once it is let go.
        for _ in 0..<2000 where service.running > 0 || service.isHolding {
            service.letGo()
            embedded.run()
        }
        try settle(end, service)
    }

    private static func runClient(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let mode = input.byte()
        let embedded = EmbeddedLoop()
        let end = try EmbeddedEnd.client(
            limits: limits(mode), options: options(mode), on: embedded, greets: false)
        var output = OutputCheck(isServer: false)
        var calls: [EmbeddedCall] = []
        if mode & isGreeted != 0 { end.receive(hello(mode)) }
        if mode & isFrames == 0 {
            for kind in UInt8(0)..<4 { calls.append(EmbeddedCall(end, choice: kind)) }
        }
        try feed(&input, mode, end, EmbeddedService(), &output) { choice in
            guard calls.count < 40 else { return }
            if choice & 0x80 != 0, !calls.isEmpty {
                calls[Int(choice & 0x7F) % calls.count].cancel()
            } else {
                calls.append(EmbeddedCall(end, choice: choice))
            }
        }
        end.takeAll()
        try check(&output, end)
        end.lose()
        embedded.run()
        for (index, call) in calls.enumerated() {
            try expect(call.result != nil, "call \(index) has not ended although its connection is gone")
        }
        try settle(end, EmbeddedService())
    }

    /// Nothing is left once the connection is gone.
    private static func settle<End>(_ end: EmbeddedEnd<End>, _ service: EmbeddedService) throws {
        // Timers that close what lingers.
        end.embedded.pass(milliseconds: 31_000)
        let connection = end.connection
        try expect(connection.isClosed, "the connection does not know that it is closed")
        try expect(connection.openStreamCount == 0, "\(connection.openStreamCount) streams are left")
        try expect(service.running == 0, "\(service.running) handlers are left")
        try expect(connection.queuedMessages == 0, "\(connection.queuedMessages) messages are left")
        try expect(end.embedded.context.deadlines.count == 0, "deadlines are left")
    }
}
