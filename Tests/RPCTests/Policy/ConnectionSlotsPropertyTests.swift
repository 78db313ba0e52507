import Core
import Testing

@testable import RPC

/// A client that does what the slots say, at random times, against the rules that must hold after every event.
private struct SlotsModel {
    typealias Slots = ConnectionSlots<UInt64, UInt64>

    let seed: UInt64
    var random: SeededGenerator
    var slots = Slots()
    var now = 0
    var nextWaiter: UInt64 = 0
    var waiting: Set<UInt64> = []
    var patient: Set<UInt64> = []
    var kinds: [UInt64: ConnectionKind] = [:]
    var attempts: [Slots.ConnectionID] = []
    var open: [Slots.ConnectionID] = []
    var draining: [Slots.ConnectionID] = []

    init(seed: UInt64) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
    }

    mutating func settle(_ waiters: [UInt64]) {
        #expect(waiters == waiters.sorted(), "seed \(seed)")
        for waiter in waiters { check(waiting.remove(waiter) != nil, true, "seed \(seed): served twice") }
    }

    mutating func begin(_ id: Slots.ConnectionID) {
        #expect(!(attempts + open).contains { $0.kind == id.kind }, "seed \(seed): a second connection")
        attempts.append(id)
    }

    mutating func acquire() {
        nextWaiter += 1
        let isPatient = Bool.random(using: &random)
        let deadline = Bool.random(using: &random) ? now + Int.random(in: 0...2000, using: &random) : nil
        let kind: ConnectionKind = Bool.random(using: &random) ? .interactive : .bulk
        kinds[nextWaiter] = kind
        let acquired = slots.acquire(
            kind, id: nextWaiter, waiter: nextWaiter, waitsForReady: isPatient, deadline: deadline.map(at), now: at(now)
        )
        switch acquired {
        case .use(let number): #expect(open.contains { $0.kind == kind && $0.number == number }, "seed \(seed)")
        case .connect(let id):
            waiting.insert(nextWaiter)
            if isPatient { patient.insert(nextWaiter) }
            begin(id)
        case .wait:
            waiting.insert(nextWaiter)
            if isPatient { patient.insert(nextWaiter) }
        case .fail(let failure):
            #expect(!isPatient && failure.retryAfterMs > 0, "seed \(seed)")
        case .abandoned, .closed: Issue.record("seed \(seed): nobody gave up or shut down")
        }
    }

    mutating func end(_ id: Slots.ConnectionID, _ ending: Slots.Ending) {
        let ended = slots.ended(id, ending, now: at(now), using: &random)
        #expect(!ended.failed.contains { patient.contains($0) }, "seed \(seed): waits for ready")
        settle(ended.failed)
        if ended.isForced, let cut = ended.close { draining.removeAll { $0.number == cut } }
    }

    mutating func step() {
        now += Int.random(in: 0...400, using: &random)
        switch Int.random(in: 0...7, using: &random) {
        case 0...2: acquire()
        case 3:
            guard let index = attempts.indices.randomElement(using: &random) else { return }
            let id = attempts.remove(at: index)
            if Bool.random(using: &random) { return end(id, .lost(unavailable())) }
            guard case .granted(let waiters) = slots.connected(id, id.number, now: at(now)) else {
                Issue.record("seed \(seed): a wanted connection was discarded")
                return
            }
            open.append(id)
            settle(waiters)
        case 4:
            guard let index = open.indices.randomElement(using: &random) else { return }
            let id = open.remove(at: index)
            let ending: Slots.Ending =
                [.lost(unavailable()), .draining(unavailable()), .unused, .exhausted]
                .randomElement(using: &random) ?? .unused
            if case .lost = ending {} else { draining.append(id) }
            end(id, ending)
        case 5:
            guard let index = draining.indices.randomElement(using: &random) else { return }
            end(draining.remove(at: index), .lost(unavailable()))
        case 6:
            guard let waiter = waiting.sorted().randomElement(using: &random) else { return }
            check(slots.abandon(waiter), waiter, "seed \(seed)")
            waiting.remove(waiter)
        default: fireTimer()
        }
    }

    mutating func fireTimer() {
        let fired = slots.timerFired(now: at(now))
        settle(fired.expired.map(\.waiter))
        fired.connect.forEach { begin($0) }
    }

    /// Nobody is lost: whoever waits has an attempt under way or a timer that will make one.
    func checkRules() {
        #expect(slots.waitingCount == waiting.count, "seed \(seed)")
        #expect(slots.drainingCount == draining.count && draining.count <= Slots.drainingMax, "seed \(seed)")
        for kind in ConnectionKind.allCases where waiting.contains(where: { kinds[$0] == kind }) {
            let isUnderWay = attempts.contains { $0.kind == kind } || slots.nextTimer() != nil
            #expect(isUnderWay && slots.ready(kind) == nil, "seed \(seed): stuck")
        }
        for kind in ConnectionKind.allCases {
            #expect((slots.ready(kind) != nil) == open.contains { $0.kind == kind }, "seed \(seed)")
        }
    }
}

@Suite struct ConnectionSlotsPropertyTests {
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func everyWaiterIsServedOnceAndNoSlotHasTwoConnections(seed: UInt64) {
        var model = SlotsModel(seed: seed)
        for _ in 0..<1000 {
            model.step()
            model.checkRules()
        }
        // Everything connects from now on: nobody is left waiting.
        for _ in 0..<100 where !model.waiting.isEmpty {
            model.now = max(model.now, model.slots.nextTimer()?.ms ?? model.now) + 1
            model.fireTimer()
            while let id = model.attempts.popLast() {
                guard case .granted(let waiters) = model.slots.connected(id, id.number, now: at(model.now)) else {
                    break
                }
                model.open.append(id)
                model.settle(waiters)
            }
        }
        #expect(model.waiting.isEmpty, "seed \(seed)")
    }
}
