/// A time-ordered identifier (RFC 9562 version 7): 48 bits of Unix milliseconds, then random bits.
///
/// Ordered by creation time to the millisecond, so that B-tree inserts stay at the right edge.
public struct UUIDv7: Sendable, Hashable, Comparable {
    /// The first and the last eight bytes, big endian.
    public let high: UInt64
    public let low: UInt64

    /// A new identifier for `now`.
    public init(now: WallTime = .now()) {
        var generator = SystemRandomNumberGenerator()
        self.init(now: now, using: &generator)
    }

    /// A new identifier for `now` with random bits from `generator` (tests pass a seeded one).
    public init(now: WallTime, using generator: inout some RandomNumberGenerator) {
        let milliseconds = UInt64(max(0, now.microseconds / 1000)) & 0xFFFF_FFFF_FFFF
        let random: UInt64 = generator.next()
        high = milliseconds << 16 | 0x7000 | random >> 52
        low = 0x8000_0000_0000_0000 | generator.next() >> 2
    }

    /// An identifier from its 16 bytes, whatever their version (ids of other systems are kept as they are).
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Parses the 36-character form, upper or lower case. Returns nil for anything else.
    public init?(_ text: some StringProtocol) {
        let utf8 = Array(text.utf8)
        guard utf8.count == 36 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for (index, byte) in utf8.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let digit = hexDigitValue(byte) else { return nil }
            if digits < 16 { words.0 = words.0 << 4 | UInt64(digit) } else { words.1 = words.1 << 4 | UInt64(digit) }
            digits += 1
        }
        high = words.0
        low = words.1
    }

    public static func < (lhs: UUIDv7, rhs: UUIDv7) -> Bool {
        lhs.high != rhs.high ? lhs.high < rhs.high : lhs.low < rhs.low
    }
}

extension UUIDv7: CustomStringConvertible, LosslessStringConvertible {
    /// The 36-character lower-case form.
    public var description: String {
        String(unsafeUninitializedCapacity: 36) { text in
            var position = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    text[position] = UInt8(ascii: "-")
                    position += 1
                }
                let word = nibble < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (nibble & 15)) & 15)
                text[position] = digit < 10 ? 0x30 + digit : 0x61 - 10 + digit
                position += 1
            }
            return position
        }
    }
}
