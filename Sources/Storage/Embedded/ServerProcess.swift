import CProcess
import Core
import Glibc

/// One process that we may signal and wait for, held by a pidfd: never another one that got its id later.
final class ServerProcess: Sendable {
    let pid: pid_t
    let descriptor: Int32
    /// It was found running, not started by this start.
    let isAdopted: Bool

    private init(pid: pid_t, descriptor: Int32, isAdopted: Bool) {
        self.pid = pid
        self.descriptor = descriptor
        self.isAdopted = isAdopted
    }

    deinit { close(descriptor) }

    /// The process `pid` if it satisfies `isOurs`; nil when there is none or it is somebody else's.
    static func find(_ pid: pid_t, where isOurs: (ProcessFacts) -> Bool) -> ServerProcess? {
        // The descriptor first: if the process is still alive after the facts were read, they are its facts.
        let descriptor = acp_pidfd_open(pid)
        guard descriptor >= 0 else { return nil }
        let process = ServerProcess(pid: pid, descriptor: descriptor, isAdopted: true)
        guard let facts = ProcessFacts.inspect(pid), isOurs(facts), !process.hasEnded else { return nil }
        return process
    }

    /// Starts `program` in its own session with both outputs going to the open file `output`.
    static func start(_ program: String, _ arguments: [String], with launch: Launch) throws -> ServerProcess {
        let result = withCStrings([program] + arguments) { argv in
            withCStrings(launch.environment.map { "\($0.0)=\($0.1)" }) { env in
                launch.identity.groups.withUnsafeBufferPointer { groups in
                    program.withCString { path in
                        "/".withCString { directory in
                            var options = acp_spawn_options()
                            options.program = path
                            options.argv = argv
                            options.env = env
                            options.directory = directory
                            options.change_user = launch.identity.isAnotherUser
                            options.uid = launch.identity.uid
                            options.gid = launch.identity.gid
                            options.groups = groups.baseAddress
                            options.group_count = groups.count
                            options.input = -1
                            options.output = launch.output
                            options.death_signal = launch.diesWithThread ? SIGKILL : 0
                            options.oom_score_adjust = Int32(launch.oomScoreAdjust)
                            return acp_spawn(&options)
                        }
                    }
                }
            }
        }
        guard result.stage == ACP_SPAWN_OK else { throw failure(result, program, launch.identity) }
        let descriptor = acp_pidfd_open(result.pid)
        guard descriptor >= 0 else {
            // Without a descriptor it could not be watched: it is our child, so its id is still its own.
            kill(result.pid, SIGKILL)
            throw Failure(
                .unimplemented, reason: "KERNEL_TOO_OLD",
                "Process descriptors are not available: \(ServerFiles.errorText(-descriptor)).",
                remedy: "Use Linux 5.3 or later, or configure --database-url and --redis-url.")
        }
        return ServerProcess(pid: result.pid, descriptor: descriptor, isAdopted: false)
    }

    struct Launch {
        var identity: ServerIdentity
        var environment: [(String, String)]
        /// An open descriptor for both outputs.
        var output: Int32
        /// Killed when the thread that starts it ends: for helpers that must not outlive us.
        var diesWithThread = false
        /// -1000 (never choose) to 1000 (choose first) when memory runs out; negative values need root.
        var oomScoreAdjust = 0
    }

    var hasEnded: Bool { wait(milliseconds: 0) }

    /// Waits for the end of the process. Returns whether it has ended.
    @discardableResult
    func wait(milliseconds: Int) -> Bool {
        let deadline = MonotonicTime.now().advanced(by: .milliseconds(milliseconds))
        while true {
            let left = Int(MonotonicTime.now().duration(to: deadline).wholeNanoseconds / 1_000_000)
            if acp_wait_readable([descriptor], 1, Int32(clamping: max(0, left))) > 0 { return true }
            if left <= 0 { return false }
        }
    }

    func signal(_ signal: Int32) { _ = acp_pidfd_signal(descriptor, signal) }

    /// Reaps an ended process. Returns how it ended, in words; nil when it was not a child of ours, so that nobody told us.
    @discardableResult
    func reap() -> String? {
        var status: Int32 = 0
        guard acp_reap(pid, &status) == 1 else { return nil }
        let signal = status & 0x7F
        if signal == 0 { return "it exited with status \(status >> 8 & 0xFF)" }
        return "it was ended by signal \(signal)"
    }

    private static func failure(_ result: acp_spawn_result, _ program: String, _ identity: ServerIdentity) -> Failure {
        let why = ServerFiles.errorText(result.error)
        switch result.stage {
        case ACP_SPAWN_EXEC:
            return Failure(
                .failedPrecondition, reason: "PROGRAM_UNUSABLE",
                "\(program) could not be executed as user \(identity.name): \(why).",
                remedy: "Reinstall it or correct its permissions.")
        case ACP_SPAWN_IDENTITY:
            return Failure(
                .permissionDenied, reason: "USER_CHANGE_REFUSED",
                "\(program) could not be started as user \(identity.name): \(why).",
                remedy: "Run as a normal user, or give the container CAP_SETUID and CAP_SETGID.")
        default:
            return Failure(
                .resourceExhausted, reason: "PROCESS_NOT_STARTED", "\(program) could not be started: \(why).",
                remedy: "Look at the limits of processes, open files and memory.")
        }
    }
}

/// Calls `body` with a null-terminated vector of C strings that live as long as the call.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
}
