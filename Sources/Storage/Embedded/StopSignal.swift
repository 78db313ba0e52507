import CProcess
import Core
import Glibc

/// Raised once to end whatever waits on it: a start that is no longer wanted, or the watch over a running server.
final class StopSignal: Sendable {
    /// An eventfd, readable from the moment the signal is raised; nobody ever reads it.
    let descriptor: Int32

    init() throws {
        descriptor = acp_event_open()
        guard descriptor >= 0 else {
            throw Failure(
                .resourceExhausted, "No event descriptor could be made: \(ServerFiles.errorText(-descriptor)).",
                remedy: "Raise the limit of open files (ulimit -n).")
        }
    }

    deinit { close(descriptor) }

    func raise() {
        var one: UInt64 = 1
        write(descriptor, &one, 8)
    }

    var isRaised: Bool { wait(milliseconds: 0).stopped }

    /// Waits until the signal is raised, the process ends, or the time has passed; early after a signal to this process.
    func wait(milliseconds: Int, process: ServerProcess? = nil) -> (stopped: Bool, ended: Bool) {
        var descriptors = [descriptor]
        if let process { descriptors.append(process.descriptor) }
        let ready = acp_wait_readable(descriptors, descriptors.count, Int32(clamping: milliseconds))
        return ready < 0 ? (false, false) : (ready & 1 != 0, ready & 2 != 0)
    }

    func check() throws {
        if isRaised { throw Self.cancelled }
    }

    static let cancelled = Failure(.cancelled, "The start of the embedded servers was cancelled.")
}

/// One signal for each server, so that they can be stopped one after the other.
struct StopSignals: Sendable {
    let postgres: StopSignal
    let redis: StopSignal

    init() throws {
        postgres = try StopSignal()
        redis = try StopSignal()
    }

    func raiseAll() {
        postgres.raise()
        redis.raise()
    }
}
