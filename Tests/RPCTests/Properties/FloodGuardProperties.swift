import Core
import Testing

@testable import RPC

@Suite struct FloodGuardProperties {
    private func takes(_ guardian: inout FloodGuard, _ kind: FloodGuard.Kind, at ms: Int) -> Bool {
        do {
            try guardian.received(kind, now: at(ms))
            return true
        } catch { return false }
    }

    @Test(arguments: FloodGuard.Kind.allCases) func anAllowanceIsLimitedToTheFrameAndComesBack(_ kind: FloodGuard.Kind)
    {
        var guardian = FloodGuard(now: at(0))
        for round in 0..<3 {
            let ms = round * 10_000
            for _ in 0..<kind.allowance { check(takes(&guardian, kind, at: ms), true) }
            check(takes(&guardian, kind, at: ms + 9999), false)
        }
    }

    @Test func cancelsUpToHalfOfTheStreamsAreOrdinary() {
        var guardian = FloodGuard(now: at(0))
        for _ in 0..<1000 { guardian.streamOpened() }
        for _ in 0..<500 { check(takes(&guardian, .cancel, at: 1), true) }
        check(takes(&guardian, .cancel, at: 1), false)
    }

    @Test func eachDataFrameMayBeAnsweredWithTwoWindows() {
        var guardian = FloodGuard(now: at(0))
        for _ in 0..<3000 { guardian.sentData() }
        for _ in 0..<8000 { check(takes(&guardian, .window, at: 1), true) }
        check(takes(&guardian, .window, at: 1), false)
    }

    @Test(arguments: UInt64(1)...20) func itCountsEachKindByItself(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var guardian = FloodGuard(now: at(0))
        var windowStart = 0
        var seen: [FloodGuard.Kind: Int] = [:]
        var opened = 0
        var sent = 0
        var ms = 0
        let favourite = FloodGuard.Kind.allCases.randomElement(using: &random) ?? .ping
        for _ in 0..<6000 {
            if random.oneIn(3) { ms += Int.random(in: 0...5, using: &random) }
            if random.oneIn(4) {
                guardian.streamOpened()
                opened += 1
            }
            if random.oneIn(4) {
                guardian.sentData()
                sent += 1
            }
            let kind = random.oneIn(3) ? FloodGuard.Kind.allCases.randomElement(using: &random) ?? .ping : favourite
            if ms - windowStart >= 10_000 { (windowStart, seen, opened, sent) = (ms, [:], 0, 0) }
            seen[kind, default: 0] += 1
            let count = seen[kind, default: 0]
            let excess =
                switch kind {
                case .cancel: 2 * count > opened ? count : 0
                case .lateCancel: count - min(count, opened)
                case .window: count - 2 * sent
                default: count
                }
            check(takes(&guardian, kind, at: ms), excess <= kind.allowance, "seed \(seed) at \(ms) ms: \(kind)")
        }
    }
}
