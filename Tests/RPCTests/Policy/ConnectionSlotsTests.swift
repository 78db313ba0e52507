import Core
import Testing

@testable import RPC

/// Slots whose connections and waiters are names, with a clock and a running number of waiters; what they answer as text.
private struct Transcript {
    typealias Slots = ConnectionSlots<String, String>

    var slots = Slots()
    var random = MiddleGenerator()
    var now = 0
    private var nextWaiter: UInt64 = 0
    private var ids: [String: UInt64] = [:]
    private var made: [Slots.ConnectionID] = []

    mutating func acquire(
        _ waiter: String, _ kind: ConnectionKind = .interactive, waitsForReady: Bool = false, deadline: Int? = nil
    ) -> String {
        nextWaiter += 1
        ids[waiter] = nextWaiter
        let acquired = slots.acquire(
            kind, id: nextWaiter, waiter: waiter, waitsForReady: waitsForReady, deadline: deadline.map(at), now: at(now)
        )
        return switch acquired {
        case .use(let connection): "use \(connection)"
        case .connect(let id): note(id)
        case .wait: "wait"
        case .fail(let failure): "fail \(failure.reason) \(failure.retryAfterMs)"
        case .abandoned: "abandoned"
        case .closed: "closed"
        }
    }

    private mutating func note(_ id: Slots.ConnectionID) -> String {
        made.append(id)
        return "connect \(id.kind) \(made.count)"
    }

    /// `number` is the one that `connect` named.
    mutating func connected(_ number: Int, _ connection: String) -> String {
        switch slots.connected(made[number - 1], connection, now: at(now)) {
        case .granted(let waiters): "granted \(waiters)"
        case .discard: "discard"
        }
    }

