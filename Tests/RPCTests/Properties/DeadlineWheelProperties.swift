import Core
import NIOCore
import NIOEmbedded
import Testing

@testable import RPC

@Suite struct DeadlineWheelProperties {
    private final class Entry: DeadlineEntry {
        let deadline: MonotonicTime
        let now: () -> MonotonicTime
        var expiredAt: MonotonicTime?
        var removes: Entry?
        let wheel: DeadlineWheel

        init(_ deadline: MonotonicTime, _ embedded: EmbeddedLoop) {
            self.deadline = deadline
            now = { embedded.now }
            wheel = embedded.context.deadlines
        }

        override func deadlineExpired() {
            #expect(expiredAt == nil)
            expiredAt = now()
            // What an expired call does may take others out.
            if let removes { wheel.remove(removes) }
        }
    }

    /// Every entry expires once, within a tick and never early, unless it was removed.
    @Test(arguments: UInt64(1)...40) func entriesExpireInTime(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let embedded = EmbeddedLoop()
        let wheel = embedded.context.deadlines
        var entries: [Entry] = []
        var removed: Set<ObjectIdentifier> = []
        for _ in 0..<300 {
            // Longer than the wheel is round, too.
            let nanoseconds = Int64.random(
                in: -1_000_000...[1_000_000, 100_000_000, 20_000_000_000][Int.random(in: 0..<3, using: &random)],
                using: &random)
            let entry = Entry(embedded.now.advanced(by: .nanoseconds(nanoseconds)), embedded)
            entries.append(entry)
            wheel.add(entry, deadline: entry.deadline, now: embedded.now)
            if random.oneIn(4), let other = entries.randomElement(using: &random) {
                wheel.remove(other)
                if other.expiredAt == nil { removed.insert(ObjectIdentifier(other)) }
            }
            if random.oneIn(5) {
                embedded.loop.advanceTime(by: .nanoseconds(Int64.random(in: 0...400_000_000, using: &random)))
            }
        }
        #expect(wheel.count == entries.count { $0.isInDeadlineWheel }, "seed \(seed)")
        embedded.pass(milliseconds: 30_000)
        let tick = Duration.milliseconds(Int64(DeadlineWheel.tickMs))
        for entry in entries {
            guard let expiredAt = entry.expiredAt else {
                #expect(removed.contains(ObjectIdentifier(entry)), "seed \(seed): an entry never expired")
                continue
            }
            #expect(!removed.contains(ObjectIdentifier(entry)), "seed \(seed): a removed entry expired")
            #expect(expiredAt >= entry.deadline, "seed \(seed): early")
        }
        // Those that were in the future when they were added.
        for entry in entries {
            guard let expiredAt = entry.expiredAt, entry.deadline.nanoseconds > EmbeddedLoop.origin else { continue }
            let late = entry.deadline.duration(to: expiredAt)
            #expect(late <= tick + .milliseconds(1), "seed \(seed): \(late) late")
        }
        #expect(wheel.count == 0 && entries.allSatisfy { !$0.isInDeadlineWheel }, "seed \(seed)")
    }

    @Test func anExpiredEntryMayTakeOthersOut() {
        let embedded = EmbeddedLoop()
        let deadline = embedded.now.advanced(by: .milliseconds(7))
        let entries = (0..<4).map { _ in Entry(deadline, embedded) }
        for entry in entries { embedded.context.deadlines.add(entry, deadline: deadline, now: embedded.now) }
        for (entry, other) in zip(entries, entries.dropFirst()) {
            entry.removes = other
            other.removes = entry
        }
        embedded.pass(milliseconds: 100)
        #expect(embedded.context.deadlines.count == 0)
        #expect(entries.contains { $0.expiredAt == nil } && entries.contains { $0.expiredAt != nil })
        for entry in entries { entry.removes = nil }
    }

    @Test func aLoopThatWasBusyForLongFindsThemAll() {
        let embedded = EmbeddedLoop()
        var entries: [Entry] = []
        for ms in stride(from: Int64(1), to: 30_000, by: 37) {
            let entry = Entry(embedded.now.advanced(by: .milliseconds(ms)), embedded)
            embedded.context.deadlines.add(entry, deadline: entry.deadline, now: embedded.now)
            entries.append(entry)
        }
        // In one step, the clock is read once, at its end.
        embedded.pass(milliseconds: 40_000)
        #expect(entries.allSatisfy { $0.expiredAt != nil })
    }
}
