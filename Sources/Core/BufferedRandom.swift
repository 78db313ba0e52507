#if canImport(Glibc)
    internal import Glibc
#endif

/// The kernel's random numbers, fetched 64 at a time: a system call for each would cost more than the call it names.
public struct BufferedRandom: RandomNumberGenerator, Sendable {
    private static let wordCount = 64
    private var words = [UInt64](repeating: 0, count: wordCount)
    private var position = wordCount

    public init() {}

    public mutating func next() -> UInt64 {
        if position == Self.wordCount { refill() }
        defer { position += 1 }
        return words[position]
    }

    private mutating func refill() {
        var system = SystemRandomNumberGenerator()
        words.withUnsafeMutableBytes { bytes in
            // Up to 256 bytes come whole or not at all (getentropy(3)).
            for start in stride(from: 0, to: bytes.count, by: 256) {
                let part = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(start + 256, bytes.count)])
                guard let base = part.baseAddress, getentropy(base, part.count) != 0 else { continue }
                for offset in stride(from: 0, to: part.count, by: 8) {
                    part.storeBytes(of: system.next(), toByteOffset: offset, as: UInt64.self)
                }
            }
        }
        position = 0
    }
}
