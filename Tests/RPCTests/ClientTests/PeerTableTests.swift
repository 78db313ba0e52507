import Core
import NIOCore
import Testing

@testable import RPC

/// Transcripts of the value that decides for a client: connections and waiters are names.
@Suite struct PeerTableTests {
    private typealias Table = PeerTable<String, String>

    private static func address(_ number: Int) throws -> PeerAddress {
        PeerAddress(
            target: .socket(try SocketAddress(ipAddress: "10.0.0.\(number)", port: 1)), host: "service",
            description: "10.0.0.\(number):1")
    }

    private static func table(_ addresses: [PeerAddress]?) -> Table {
        Table(addresses: addresses, outliers: OutlierPolicy(), throttling: RetryThrottling())
    }

    private static func answer(_ effects: Table.Effects, _ waiter: String) -> String? {
        effects.answers.first { $0.waiter == waiter }.map { answer in
            switch answer.answer {
            case .use(let lease): lease.connection
            case .failed(let failure, let progress, _): "\(failure.reason) \(progress)"
            case .again: "again"
            }
        }
    }

    /// A call that has to wait.
    private static func wait(
        _ table: inout Table, _ waiter: String, _ kind: ConnectionKind = .interactive, waitsForReady: Bool = false,
        deadline: MonotonicTime? = nil, at now: MonotonicTime
    ) throws -> (Table.Place, Table.Effects) {
        var effects = Table.Effects()
        guard case .wait(let place) = table.begin(kind, now: now, &effects) else {
            throw Failure(.internalError, "\(waiter) did not have to wait")
        }
        table.wait(at: place, kind, waiter, waitsForReady: waitsForReady, deadline: deadline, now: now, &effects)
        return (place, effects)
    }

    @Test func oneAddressNeedsNoChoiceAndNoCount() throws {
        var table = Self.table([try Self.address(1)])
        check(table.ready(.interactive)?.connection, nil)
        let (place, effects) = try Self.wait(&table, "w", at: at(0))
        let attempt = try #require(effects.connect.first)
        var connected = Table.Effects()
        table.connected(attempt.peer, attempt.id, "c", now: at(1), &connected)
        check(Self.answer(connected, "w"), "c")
        table.forget(place)
        let lease = table.ready(.interactive)
        #expect(lease?.connection == "c")
        #expect(lease?.isCounted == false)
        // The other kind is another connection.
        check(table.ready(.bulk)?.connection, nil)
        var ended = Table.Effects()
        table.ended(attempt.peer, attempt.id, .draining(unavailable()), now: at(20_000), &ended)
        #expect(ended.close.map(\.connection) == ["c"])
        check(table.ready(.interactive)?.connection, nil)
    }

    @Test func theFirstPeerThatIsReadyServesAllWhoWait() throws {
        var table = Self.table([try Self.address(1), try Self.address(2)])
        let (_, first) = try Self.wait(&table, "one", at: at(0))
        let (_, second) = try Self.wait(&table, "two", at: at(0))
        // Both peers are connected to at once; the calls wait for one each.
        #expect(first.connect.count == 2)
        #expect(second.connect.isEmpty)
        #expect(table.peerIDs.map { table.callsInFlight($0) } == [1, 1])
        var effects = Table.Effects()
        let attempt = first.connect[1]
        table.connected(attempt.peer, attempt.id, "c", now: at(1), &effects)
        check(Self.answer(effects, "one"), "c")
        check(Self.answer(effects, "two"), "c")
        #expect(table.callsInFlight(attempt.peer) == 2)
        #expect(table.callsInFlight(first.connect[0].peer) == 0)
    }

    @Test func whoWaitsForTheOtherKindChoosesAgain() throws {
        var table = Self.table([try Self.address(1), try Self.address(2)])
        let (_, first) = try Self.wait(&table, "bulk", .bulk, waitsForReady: true, at: at(0))
        // Both fail; the bulk call waits at a peer that is blocked now.
        for attempt in first.connect {
            var effects = Table.Effects()
            table.ended(attempt.peer, attempt.id, .lost(unavailable()), now: at(1), &effects)
            #expect(effects.answers.isEmpty)
        }
        var fired = Table.Effects()
        table.timerFired(now: at(1000), &fired)
        let other = try #require(fired.connect.first { $0.id.kind == .interactive })
        var effects = Table.Effects()
        table.connected(other.peer, other.id, "c", now: at(1001), &effects)
        let answer = Self.answer(effects, "bulk")
        #expect(answer == "again" || answer == nil)
        if answer == nil {
            // It waits at this very peer, whose bulk connection is being made.
            #expect(fired.connect.contains { $0.peer == other.peer && $0.id.kind == .bulk })
        }
    }

