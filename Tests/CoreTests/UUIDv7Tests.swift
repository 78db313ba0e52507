import Core
import Testing

/// Deterministic bits for tests; the seed is in the test that uses it.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}

@Suite struct UUIDv7Tests {
    @Test func laterMillisecondsSortLaterWhateverTheRandomBits() {
        var generator = SplitMix(state: 7)
        var previous = UUIDv7(now: WallTime(microseconds: 0), using: &generator)
        for millisecond in 1...2000 {
            let next = UUIDv7(now: WallTime(microseconds: Int64(millisecond) * 1000), using: &generator)
            #expect(previous < next)
            #expect(previous.description < next.description)
            previous = next
        }
    }

    @Test func versionAndVariantAreSet() {
        var generator = SplitMix(state: 1)
        for _ in 0..<200 {
            let text = Array(UUIDv7(now: .now(), using: &generator).description.utf8)
            #expect(text[14] == UInt8(ascii: "7"))
            #expect("89ab".utf8.contains(text[19]))
        }
    }

    @Test func theFirst48BitsAreTheTime() {
        var generator = SplitMix(state: 1)
        // RFC 9562, appendix A.6.
        let id = UUIDv7(now: WallTime(microseconds: 0x017F_22E2_79B0 * 1000), using: &generator)
        #expect(id.description.hasPrefix("017f22e2-79b0-7"))
    }

    @Test func timesBefore1970BecomeZero() {
        var generator = SplitMix(state: 1)
        #expect(UUIDv7(now: WallTime(microseconds: -5), using: &generator).high >> 16 == 0)
    }

    @Test func parsesWhatItPrintsInEitherCase() throws {
        var generator = SplitMix(state: 99)
        for _ in 0..<500 {
            let id = UUIDv7(high: generator.next(), low: generator.next())
            #expect(UUIDv7(id.description) == id)
            #expect(UUIDv7(id.description.uppercased()) == id)
        }
        #expect(try #require(UUIDv7("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")).high == 0x017F_22E2_79B0_7CC3)
    }

    @Test(arguments: [
        "", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e279b07cc398c4dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2_79b0_7cc3_98c4_dc0c0c07398f", "{17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c0739é",
        "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    ])
    func refusesAnythingElse(_ text: String) {
        #expect(UUIDv7(text) == nil)
    }
}
