import Core
import Testing

@testable import RPC

@Suite struct ReconnectBackoffTests {
    @Test func delaysGrowToTheCeilingAndStartAgainAfterAStableConnection() {
        var random = MiddleGenerator()
        var backoff = ReconnectBackoff()
        let delays = (0..<16).map { _ in backoff.failed(using: &random).wholeNanoseconds / 1_000_000 }
        #expect(Array(delays.prefix(5)) == [50, 80, 128, 204, 327])
        #expect(delays.suffix(2) == [30_000, 30_000])
        check(backoff.lost(readySince: at(0), now: at(10_000), using: &random), .zero)
        check(backoff.failed(using: &random), .milliseconds(50))
    }

    @Test func aConnectionThatDiesBeforeItIsStableIsOneMoreFailure() {
        var random = MiddleGenerator()
        var backoff = ReconnectBackoff()
        _ = backoff.failed(using: &random)
        check(backoff.lost(readySince: at(0), now: at(9999), using: &random), .milliseconds(80))
        #expect(backoff.failures == 2)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func everyDelayIsWithinAFifthOfItsBase(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let schedule = ExponentialBackoff(
                firstMs: .random(in: 1...1000, using: &random), delayMsMax: .random(in: 1...60_000, using: &random),
                multiplier: .random(in: 0.5...4, using: &random))
            let step = Int.random(in: -1...200, using: &random)
            let base = schedule.base(step: step)
            #expect(base <= .milliseconds(schedule.delayMsMax), "seed \(seed)")
            #expect(step < 0 || base >= schedule.base(step: step - 1), "seed \(seed)")
            let factor = schedule.delay(step: step, using: &random) / base
            #expect(factor > 0.799 && factor < 1.201, "seed \(seed): \(factor)")
        }
    }

    @Test func delaysAreSpreadEvenly() {
        let seed: UInt64 = 7
        var random = SeededGenerator(seed: seed)
        let schedule = ExponentialBackoff(firstMs: 1000, delayMsMax: 1000, multiplier: 1)
        // Four equal parts of 0.8 s to 1.2 s; 10,000 draws leave each within 5 % of 2,500, six deviations.
        var parts = [0, 0, 0, 0]
        for _ in 0..<10_000 {
            let ms = schedule.delay(step: 0, using: &random).wholeNanoseconds / 1_000_000
            parts[min(3, Int(ms - 800) / 100)] += 1
        }
        #expect(parts.allSatisfy { (2375...2625).contains($0) }, "seed \(seed): \(parts)")
    }
}
