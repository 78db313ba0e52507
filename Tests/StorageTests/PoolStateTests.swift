import Core
import Testing

@testable import Storage

/// Transcripts of the pool's decisions; connections and waiters are names.
@Suite struct PoolStateTests {
    private typealias Pool = PoolState<String, String>

    @Test func waitersAreServedInOrder() {
        var pool = Pool(openMin: 0, openMax: 1)
        #expect(show(pool.acquire()) == "open")
        #expect(show(pool.acquire()) == "wait")
        check(pool.enqueue(1, "first"))
        check(pool.enqueue(2, "second"))
        #expect(show(pool.giveBack("c", now: at(1))) == "c to first")
        #expect(show(pool.giveBack("c", now: at(2))) == "c to second")
        #expect(show(pool.giveBack("c", now: at(3))) == "nothing")
        #expect(show(pool.acquire()) == "use c")
    }

    @Test func aLostConnectionGivesItsSlotToAWaiter() {
        var pool = Pool(openMin: 0, openMax: 1)
        _ = pool.acquire()
        check(pool.enqueue(1, "first"))
        #expect(show(pool.lose()) == "permission to first")
        #expect(pool.open == 1)
        #expect(show(pool.lose()) == "nothing")
        #expect(pool.open == 0)
    }

    @Test func aWaiterThatGaveUpBeforeItWasRegisteredIsNotRegistered() {
        var pool = Pool(openMin: 0, openMax: 1)
        _ = pool.acquire()
        check(pool.abandon(1, mayComeLater: true) == nil)
        check(!pool.enqueue(1, "first"))
        #expect(show(pool.giveBack("c", now: at(1))) == "nothing")
    }

    @Test func onlyWhatWasIdleLongEnoughBeyondTheMinimumIsClosed() {
        var pool = Pool(openMin: 1, openMax: 3)
        for _ in 0..<3 { _ = pool.acquire() }
        for (index, name) in ["a", "b", "c"].enumerated() { _ = pool.giveBack(name, now: at(index)) }
        #expect(pool.hasSurplus)
        check(pool.removeIdle(since: at(0)) == ["a"])
        check(pool.removeIdle(since: at(9)) == ["b"])
        #expect(!pool.hasSurplus)
        #expect(show(pool.acquire()) == "use c")
    }

    @Test func closingRefusesWaitersAndForgetsReturningConnections() {
        var pool = Pool(openMin: 0, openMax: 2)
        _ = pool.acquire()
        _ = pool.acquire()
        _ = pool.giveBack("a", now: at(0))
        _ = pool.acquire()
        check(pool.enqueue(1, "first"))
        let closed = pool.close()
        #expect(closed.waiters == ["first"])
        #expect(show(pool.acquire()) == "closed")
        #expect(show(pool.giveBack("a", now: at(1))) == "nothing")
        #expect(pool.open == 1)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomEventsNeverExceedTheLimitOrLoseAConnection(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var pool = Pool(openMin: 1, openMax: 4)
        var lent = 0
        var nextWaiter: UInt64 = 0
        var waiting: Set<String> = []
        func granted(_ granted: Pool.Granted) {
            switch granted {
            case .connection(_, let waiter), .permission(let waiter):
                #expect(waiting.remove(waiter) != nil, "seed \(seed)")
                lent += 1
            case .nothing: break
            }
        }
        for step in 0..<500 {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1:
                switch pool.acquire() {
                case .use, .open: lent += 1
                case .wait:
                    nextWaiter += 1
                    check(pool.enqueue(nextWaiter, "\(nextWaiter)"))
                    waiting.insert("\(nextWaiter)")
                case .closed: Issue.record("seed \(seed)")
                }
            case 2 where lent > 0:
                lent -= 1
                granted(pool.giveBack("c", now: at(step)))
            case 3 where lent > 0:
                lent -= 1
                granted(pool.lose())
            case 4:
                if let waiter = waiting.min(), let id = UInt64(waiter), pool.abandon(id) != nil {
                    waiting.remove(waiter)
                }
                _ = pool.removeIdle(since: at(step - 50))
            default: break
            }
            #expect(pool.open == lent + pool.idleCount && pool.open <= 4, "seed \(seed)")
            #expect(waiting.isEmpty || pool.idleCount == 0, "seed \(seed)")
        }
    }

    /// `#expect` cannot call what changes its argument.
    private func check(_ holds: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(holds, sourceLocation: sourceLocation)
    }

    private func at(_ seconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: 1_000_000_000_000).advanced(by: .seconds(seconds))
    }

    private func show(_ acquired: Pool.Acquired) -> String {
        switch acquired {
        case .use(let connection): "use \(connection)"
        case .open: "open"
        case .wait: "wait"
        case .closed: "closed"
        }
    }

    private func show(_ granted: Pool.Granted) -> String {
        switch granted {
        case .connection(let connection, let waiter): "\(connection) to \(waiter)"
        case .permission(let waiter): "permission to \(waiter)"
        case .nothing: "nothing"
        }
    }
}
