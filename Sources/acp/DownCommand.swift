internal import ArgumentParser
internal import CLI
internal import CProcess
internal import Core
internal import Glibc
internal import Platform
internal import Storage

struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Stop the system that runs on the data directory.",
        discussion: """
            Work in flight is finished or given back within `drain.seconds` (10 s). Exit status 0 also when nothing runs.

            Example:
              acp down
            """)

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let configuration = try options.loadConfiguration()
        let directory = configuration[.dataDirectory]
        let console = Console(isQuiet: options.quiet)
        guard let owner = try EmbeddedServers.running(dataDirectory: directory) else {
            console.note("Nothing runs on \(directory).")
            return
        }
        guard let pid = owner.pid else {
            throw Failure(
                .aborted, reason: "STARTING", "A process on \(directory) is just starting.", remedy: "Try again.")
        }
        let process = acp_pidfd_open(pid)
        // The descriptor names one process for good; its start time proves that it is the one that holds the lock.
        defer { if process >= 0 { close(process) } }
        guard process >= 0, ProcessIdentity.startTicks(of: pid) == owner.startTicks else {
            throw Failure(
                .aborted, reason: "OWNER_CHANGED", "The process \(pid) that held \(directory) ended meanwhile.",
                remedy: "Try again.")
        }
        let code = acp_pidfd_signal(process, SIGTERM)
        guard code == 0 else {
            throw Failure(
                .permissionDenied, "The process \(pid) could not be told to stop: \(String(cString: strerror(-code))).",
                remedy: "Run `acp down` as the user who started it.")
        }
        let start = MonotonicTime.now()
        // The running system's own limit and a moment.
        let secondsMax = configuration[.drainSeconds] + 1
        while start.duration(to: .now()) < .seconds(secondsMax) {
            var watched = process
            if acp_wait_readable(&watched, 1, 0) != 0 {
                console.note("Stopped.")
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Failure(
            .failedPrecondition, reason: "STILL_RUNNING",
            "The process \(pid) was told to stop and still runs after \(secondsMax) s.",
            remedy:
                "Look into \(directory)/logs/acp.jsonl; end it with `kill -9 \(pid)` if it must go: nothing acknowledged is lost."
        )
    }
}
