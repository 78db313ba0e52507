import Core
import Testing

@testable import RPC

@Suite struct KeepaliveProperties {
    private func keepalive() -> Keepalive {
        Keepalive(now: at(0), idleMax: .seconds(30), answerMax: .seconds(10), stalledMax: .seconds(30))
    }

    @Test func aSilentPeerIsAskedOnceAndThenGivenUp() {
        var keepalive = keepalive()
        check(keepalive.due(after: at(0)), at(30_000))
        check(keepalive.check(now: at(29_999)), .nothing)
        check(keepalive.check(now: at(30_000)), .ping)
        check(keepalive.due(after: at(30_000)), at(40_000))
        check(keepalive.check(now: at(39_999)), .nothing)
        check(keepalive.check(now: at(40_000)), .dead)
    }

    @Test func anyByteIsAnAnswer() {
        var keepalive = keepalive()
        check(keepalive.check(now: at(30_000)), .ping)
        keepalive.heard(at: at(39_000))
        check(keepalive.check(now: at(40_000)), .nothing)
        check(keepalive.due(after: at(40_000)), at(69_000))
        check(keepalive.check(now: at(69_000)), .ping)
        keepalive.answered()
        // The answer's bytes were heard before.
        keepalive.heard(at: at(70_000))
        check(keepalive.check(now: at(99_999)), .nothing)
    }

    @Test func aSocketThatTakesNothingIsGivenUpAndOneThatTakesSomethingIsNot() {
        var keepalive = keepalive()
        keepalive.blocked(at: at(10_000))
        keepalive.blocked(at: at(20_000))
        keepalive.heard(at: at(39_000))
        check(keepalive.due(after: at(39_000)), at(40_000))
        check(keepalive.check(now: at(39_999)), .nothing)
        keepalive.wrote(at: at(39_999))
        check(keepalive.check(now: at(40_000)), .nothing)
        keepalive.heard(at: at(69_000))
        check(keepalive.check(now: at(69_999)), .dead)
        keepalive.wroteAll()
        check(keepalive.check(now: at(69_999)), .nothing)
    }

    /// Looking only when it is due finds the same as looking every millisecond.
    @Test(arguments: UInt64(1)...30) func lookingWhenItIsDueIsEnough(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var often = keepalive()
        var seldom = keepalive()
        var due = seldom.due(after: at(0))
        var pings = (often: [Int](), seldom: [Int]())
        var deaths = (often: -1, seldom: -1)
        for ms in 0..<200_000 {
            if random.oneIn(9000) {
                often.heard(at: at(ms))
                seldom.heard(at: at(ms))
            }
            if random.oneIn(20_000) {
                often.blocked(at: at(ms))
                seldom.blocked(at: at(ms))
            }
            if random.oneIn(20_000) {
                often.wroteAll()
                seldom.wroteAll()
            }
            switch often.check(now: at(ms)) {
            case .nothing: break
            case .ping: pings.often.append(ms)
            case .dead: deaths.often = ms
            }
            if at(ms) >= due {
                switch seldom.check(now: at(ms)) {
                case .nothing: break
                case .ping: pings.seldom.append(ms)
                case .dead: deaths.seldom = ms
                }
                due = seldom.due(after: at(ms))
            }
            if deaths.often >= 0 { break }
        }
        #expect(pings.often == pings.seldom && deaths.often == deaths.seldom, "seed \(seed)")
    }
}
