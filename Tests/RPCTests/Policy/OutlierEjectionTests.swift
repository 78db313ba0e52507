import Core
import Testing

@testable import RPC

@Suite struct OutlierEjectionTests {
    private func ejection(_ peers: Int, _ policy: OutlierPolicy = OutlierPolicy()) -> OutlierEjection<Int> {
        var ejection = OutlierEjection<Int>(policy)
        ejection.setPeers(Array(0..<peers), now: at(0))
        return ejection
    }

    @Test func failuresInARowEjectAndASuccessStartsTheCountAgain() {
        var ejection = ejection(2)
        for _ in 0..<4 { ejection.record(0, .failed, now: at(0)) }
        ejection.record(0, .worked, now: at(0))
        for _ in 0..<4 { ejection.record(0, .failed, now: at(0)) }
        ejection.record(0, .neutral, now: at(0))
        #expect(!ejection.isEjected(0, now: at(0)))
        ejection.record(0, .failed, now: at(0))
        #expect(ejection.isEjected(0, now: at(29_999)))
        #expect(!ejection.isEjected(0, now: at(30_000)))
    }

    @Test func timesOutGrowWithTheirNumberAndShrinkWithGoodBehaviour() {
        var ejection = ejection(2)
        func fail(_ ms: Int) { for _ in 0..<5 { ejection.record(0, .failed, now: at(ms)) } }
        func secondsOut(_ ms: Int) -> Int { (0...400).first { !ejection.isEjected(0, now: at(ms + $0 * 1000)) } ?? -1 }
        fail(0)
        #expect(secondsOut(0) == 30)
        // Failing again at once: the span that ends now was spent in service and takes one off.
        ejection.record(1, .worked, now: at(29_000))
        fail(30_000)
        #expect(secondsOut(30_000) == 60)
        ejection.record(1, .worked, now: at(89_000))
        fail(90_000)
        #expect(secondsOut(90_000) == 90)
        for span in 0..<10 { ejection.record(0, .worked, now: at(200_000 + span * 10_000)) }
        fail(300_000)
        #expect(secondsOut(300_000) == 30)
    }

    @Test func theTimeOutHasACeiling() {
        var ejection = ejection(2, OutlierPolicy(ejectionMs: 30_000, ejectionMsMax: 45_000))
        for _ in 0..<5 { ejection.record(0, .failed, now: at(0)) }
        ejection.record(1, .worked, now: at(29_000))
        for _ in 0..<5 { ejection.record(0, .failed, now: at(30_000)) }
        #expect(ejection.isEjected(0, now: at(74_999)))
        #expect(!ejection.isEjected(0, now: at(75_000)))
    }

    @Test(arguments: [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (10, 5)])
    func atMostHalfAreOut(_ peers: Int, _ outMax: Int) {
        var ejection = ejection(peers)
        for peer in 0..<peers { for _ in 0..<5 { ejection.record(peer, .failed, now: at(0)) } }
        #expect(ejection.ejectedCount(now: at(0)) == outMax)
    }

    @Test func aPeerMuchWorseThanTheOthersIsEjectedAtTheEndOfTheSpan() {
        var ejection = ejection(6)
        for call in 0..<30 {
            for peer in 0..<6 {
                // Every second call fails: never five in a row.
                ejection.record(peer, peer == 3 && call % 2 == 0 ? .failed : .worked, now: at(call))
            }
        }
        #expect(ejection.ejectedCount(now: at(9999)) == 0)
        ejection.record(0, .worked, now: at(10_000))
        #expect((0..<6).filter { ejection.isEjected($0, now: at(10_000)) } == [3])
    }

    @Test func ratesOfFewCallsOrFewPeersAreNotCompared() {
        for (peers, calls) in [(4, 30), (6, 19)] {
            var ejection = ejection(peers)
            for call in 0..<calls {
                for peer in 0..<peers {
                    ejection.record(peer, peer == 0 && call % 2 == 0 ? .failed : .worked, now: at(call))
                }
            }
            ejection.record(0, .neutral, now: at(10_000))
            #expect(ejection.ejectedCount(now: at(10_000)) == 0)
        }
    }

    @Test func whenPeersLeaveThoseClosestToTheirReturnComeBack() {
        var ejection = ejection(4)
        for _ in 0..<5 { ejection.record(0, .failed, now: at(0)) }
        for _ in 0..<5 { ejection.record(1, .failed, now: at(5)) }
        ejection.setPeers([0, 1, 2], now: at(10))
        #expect(!ejection.isEjected(0, now: at(10)))
        #expect(ejection.isEjected(1, now: at(10)))
        ejection.setPeers([1], now: at(10))
        #expect(!ejection.isEjected(1, now: at(10)))
    }

    @Test func verdictsAreAboutThePeer() {
        #expect(PeerVerdict(nil, .answered) == .worked)
        #expect(PeerVerdict(unavailable(), .sent) == .failed)
        #expect(PeerVerdict(unavailable(), .refused) == .neutral)
        #expect(PeerVerdict(unavailable(), .notSent) == .neutral)
        #expect(PeerVerdict(unavailable(retryAfterMs: 1), .sent) == .neutral)
        #expect(PeerVerdict(Failure(.deadlineExceeded, "Late."), .endedHere) == .failed)
        #expect(PeerVerdict(Failure(.deadlineExceeded, "Late."), .notSent) == .neutral)
        #expect(PeerVerdict(Failure(.cancelled, "Gone."), .endedHere) == .neutral)
        #expect(PeerVerdict(Failure(.internalError, "Broken."), .answered) == .failed)
        #expect(PeerVerdict(Failure(.notFound, "None."), .sent) == .worked)
    }

    /// Random calls, failures and changes of the peers: never more than half are out, and everybody returns.
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func neverAreAllOut(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var ejection = OutlierEjection<Int>(
            OutlierPolicy(
                consecutiveFailuresMax: .random(in: 1...5, using: &random),
                intervalMs: .random(in: 100...10_000, using: &random), callsMin: .random(in: 1...20, using: &random),
                ejectionMs: .random(in: 1...30_000, using: &random)))
        var peers: [Int] = []
        var now = 0
        for step in 0..<3000 {
            now += Int.random(in: 0...100, using: &random)
            if step % 200 == 0 {
                peers = (0..<12).filter { _ in Int.random(in: 0...2, using: &random) > 0 }
                ejection.setPeers(peers, now: at(now))
            }
            let peer = Int.random(in: 0..<12, using: &random)
            let verdict: PeerVerdict =
                [.failed, .failed, .failed, .worked, .neutral].randomElement(using: &random) ?? .failed
            ejection.record(peer, verdict, now: at(now))
            let out = peers.count { ejection.isEjected($0, now: at(now)) }
            #expect(out <= peers.count / 2 && out == ejection.ejectedCount(now: at(now)), "seed \(seed), step \(step)")
        }
        #expect(ejection.ejectedCount(now: at(now + 300_000)) == 0, "seed \(seed)")
    }
}
