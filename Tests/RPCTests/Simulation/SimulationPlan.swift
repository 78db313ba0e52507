import Core
import NIOCore

@testable import RPC

/// What a seed decides before a simulation begins: the limits of both ends, the network between them, and what goes wrong.
struct SimulationPlan {
    /// What happens to one connection. Times are milliseconds after the beginning.
    enum Fault: Equatable {
        case none
        /// The connection is lost; with `truncates`, in the middle of a frame.
        case cut(atMs: Int64, truncates: Bool)
        /// Nothing arrives any more and nobody says so.
        case blackHole(atMs: Int64)
        /// Nothing arrives for a while.
        case stall(atMs: Int64, forMs: Int64)
        /// One byte of a frame after this many arrives changed. Only with checksums, which must notice.
        case damage(frame: Int)
        /// The server drains.
        case drain(atMs: Int64)
        /// The client says that it makes no more calls.
        case shutdown(atMs: Int64)
    }

    struct Network {
        /// Each frame takes up to this long.
        var delayMsMax: Int64
        /// Frames of different streams overtake each other.
        var reorders: Bool
        /// Frames arrive in parts.
        var splits: Bool
        /// Bytes the socket takes before writes have to wait.
        var socketBytes: Int
    }

    var clientLimits = RPCLimits()
    var serverLimits = RPCLimits()
    var clientOptions = WireOptions()
    var serverOptions = WireOptions()
    var network: Network
    /// One for each connection.
    var faults: [Fault]
    var callCount: Int
    /// Calls of the limited method that run at once.
    var limitedMax: Int

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        Self.draw(&clientLimits, &random)
        Self.draw(&serverLimits, &random)
        let checksums = random.oneIn(3)
        clientOptions.checksums = checksums
        serverOptions.checksums = checksums
        clientOptions.compression = random.oneIn(2) ? .always : .never
        serverOptions.compression = random.oneIn(2) ? .always : .never
        network = Network(
            delayMsMax: [0, 1, 5, 50, 300].randomElement(using: &random) ?? 0, reorders: random.oneIn(2),
            splits: random.oneIn(2), socketBytes: [1000, 20_000, 1 << 20].randomElement(using: &random) ?? 0)
        // Hundreds of round trips a message.
        if min(clientLimits.streamWindowBytes, serverLimits.streamWindowBytes) < 1000 {
            network.delayMsMax = min(network.delayMsMax, 1)
        }
        faults = (0..<(random.oneIn(4) ? 2 : 1)).map { _ in Self.fault(&random, checksums: checksums) }
        callCount = random.oneIn(8) ? 60 : Int.random(in: 1...20, using: &random)
        limitedMax = Int.random(in: 1...3, using: &random)
    }

    private static func draw(_ limits: inout RPCLimits, _ random: inout SeededGenerator) {
        guard !random.oneIn(3) else { return }
        limits.frameBytesMax = [1024, 20_000, 65_536, 1 << 20].randomElement(using: &random) ?? 0
        limits.messageBytesMax = [2000, 100_000, 4 << 20].randomElement(using: &random) ?? 0
        limits.streamWindowBytes = [500, 5000, 70_000, 262_144].randomElement(using: &random) ?? 0
        limits.connectionWindowBytes = [8000, 100_000, 4 << 20].randomElement(using: &random) ?? 0
        limits.streamsMax = [1, 2, 5, 1024].randomElement(using: &random) ?? 0
        limits.unsentBytesMax = [8000, 1 << 20].randomElement(using: &random) ?? 0
    }

    private static func fault(_ random: inout SeededGenerator, checksums: Bool) -> Fault {
        let atMs = Int64.random(in: 0...600, using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return .cut(atMs: atMs, truncates: false)
        case 1, 2: return .cut(atMs: atMs, truncates: true)
        case 3: return .blackHole(atMs: atMs)
        case 4, 5: return .stall(atMs: atMs, forMs: Int64.random(in: 1...20_000, using: &random))
        case 6: return .drain(atMs: atMs)
        case 7: return .shutdown(atMs: atMs)
        case 8 where checksums: return .damage(frame: Int.random(in: 4...40, using: &random))
        default: return .none
        }
    }
}

extension SeededGenerator {
    mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}
