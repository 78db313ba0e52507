internal import Core
internal import NIOCore

/// Something with a deadline; a link of the wheel's lists.
class DeadlineEntry {
    @exclusivity(unchecked) fileprivate final var slot = -1
    @exclusivity(unchecked) fileprivate final var tick: UInt64 = 0
    @exclusivity(unchecked) fileprivate final unowned(unsafe) var previous: DeadlineEntry?
    @exclusivity(unchecked) fileprivate final var next: DeadlineEntry?

    final var isInDeadlineWheel: Bool { slot >= 0 }

    /// The deadline has passed. On the loop; the entry is no longer in the wheel.
    func deadlineExpired() {}
}

/// Deadlines of all calls of one loop: a timer wheel, because a scheduled task per call costs more than the call.
///
/// Precise to `tickMs`, never early. Adding and removing cost constant time. The wheel turns only while it holds something.
final class DeadlineWheel: @unchecked Sendable {
    static let tickMs: UInt64 = 5
    private static let slotCount = 1024
    private static let tickNanos = tickMs * 1_000_000

    private let loop: any EventLoop
    private let clock: LoopContext.Clock
    // Confined to the loop.
    @exclusivity(unchecked) private var slots: [DeadlineEntry?] = Array(repeating: nil, count: slotCount)
    @exclusivity(unchecked) private var lastTick: UInt64 = 0
    @exclusivity(unchecked) private(set) var count = 0
    @exclusivity(unchecked) private var isTurning = false

    init(loop: any EventLoop, clock: LoopContext.Clock) {
        self.loop = loop
        self.clock = clock
    }

    /// - Parameter now: a time at or shortly before the present.
    func add(_ entry: DeadlineEntry, deadline: MonotonicTime, now: MonotonicTime) {
        loop.assertInEventLoop()
        precondition(entry.slot < 0, "an entry is in the wheel once")
        if count == 0 { lastTick = now.nanoseconds / Self.tickNanos }
        entry.tick = max(deadline.nanoseconds / Self.tickNanos + 1, lastTick + 1)
        let slot = Int(entry.tick % UInt64(Self.slotCount))
        entry.slot = slot
        entry.previous = nil
        entry.next = slots[slot]
        entry.next?.previous = entry
        slots[slot] = entry
        count += 1
        turn()
    }

    func remove(_ entry: DeadlineEntry) {
        guard entry.slot >= 0 else { return }
        let next = entry.next
        if let previous = entry.previous { previous.next = next } else { slots[entry.slot] = next }
        next?.previous = entry.previous
        entry.slot = -1
        entry.next = nil
        entry.previous = nil
        count -= 1
    }

    private func turn() {
        guard !isTurning, count > 0 else { return }
        isTurning = true
        // At the beginning of a tick: turning at any other time would add to the lateness of all that end with it.
        let intoTick = clock.now().nanoseconds % Self.tickNanos
        loop.scheduleTask(in: .nanoseconds(Int64(Self.tickNanos - intoTick))) {
            self.isTurning = false
            self.expire(through: self.clock.now().nanoseconds / Self.tickNanos)
            self.turn()
        }
    }

    private func expire(through tick: UInt64) {
        // After a long pause one turn over all slots sees every entry.
        let first = max(lastTick + 1, tick >= UInt64(Self.slotCount) ? tick - UInt64(Self.slotCount) + 1 : 0)
        lastTick = max(lastTick, tick)
        guard first <= tick else { return }
        // Collected first: what an expired call does may remove others.
        var expired: [DeadlineEntry] = []
        for current in first...tick {
            var entry = slots[Int(current % UInt64(Self.slotCount))]
            while let candidate = entry {
                entry = candidate.next
                if candidate.tick <= tick { expired.append(candidate) }
            }
        }
        for entry in expired where entry.slot >= 0 {
            remove(entry)
            entry.deadlineExpired()
        }
    }
}
