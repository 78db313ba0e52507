import Core
import Testing

@testable import RPC

/// The queue of a limited method, without calls.
@Suite struct AdmissionProperties {
    private enum Answer: Equatable {
        case runs, waits
        case refused(UInt32)
    }

    private struct Queue {
        var admission: Admission<Int>
        var tickets: [Int: Admission<Int>.Ticket] = [:]

        init(_ limit: ConcurrencyLimit) { admission = Admission(limit) }

        mutating func arrive(_ number: Int, at ms: Int) -> Answer {
            switch admission.arrive(number, now: RPCTests.at(ms)) {
            case .run: return .runs
            case .wait(let ticket):
                tickets[number] = ticket
                return .waits
            case .refuse(let retryAfterMs): return .refused(retryAfterMs)
            }
        }
    }

    @Test func placesAndQueueAreLimitedToTheCall() {
        var queue = Queue(ConcurrencyLimit(runningMax: 2, waitingMax: 2, waitTargetMs: 20, intervalMs: 200))
        for number in 1...2 { check(queue.arrive(number, at: 0), .runs) }
        for number in 3...4 { check(queue.arrive(number, at: 0), .waits) }
        check(queue.arrive(5, at: 0), .refused(220))
        check(queue.admission.finish(now: at(1)), 3)
        check(queue.arrive(6, at: 1), .waits)
        check(queue.admission.finish(now: at(2)), 4)
        check(queue.admission.finish(now: at(2)), 6)
        check(queue.admission.finish(now: at(3)), nil)
        check(queue.admission.finish(now: at(3)), nil)
        check(queue.admission.running, 0)
    }

    @Test func aStandingQueueRefusesNewcomersUntilItIsShort() {
        var queue = Queue(ConcurrencyLimit(runningMax: 1, waitingMax: 100, waitTargetMs: 20, intervalMs: 200))
        check(queue.arrive(0, at: 0), .runs)
        for number in 1...50 { check(queue.arrive(number, at: 0), .waits) }
        // The first that waited too long starts the interval.
        check(queue.admission.finish(now: at(21)), 1)
        check(queue.arrive(51, at: 220), .waits)
        check(queue.arrive(52, at: 221), .refused(220))
        for number in 2...50 { check(queue.admission.finish(now: at(221)), number) }
        // Who had waited for a millisecond only ends it.
        check(queue.admission.finish(now: at(222)), 51)
        check(queue.arrive(53, at: 223), .waits)
    }

    @Test func aQueueThatDoesNotMoveIsStandingToo() {
        var queue = Queue(ConcurrencyLimit(runningMax: 1, waitingMax: 100, waitTargetMs: 20, intervalMs: 200))
        check(queue.arrive(0, at: 0), .runs)
        check(queue.arrive(1, at: 0), .waits)
        check(queue.arrive(2, at: 21), .waits)
        check(queue.arrive(3, at: 220), .waits)
        check(queue.arrive(4, at: 221), .refused(220))
    }

    /// Never more run than may, everybody runs once and in order, and who leaves does not run.
    @Test(arguments: UInt64(1)...40) func theQueueIsFairAndCounts(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let limit = ConcurrencyLimit(
            runningMax: Int.random(in: 1...4, using: &random), waitingMax: Int.random(in: 0...10, using: &random),
            waitTargetMs: 20, intervalMs: 200)
        var queue = Queue(limit)
        var running = 0
        var waiting: [Int] = []
        var ms = 0
        for number in 0..<2000 {
            ms += Int.random(in: 0...15, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                switch queue.arrive(number, at: ms) {
                case .runs:
                    running += 1
                    #expect(waiting.isEmpty, "seed \(seed): a newcomer overtook")
                case .waits: waiting.append(number)
                case .refused(let retryAfterMs):
                    #expect(running == limit.runningMax && retryAfterMs == 220, "seed \(seed)")
                }
            case 1 where running > 0:
                let next = queue.admission.finish(now: at(ms))
                check(next, waiting.first, "seed \(seed)")
                if next == nil { running -= 1 } else { waiting.removeFirst() }
            case 2 where !waiting.isEmpty:
                let index = Int.random(in: waiting.indices, using: &random)
                let left = waiting.remove(at: index)
                guard let ticket = queue.tickets[left] else { break }
                check(queue.admission.leave(ticket), true, "seed \(seed)")
                check(queue.admission.leave(ticket), false, "seed \(seed): twice")
            default: break
            }
            check(queue.admission.running, running, "seed \(seed)")
            check(queue.admission.waiting, waiting.count, "seed \(seed)")
            #expect(running <= limit.runningMax && waiting.count <= limit.waitingMax, "seed \(seed)")
        }
    }
}