    @Test func anAddressThatLeavesDrainsAndItsWaitersChooseAgain() throws {
        var table = Self.table(nil)
        let (_, asked) = try Self.wait(&table, "early", at: at(0))
        #expect(asked.resolve)
        var resolved = Table.Effects()
        table.resolved([try Self.address(1)], now: at(5), &resolved)
        check(Self.answer(resolved, "early"), "again")
        let (_, first) = try Self.wait(&table, "w", at: at(5))
        let attempt = try #require(first.connect.first)
        let (_, bulk) = try Self.wait(&table, "b", .bulk, at: at(5))
        var connected = Table.Effects()
        table.connected(attempt.peer, attempt.id, "c", now: at(6), &connected)
        check(table.ready(.interactive)?.connection, "c")
        // A minute later the next call asks again, and the answer is another address.
        var stale = Table.Effects()
        table.timerFired(now: at(60_006), &stale)
        check(table.ready(.interactive)?.connection, nil)
        var begun = Table.Effects()
        guard case .ready(let lease) = table.begin(.interactive, now: at(60_007), &begun) else {
            Issue.record("the old address still serves")
            return
        }
        #expect(lease.connection == "c")
        #expect(begun.resolve)
        var moved = Table.Effects()
        table.resolved([try Self.address(2)], now: at(60_008), &moved)
        #expect(moved.close.map(\.connection) == ["c"])
        #expect(moved.close.allSatisfy { !$0.isForced })
        check(Self.answer(moved, "b"), "again")
        // What was still being made for the old address is not wanted any more.
        let late = try #require(bulk.connect.first)
        var discarded = Table.Effects()
        table.connected(late.peer, late.id, "late", now: at(60_009), &discarded)
        #expect(discarded.close.map(\.connection) == ["late"])
    }

    @Test func aNameServiceThatFailsFailsCallsAtOnceUntilItIsAskedAgain() throws {
        var table = Self.table(nil)
        let (_, asked) = try Self.wait(&table, "hasty", at: at(0))
        #expect(asked.resolve)
        let (_, second) = try Self.wait(&table, "patient", waitsForReady: true, at: at(0))
        #expect(!second.resolve)
        var failed = Table.Effects()
        table.resolutionFailed(unavailable("UNREACHABLE"), now: at(1), &failed)
        check(Self.answer(failed, "hasty"), "UNREACHABLE notSent")
        check(Self.answer(failed, "patient"), nil)
        let (_, blocked) = try Self.wait(&table, "hasty too", at: at(2))
        check(Self.answer(blocked, "hasty too"), "UNREACHABLE notSent")
        #expect(!blocked.resolve)
        let due = try #require(table.nextTimer())
        var fired = Table.Effects()
        table.timerFired(now: due, &fired)
        #expect(fired.resolve)
        var resolved = Table.Effects()
        table.resolved([try Self.address(1)], now: due, &resolved)
        check(Self.answer(resolved, "patient"), "again")
    }

    @Test func givingUpLeavesNobodyBehind() throws {
        var table = Self.table(nil)
        let (inLobby, _) = try Self.wait(&table, "one", waitsForReady: true, at: at(0))
        var effects = Table.Effects()
        table.abandon(inLobby, &effects)
        check(Self.answer(effects, "one"), " endedHere")
        // One that gives up before it waits.
        guard case .wait(let place) = table.begin(.interactive, now: at(1), &effects) else {
            Issue.record("there is no address")
            return
        }
        table.abandon(place, &effects)
        table.wait(at: place, .interactive, "two", waitsForReady: true, deadline: nil, now: at(1), &effects)
        table.forget(place)
        check(Self.answer(effects, "two"), " endedHere")
        #expect(table.waitingCount == 0)
    }

    @Test func shutdownFailsWhoWaitsAndDrainsWhatThereIs() throws {
        var table = Self.table([try Self.address(1)])
        let (_, first) = try Self.wait(&table, "w", at: at(0))
        let attempt = try #require(first.connect.first)
        var effects = Table.Effects()
        table.connected(attempt.peer, attempt.id, "c", now: at(1), &effects)
        let (_, bulk) = try Self.wait(&table, "b", .bulk, at: at(2))
        var end = Table.Effects()
        table.shutdown(&end)
        check(Self.answer(end, "b"), "CLIENT_CLOSED endedHere")
        #expect(end.close.map(\.connection) == ["c"])
        check(table.ready(.interactive)?.connection, nil)
        let late = try #require(bulk.connect.first)
        var discarded = Table.Effects()
        table.connected(late.peer, late.id, "late", now: at(3), &discarded)
        #expect(discarded.close.map(\.connection) == ["late"])
        guard case .failed(let failure, .endedHere) = table.begin(.interactive, now: at(4), &end) else {
            Issue.record("a closed table takes no calls")
            return
        }
        #expect(failure.reason == "CLIENT_CLOSED")
        #expect(table.nextTimer() == nil)
    }
}
