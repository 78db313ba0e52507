internal import Core
internal import NIOCore

/// What belongs to one event loop, and what the connections on it share.
final class LoopContext: @unchecked Sendable {
    let executor: LoopExecutor
    let deadlines: DeadlineWheel
    // Confined to the loop.
    /// For ids of calls that bring none.
    @exclusivity(unchecked) var random: FastRandom
    /// Times of the last read: arrivals of what it brought. A clock reading for each frame would cost as much as parsing it.
    @exclusivity(unchecked) private(set) var readTime: MonotonicTime
    @exclusivity(unchecked) private(set) var readWallTime: WallTime
    private(set) lazy var compressor = MessageCompressor()
    private let clock: Clock

    /// The clock of a loop: the system's, or one that a simulation sets.
    struct Clock: Sendable {
        /// nil for the system's, which is read without an indirect call.
        var simulated: (@Sendable () -> MonotonicTime)?

        static let system = Clock(simulated: nil)

        func now() -> MonotonicTime {
            if let simulated { return simulated() }
            return MonotonicTime.now()
        }

        /// The civil time now. A simulation's is that of its own clock since 1970, so that ids made from it repeat with the seed.
        func wall(at now: MonotonicTime) -> WallTime {
            simulated == nil ? .now() : WallTime(microseconds: Int64(clamping: now.nanoseconds / 1000))
        }
    }

    init(loop: any EventLoop, clock: Clock = .system, random: FastRandom = FastRandom()) {
        executor = LoopExecutor(loop: loop)
        deadlines = DeadlineWheel(loop: loop, clock: clock)
        self.random = random
        self.clock = clock
        readTime = clock.now()
        readWallTime = clock.wall(at: readTime)
    }

    func now() -> MonotonicTime { clock.now() }

    /// What is left of a time that began at `start`; zero when nothing is.
    func rest(of time: Duration, since start: MonotonicTime) -> TimeAmount {
        .nanoseconds(max(0, now().nanosecondsElapsed(to: start.advanced(by: time))))
    }

    /// Bytes came.
    func reading() {
        readTime = clock.now()
        readWallTime = clock.wall(at: readTime)
    }

    /// An id for a call that brought none.
    func makeRequestID() -> UUIDv7 { UUIDv7(now: readWallTime, using: &random) }
    func makeTrace() -> TraceContext { .root(using: &random) }
}
