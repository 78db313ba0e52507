import Core
import Testing

@testable import RPC

@Suite struct PeerSelectorTests {
    private typealias Selector = PeerSelector<String>

    /// A selector over these addresses, all ready unless said otherwise.
    private func selector(_ addresses: [String], ready: Bool = true) -> (Selector, [String: PeerID]) {
        var selector = Selector()
        let change = selector.update(addresses, now: at(0))
        if ready { for (id, _) in change.added { selector.set(id, .ready) } }
        return (selector, Dictionary(uniqueKeysWithValues: change.added.map { ($0.address, $0.id) }))
    }

    @Test func callsGoToThePeerWithTheFewestInFlight() throws {
        var random = SeededGenerator(seed: 1)
        var (selector, ids) = selector(["a", "b", "c"])
        for round in 1...5 {
            for _ in 0..<3 { _ = selector.pick(now: at(0), using: &random) }
            #expect(ids.values.allSatisfy { selector.callsInFlight($0) == round })
        }
        let b = try #require(ids["b"])
        selector.finished(b, .worked, now: at(1))
        check(selector.pick(now: at(1), using: &random), b)
    }

    @Test func aNameWithoutAddressesHasNoPeerAndOneAddressIsAlwaysChosen() throws {
        var random = SeededGenerator(seed: 1)
        var empty = Selector()
        #expect(empty.pick(now: at(0), using: &random) == nil)
        var (selector, ids) = selector(["a"])
        let a = try #require(ids["a"])
        for _ in 0..<20 {
            check(selector.pick(avoiding: [a], now: at(0), using: &random), a)
            selector.finished(a, .failed, now: at(0))
        }
        #expect(!selector.isEjected(a, now: at(0)))
        #expect(!selector.hasOther(than: [a], now: at(0)))
    }

