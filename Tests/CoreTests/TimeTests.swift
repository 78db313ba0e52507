import Core
import Testing

@Suite struct WallTimeTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (-86_400_000_000, "1969-12-31T00:00:00.000000Z"),
            (-11_644_473_600_000_000, "1601-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_709_210_096_123_456, "2024-02-29T12:34:56.123456Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (-2_203_891_200_000_000, "1900-03-01T00:00:00.000000Z"),
            (1_798_761_599_999_999, "2026-12-31T23:59:59.999999Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
        ] as [(Int64, String)])
    func printsRFC3339(_ microseconds: Int64, _ text: String) {
        #expect(WallTime(microseconds: microseconds).rfc3339 == text)
    }

    @Test func nowIsAfterThisWasWritten() {
        #expect(WallTime.now() > WallTime(microseconds: 1_700_000_000_000_000))
    }
}

@Suite struct MonotonicTimeTests {
    @Test func movesForwardAndBack() {
        let time = MonotonicTime(nanoseconds: 5_000_000_000)
        #expect(time.advanced(by: .seconds(2)).nanoseconds == 7_000_000_000)
        #expect(time.advanced(by: .seconds(-2)).nanoseconds == 3_000_000_000)
        #expect(time.advanced(by: .zero) == time)
    }

    @Test func saturatesAtBothEnds() {
        #expect(MonotonicTime(nanoseconds: 5).advanced(by: .seconds(-1)).nanoseconds == 0)
        #expect(MonotonicTime(nanoseconds: .max - 5).advanced(by: .seconds(1)).nanoseconds == .max)
        #expect(MonotonicTime(nanoseconds: 0).advanced(by: .seconds(Int64.max)).nanoseconds == UInt64(Int64.max))
        #expect(MonotonicTime(nanoseconds: .max).advanced(by: .seconds(Int64.min)).nanoseconds == UInt64(Int64.max))
    }

    @Test func durationsHaveASign() {
        let early = MonotonicTime(nanoseconds: 100)
        let late = MonotonicTime(nanoseconds: 350)
        #expect(early.duration(to: late) == .nanoseconds(250))
        #expect(late.duration(to: early) == .nanoseconds(-250))
        #expect(MonotonicTime(nanoseconds: 0).duration(to: MonotonicTime(nanoseconds: .max)) == .nanoseconds(Int64.max))
    }

    @Test func nowNeverGoesBack() {
        var previous = MonotonicTime.now()
        for _ in 0..<1000 {
            let next = MonotonicTime.now()
            #expect(next >= previous)
            previous = next
        }
    }

    @Test func wholeNanosecondsSaturate() {
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
        #expect(Duration.seconds(Int64.min).wholeNanoseconds == .min)
        #expect(Duration.milliseconds(-1500).wholeNanoseconds == -1_500_000_000)
        #expect(Duration.milliseconds(250).inSeconds == 0.25)
    }
}