    mutating func ended(_ number: Int, _ ending: Slots.Ending) -> String {
        let ended = slots.ended(made[number - 1], ending, now: at(now), using: &random)
        var parts: [String] = []
        if !ended.failed.isEmpty {
            parts.append("fail \(ended.failed) \(ended.failure?.reason ?? "") \(ended.failure?.retryAfterMs ?? 0)")
        }
        if let connection = ended.close { parts.append("\(ended.isForced ? "cut" : "close") \(connection)") }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    mutating func timer() -> String {
        let fired = slots.timerFired(now: at(now))
        let parts = fired.expired.map { "expire \($0.waiter) \($0.failure.code.name)" } + fired.connect.map { note($0) }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    mutating func abandon(_ waiter: String) -> String? { slots.abandon(ids[waiter] ?? 0) }
}

@Suite struct ConnectionSlotsTests {
    @Test func callsShareAnAttemptAndAreServedInOrder() {
        var t = Transcript()
        check(t.acquire("a"), "connect interactive 1")
        check(t.acquire("b"), "wait")
        check(t.acquire("c"), "wait")
        check(t.abandon("b"), "b")
        check(t.abandon("b"), nil)
        check(t.connected(1, "X"), #"granted ["a", "c"]"#)
        check(t.acquire("d"), "use X")
        #expect(t.slots.ready(.interactive) == "X" && t.slots.ready(.bulk) == nil)
    }

    @Test func bulkCallsHaveTheirOwnConnectionWhichIsClosedWhenUnused() {
        var t = Transcript()
        check(t.acquire("a"), "connect interactive 1")
        check(t.acquire("b", .bulk), "connect bulk 2")
        check(t.connected(2, "B"), #"granted ["b"]"#)
        check(t.connected(1, "A"), #"granted ["a"]"#)
        check(t.ended(2, .unused), "close B")
        check(t.ended(2, .lost(unavailable())), "nothing")
        // Nothing went wrong: the next one is made at once.
        check(t.acquire("c", .bulk), "connect bulk 3")
        check(t.acquire("d"), "use A")
    }

    @Test func aFailedAttemptFailsThoseThatDoNotWaitForReadyUntilTheNextIsDue() {
        var t = Transcript()
        check(t.acquire("fast"), "connect interactive 1")
        check(t.acquire("patient", waitsForReady: true), "wait")
        t.now = 20
        check(t.ended(1, .lost(unavailable("REFUSED"))), #"fail ["fast"] REFUSED 50"#)
        #expect(t.slots.reachability(now: at(20)) == .failing(until: at(70)))
        t.now = 30
        check(t.acquire("fast"), "fail REFUSED 40")
        check(t.acquire("fast", .bulk), "fail REFUSED 40")
        #expect(t.slots.nextTimer() == at(70))
        t.now = 70
        check(t.timer(), "connect interactive 2")
        check(t.acquire("fast"), "wait")
        check(t.ended(2, .lost(unavailable("REFUSED"))), #"fail ["fast"] REFUSED 80"#)
        t.now = 150
        check(t.timer(), "connect interactive 3")
        check(t.connected(3, "X"), #"granted ["patient"]"#)
        #expect(t.slots.nextTimer() == nil)
    }

    @Test func withoutWaitersNothingIsMadeUntilACallComes() {
        var t = Transcript()
        check(t.acquire("a"), "connect interactive 1")
        check(t.ended(1, .lost(unavailable())), #"fail ["a"] DOWN 50"#)
        #expect(t.slots.nextTimer() == nil)
        t.now = 50
        check(t.timer(), "nothing")
        check(t.acquire("b"), "connect interactive 2")
    }

    @Test func waitingForReadyEndsAtTheDeadline() {
        var t = Transcript()
        check(t.acquire("a", waitsForReady: true, deadline: 60), "connect interactive 1")
        check(t.acquire("b", waitsForReady: true), "wait")
        #expect(t.slots.nextTimer() == at(60))
        check(t.ended(1, .lost(unavailable())), "nothing")
        #expect(t.slots.nextTimer() == at(50))
        t.now = 50
        check(t.timer(), "connect interactive 2")
        t.now = 60
        check(t.timer(), "expire a DEADLINE_EXCEEDED")
        #expect(t.slots.nextTimer() == nil)
        check(t.connected(2, "X"), #"granted ["b"]"#)
    }

    @Test func aDrainingConnectionFinishesBesideItsSuccessor() {
        var t = Transcript()
        _ = (t.acquire("a"), t.connected(1, "X"))
        t.now = 20_000
        check(t.ended(1, .draining(unavailable("DRAINING"))), "close X")
        check(t.acquire("b"), "connect interactive 2")
        check(t.connected(2, "Y"), #"granted ["b"]"#)
        #expect(t.slots.drainingCount == 1)
        check(t.ended(1, .lost(unavailable())), "nothing")
        #expect(t.slots.drainingCount == 0)
        check(t.acquire("c"), "use Y")
    }

    @Test func aConnectionLostEarlyIsAFailureAndAStableOneIsNot() {
        var t = Transcript()
        _ = (t.acquire("a"), t.connected(1, "X"))
        t.now = 9999
        check(t.ended(1, .lost(unavailable("CONNECTION_LOST"))), "nothing")
        check(t.acquire("b"), "fail CONNECTION_LOST 50")
        t.now = 10_049
        _ = (t.acquire("c"), t.connected(2, "Y"))
        t.now = 20_049
        check(t.ended(2, .lost(unavailable("CONNECTION_LOST"))), "nothing")
        check(t.acquire("d"), "connect interactive 3")
        // Stability has reset the backoff.
        check(t.ended(3, .lost(unavailable())), #"fail ["d"] DOWN 50"#)
    }

    @Test func twoSlotsThatFailTogetherCountOnce() {
        var t = Transcript()
        _ = (t.acquire("a"), t.acquire("b", .bulk))
        check(t.ended(1, .lost(unavailable())), #"fail ["a"] DOWN 50"#)
        check(t.ended(2, .lost(unavailable())), #"fail ["b"] DOWN 50"#)
        t.now = 50
        _ = t.acquire("c")
        check(t.ended(3, .lost(unavailable())), #"fail ["c"] DOWN 80"#)
    }

    @Test func aPeerThatIsBackForOneKindIsTriedAtOnceForTheOther() {
        var t = Transcript()
        _ = (t.acquire("a"), t.acquire("b", .bulk, waitsForReady: true))
        check(t.ended(2, .lost(unavailable())), "nothing")
        #expect(t.slots.nextTimer() == at(50))
        check(t.connected(1, "X"), #"granted ["a"]"#)
        #expect(t.slots.nextTimer().map { $0 <= at(0) } == true)
        check(t.timer(), "connect bulk 3")
    }

    @Test func aLossReportedBeforeTheConnectionWasAnnouncedIsNotMissed() {
        var t = Transcript()
        check(t.acquire("a"), "connect interactive 1")
        check(t.ended(1, .lost(unavailable())), #"fail ["a"] DOWN 50"#)
        check(t.connected(1, "X"), "discard")
    }

    @Test func anEndlesslyDrainingServerDoesNotCollectConnections() {
        var t = Transcript()
        for number in 1...5 {
            t.now += 20_000
            _ = (t.acquire("a"), t.connected(number, "X\(number)"))
            t.now += 20_000
            let answer = t.ended(number, .draining(unavailable()))
            #expect(answer == (number <= 4 ? "close X\(number)" : "cut X1"))
        }
        #expect(t.slots.drainingCount == 4)
    }

    @Test func waitersMayMoveToAPeerThatIsReady() {
        var t = Transcript()
        _ = (t.acquire("a", waitsForReady: true), t.acquire("b"), t.acquire("c", .bulk, waitsForReady: true))
        check(t.slots.takeWaitingForReady(.interactive), ["a"])
        #expect(t.slots.waitingCount == 2)
    }

    @Test func aWaiterThatGaveUpBeforeItCameIsNotQueued() {
        var t = Transcript()
        check(t.slots.abandon(1, mayComeLater: true), nil)
        check(t.acquire("a"), "abandoned")
        #expect(t.slots.waitingCount == 0)
    }

    @Test func theNumberOfWaitersIsLimited() {
        var t = Transcript()
        _ = t.acquire("first")
        for _ in 1..<Transcript.Slots.waitersMax { _ = t.acquire("w") }
        check(t.acquire("last"), "fail TOO_MANY_WAITING 100")
    }

    @Test func shuttingDownIsFinal() {
        var t = Transcript()
        _ = (t.acquire("a"), t.connected(1, "X"), t.acquire("b", .bulk))
        let left = t.slots.shutdown()
        #expect(left.connections == ["X"] && left.waiters == ["b"])
        check(t.acquire("c"), "closed")
        check(t.connected(2, "Y"), "discard")
        check(t.ended(1, .lost(unavailable())), "nothing")
        check(t.timer(), "nothing")
    }

    @Test func uploadsAndMarkedStreamsAreBulk() {
        func kind(client: Bool, server: Bool, isBulk: Bool) -> ConnectionKind {
            ConnectionKind(
                MethodDescriptor(
                    path: "/a.B/C", service: "a.B", name: "C", requestType: "", responseType: "",
                    clientStreaming: client, serverStreaming: server, access: .open, idempotent: false,
                    uploadStartField: "", uploadDataField: "", httpRules: []),
                isBulk: isBulk)
        }
        #expect(kind(client: false, server: false, isBulk: true) == .interactive)
        #expect(kind(client: false, server: true, isBulk: false) == .interactive)
        #expect(kind(client: false, server: true, isBulk: true) == .bulk)
        #expect(kind(client: true, server: false, isBulk: false) == .bulk)
        #expect(kind(client: true, server: true, isBulk: false) == .bulk)
    }
}