    @Test func theBestReachablePeerIsChosen() throws {
        var random = SeededGenerator(seed: 1)
        var (selector, ids) = selector(["ready", "idle", "failing", "later"], ready: false)
        let (ready, idle) = (try #require(ids["ready"]), try #require(ids["idle"]))
        let (failing, later) = (try #require(ids["failing"]), try #require(ids["later"]))
        selector.set(ready, .ready)
        selector.set(failing, .failing(until: at(100)))
        selector.set(later, .failing(until: at(200)))
        check(selector.pick(now: at(0), using: &random), ready)
        check(selector.pick(now: at(0), using: &random), ready)
        #expect(selector.nextToConnect(now: at(0)) == idle)
        check(selector.pick(avoiding: [ready], now: at(0), using: &random), idle)
        #expect(selector.hasOther(than: [ready], now: at(0)))
        #expect(!selector.hasOther(than: [ready, idle], now: at(0)))
        selector.set(ready, .failing(until: at(300)))
        selector.set(idle, .failing(until: at(400)))
        check(selector.pick(now: at(0), using: &random), failing)
        // The time is up: it counts as idle.
        check(selector.pick(now: at(201), using: &random) != ready, true)
    }

    @Test func anEjectedPeerIsSkippedUntilItReturns() throws {
        var random = SeededGenerator(seed: 1)
        var (selector, ids) = selector(["a", "b"])
        let (a, b) = (try #require(ids["a"]), try #require(ids["b"]))
        for _ in 0..<5 { selector.finished(a, .failed, now: at(0)) }
        #expect(selector.isEjected(a, now: at(29_999)))
        for _ in 0..<10 { check(selector.pick(now: at(29_999), using: &random), b) }
        check(selector.pick(now: at(30_000), using: &random), a)
        // Better an ejected one than one that was tried or cannot be reached.
        check(selector.pick(avoiding: [b], now: at(10), using: &random), a)
    }

    @Test func aRefreshKeepsWhatStaysAndForgetsWhatLeft() throws {
        var random = SeededGenerator(seed: 1)
        var (selector, ids) = selector(["a", "b"])
        let (a, b) = (try #require(ids["a"]), try #require(ids["b"]))
        for _ in 0..<4 { _ = selector.pick(now: at(0), using: &random) }
        let change = selector.update(["b", "c", "c"], now: at(1))
        #expect(change.removed == [a])
        #expect(change.added.map(\.address) == ["c"])
        #expect(selector.callsInFlight(b) == 2)
        // Ends of calls to a peer that left change nothing, even when it returns.
        _ = selector.update(["a", "b"], now: at(2))
        selector.finished(a, .worked, now: at(2))
        #expect(selector.ids.allSatisfy { $0 != a && selector.callsInFlight($0) >= 0 })
    }

    @Test func onlySomeOfManyPeersAreConnected() {
        var (selector, _) = selector((0..<20).map(String.init), ready: false)
        var connected = 0
        while let next = selector.nextToConnect(now: at(0)) {
            selector.set(next, .connecting)
            connected += 1
        }
        #expect(connected == Selector.connectedMax)
    }

    /// Two random choices keep 32 peers within a few calls of each other; a single random choice would spread by more than 10.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func manyPeersAreLoadedEvenly(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var (selector, _) = selector((0..<32).map(String.init))
        for _ in 0..<3200 { _ = selector.pick(now: at(0), using: &random) }
        let loads = selector.ids.map(selector.callsInFlight)
        #expect(loads.reduce(0, +) == 3200)
        #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= 10, "seed \(seed): \(loads)")
    }

    /// Random picks, ends and refreshes: a peer is chosen whenever one is listed, a ready one in service before any other.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func aPeerIsAlwaysChosen(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var selector = Selector()
        var inFlight: [PeerID] = []
        var ready: Set<PeerID> = []
        for step in 0..<2000 {
            let now = at(step * 50)
            switch Int.random(in: 0...20, using: &random) {
            case 0:
                let addresses = (0..<12).filter { _ in Bool.random(using: &random) }.map(String.init)
                ready.subtract(selector.update(addresses, now: now).removed)
            case 1...3:
                guard let id = selector.ids.randomElement(using: &random) else { continue }
                let isReady = Bool.random(using: &random)
                selector.set(id, isReady ? .ready : .failing(until: now.advanced(by: .seconds(1))))
                if isReady { ready.insert(id) } else { ready.remove(id) }
            case 4...12:
                guard let id = selector.pick(now: now, using: &random) else {
                    #expect(selector.count == 0, "seed \(seed)")
                    continue
                }
                inFlight.append(id)
                let best = ready.filter { !selector.isEjected($0, now: now) }
                #expect(best.isEmpty || best.contains(id) || selector.count == 1, "seed \(seed), step \(step)")
            default:
                guard let index = inFlight.indices.randomElement(using: &random) else { continue }
                let verdict: PeerVerdict =
                    [.worked, .failed, .failed, .neutral].randomElement(using: &random) ?? .worked
                selector.finished(inFlight.remove(at: index), verdict, now: now)
            }
            let isCounted = selector.ids.allSatisfy { id in selector.callsInFlight(id) == inFlight.count { $0 == id } }
            #expect(isCounted, "seed \(seed), step \(step)")
        }
    }
}

@Suite struct AddressBookTests {
    private typealias Book = AddressBook<String>

    @Test func oneQuestionIsAskedAtATimeAndAgainWhenTheAnswerIsOld() {
        var random = MiddleGenerator()
        var book = Book()
        check(book.shouldResolve(now: at(0)), true)
        check(book.shouldResolve(now: at(0)), false)
        check(book.resolved(["a", "b", "a"], now: at(10), using: &random), true)
        #expect(book.addresses == ["a", "b"])
        check(book.shouldResolve(now: at(60_009)), false)
        check(book.shouldResolve(peerWasLost: true, now: at(5009)), false)
        check(book.shouldResolve(peerWasLost: true, now: at(5010)), true)
        // The same set in another order is no change.
        check(book.resolved(["b", "a"], now: at(5020), using: &random), false)
        check(book.shouldResolve(now: at(65_020)), true)
    }

    @Test func aFailedOrEmptyAnswerKeepsTheAddressesAndIsAskedAgainLaterAndLater() {
        var random = MiddleGenerator()
        var book = Book()
        _ = (book.shouldResolve(now: at(0)), book.resolved(["a"], now: at(0), using: &random))
        check(book.shouldResolve(now: at(60_000)), true)
        book.resolutionFailed(unavailable("DNS"), now: at(60_000), using: &random)
        #expect(book.addresses == ["a"] && book.failure?.reason == "DNS")
        check(book.shouldResolve(peerWasLost: true, now: at(60_999)), false)
        check(book.shouldResolve(now: at(61_000)), true)
        check(book.resolved([], now: at(61_000), using: &random), false)
        #expect(book.addresses == ["a"] && book.failure?.reason == "NO_ADDRESS")
        check(book.shouldResolve(now: at(62_599)), false)
        check(book.shouldResolve(now: at(62_600)), true)
        check(book.resolved(["b"], now: at(62_600), using: &random), true)
        #expect(book.addresses == ["b"] && book.failure == nil)
    }

    @Test func theNumberOfAddressesIsLimited() {
        var random = MiddleGenerator()
        var book = Book()
        _ = book.shouldResolve(now: at(0))
        check(book.resolved((0...Book.addressesMax).map(String.init), now: at(0), using: &random), true)
        #expect(book.addresses.count == Book.addressesMax)
    }
}
