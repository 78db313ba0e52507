import Core
import NIOCore

@testable import RPC

/// Everything that happened in a simulation, as one number and as text.
final class SimulationTrace {
    /// FNV-1a over all events; the same seed must give the same.
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private(set) var events = 0
    private(set) var lines: [String] = []
    /// Lines kept for a failed seed; all when a single seed is looked at.
    private let linesMax: Int

    init(linesMax: Int) { self.linesMax = linesMax }

    private func mix(_ value: UInt64) {
        hash = (hash ^ value) &* 0x100_0000_01B3
    }

    func note(_ time: UInt64, _ what: @autoclosure () -> String, _ values: UInt64...) {
        events += 1
        mix(time)
        for value in values { mix(value) }
        guard linesMax > 0 else { return }
        if lines.count >= 2 * linesMax { lines.removeFirst(linesMax) }
        lines.append("\(Double(time / 1000) / 1000) ms  \(what())")
    }

    static func sum(_ bytes: ByteBuffer) -> UInt64 {
        bytes.withUnsafeReadableBytes { UInt64(Checksum.crc32c($0)) | UInt64($0.count) << 32 }
    }
}
