internal import Synchronization

/// xoshiro256** (Blackman and Vigna, 2018), seeded by the kernel: for ids of calls and spans, which must be unique and need not be secret.
/// A system call for each would cost more than the call it names. Never for keys or anything that must not be guessed.
public struct FastRandom: RandomNumberGenerator, Sendable {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    public init() {
        var system = SystemRandomNumberGenerator()
        // All zero would stay all zero.
        state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    /// A generator that gives the same words for the same seed: for simulations.
    public init(seed: UInt64) {
        // As its authors advise, the state comes from another generator (SplitMix64), which never gives four zeros in a row.
        var word = seed
        func mixed() -> UInt64 {
            word &+= 0x9E37_79B9_7F4A_7C15
            var z = word
            z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
            return z ^ z >> 31
        }
        state = (mixed(), mixed(), mixed(), mixed())
    }

    public mutating func next() -> UInt64 {
        let result = rotated(state.1 &* 5, by: 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotated(state.3, by: 45)
        return result
    }

    private func rotated(_ word: UInt64, by bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
}

extension FastRandom {
    /// One generator for whoever has none of their own: an uncontended lock costs a tenth of the system call it saves.
    private static let shared = Mutex(FastRandom())

    /// A word that has not all bits zero.
    static func sharedWord() -> UInt64 { shared.withLock { $0.next() | 1 } }
}
