import Core
import Glibc
import Synchronization

/// How one kind of server is brought up and ended. All functions block and are called on the supervisor's thread only.
protocol ServerDriver: Sendable {
    var name: String { get }
    var logPath: String { get }
    /// Adopts the server that runs already, or repairs what a crash left and starts it. Returns when it has answered.
    /// - Throws: `Failure`; then no process of this call is left.
    func bringUp(stop: StopSignal) throws -> ServerProcess
    /// Ends the server within a bounded time, by force if it must be.
    func shutDown(_ process: ServerProcess)
    /// Whether clients can still find it: its socket may have been deleted under it.
    var isReachable: Bool { get }
}

/// What both drivers need.
struct ServerContext: Sendable {
    var layout: EmbeddedLayout
    var identity: ServerIdentity
    var programs: ServerPrograms
    var startSeconds: Int
    var log: @Sendable (String) -> Void
}

/// Watches over one server on a thread of its own: starts it, notices its death, starts it again, and ends it when told to.
final class ServerSupervisor: Sendable {
    /// How often a living server's socket and log size are looked at.
    static let checkMs = 10_000
    /// Longest wait before another try while the disk is full: somebody is most likely just making room.
    static let diskFullDelayMsMax = 2000

    private let driver: any ServerDriver
    private let stopSignal: StopSignal
    private let log: @Sendable (String) -> Void
    private let shared = Mutex(Shared())

    private struct Shared {
        var state = EmbeddedServerState.stopped
        var hasThread = false
        var isAbandoned = false
        /// Resumed when the thread ends.
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    init(driver: any ServerDriver, stop: StopSignal, log: @escaping @Sendable (String) -> Void) {
        self.driver = driver
        self.stopSignal = stop
        self.log = log
    }

    var state: EmbeddedServerState { shared.withLock { $0.state } }

    /// Brings the server up and goes on watching it. Called once.
    func start() async throws {
        try await withCheckedThrowingContinuation { (started: CheckedContinuation<Void, any Error>) in
            shared.withLock {
                $0.state = .starting
                $0.hasThread = true
            }
            do {
                try startThread {
                    self.watch(started: started)
                    self.threadEnds()
                }
            } catch {
                threadEnds()
                started.resume(throwing: error)
            }
        }
    }

    /// Ends the server and the watch; returns when both have ended.
    func stop() async {
        stopSignal.raise()
        await withCheckedContinuation { continuation in
            let ended = shared.withLock { shared -> Bool in
                if shared.hasThread { shared.waiters.append(continuation) }
                return !shared.hasThread
            }
            if ended { continuation.resume() }
        }
    }

    /// Ends the watch and leaves the server running.
    func abandon() async {
        shared.withLock { $0.isAbandoned = true }
        await stop()
    }

    private func set(_ state: EmbeddedServerState) { shared.withLock { $0.state = state } }

    private func threadEnds() {
        let waiters = shared.withLock { shared in
            shared.state = .stopped
            shared.hasThread = false
            defer { shared.waiters = [] }
            return shared.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func watch(started: CheckedContinuation<Void, any Error>) {
        var current: ServerProcess?
        var backoff = RestartBackoff()
        do {
            let process = try driver.bringUp(stop: stopSignal)
            entered(process, &backoff)
            current = process
            started.resume()
        } catch {
            started.resume(throwing: error)
            return
        }
        while true {
            guard let process = current else { return }
            let event = stopSignal.wait(milliseconds: Self.checkMs, process: process)
            if event.stopped { break }
            if event.ended {
                current = restart(&backoff, after: process.reap() ?? "it ended")
            } else if !driver.isReachable {
                driver.shutDown(process)
                current = restart(&backoff, after: "its socket was deleted")
            } else {
                ServerLog.trim(driver.logPath)
            }
        }
        guard let process = current, !shared.withLock({ $0.isAbandoned }) else { return }
        set(.stopping)
        driver.shutDown(process)
        log("\(driver.name) (process \(process.pid)) stopped.")
    }

    /// Starts the server again, however often it takes. Returns nil when it is to stop instead.
    private func restart(_ backoff: inout RestartBackoff, after cause: String) -> ServerProcess? {
        var failure = Failure(
            .unavailable, reason: "SERVER_DOWN", "\(driver.name) is down: \(cause).",
            remedy: "It is being started again; see \(driver.logPath).")
        while true {
            let isFull = failure.reason == Failure.diskFull
            let delayMs = min(backoff.delayMs(now: .now()), isFull ? Self.diskFullDelayMsMax : .max)
            set(.down(failure, attempts: backoff.attempts))
            log("\(failure.message) Starting it again in \(delayMs) ms (attempt \(backoff.attempts)).")
            if waitForStop(milliseconds: delayMs) { return nil }
            do {
                let process = try driver.bringUp(stop: stopSignal)
                entered(process, &backoff)
                return process
            } catch {
                if stopSignal.isRaised { return nil }
                failure = Failure(wrapping: error)
            }
        }
    }

    /// The whole delay, even when a signal to this process interrupts it.
    private func waitForStop(milliseconds: Int) -> Bool {
        let end = MonotonicTime.now().advanced(by: .milliseconds(milliseconds))
        while true {
            let left = Int(MonotonicTime.now().duration(to: end).wholeNanoseconds / 1_000_000)
            if stopSignal.wait(milliseconds: max(0, left)).stopped { return true }
            if left <= 0 { return false }
        }
    }

    private func entered(_ process: ServerProcess, _ backoff: inout RestartBackoff) {
        backoff.started(at: .now())
        set(.running(pid: process.pid, adopted: process.isAdopted))
        let how = process.isAdopted ? "was running and is adopted" : "started"
        log("\(driver.name) (process \(process.pid)) \(how).")
    }
}
