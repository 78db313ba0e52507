internal import CLI
internal import CProcess
internal import Core
internal import Glibc
internal import Platform

/// `acp up --detach`: the same program once more, in a session of its own, until it is ready.
enum Detached {
    /// How long the other process may take to be ready, in seconds: a new database cluster and a replay after a crash included.
    private static let startSecondsMax = 150
    private static let outputBytesMax = 1 << 20
    /// Ends what the process says when it is ready: without it, the end of its output is its end.
    fileprivate static let readyMark: UInt8 = 0
    /// Between what goes to standard output and what to standard error.
    fileprivate static let hintMark: UInt8 = 1

    /// Starts the process, passes on what it prints, and returns when it is ready.
    /// - Throws: `EndCommand` with the status with which it ended instead.
    static func start(_ configuration: Configuration, _ console: Console) async throws {
        let program = try ProcessIdentity.executable()
        let arguments = CommandLine.arguments.dropFirst().map { $0 == "--detach" ? "--detached" : $0 }
        var channel: [Int32] = [-1, -1]
        guard acp_pipe_open(&channel) == 0 else {
            throw Failure(.resourceExhausted, "No pipe could be opened: \(String(cString: strerror(errno))).")
        }
        let logged = logSize(configuration)
        let pid = try spawn(program, [program] + arguments, output: channel[1])
        close(channel[1])
        defer { close(channel[0]) }
        var said = try await output(channel[0], until: MonotonicTime.now().advanced(by: .seconds(startSecondsMax)), pid)
        guard said.last == readyMark else {
            // It is ending: what it said is why.
            let status = try await exitStatus(of: pid)
            Console.writeError(String(decoding: said + Self.logged(configuration, from: logged), as: UTF8.self))
            throw EndCommand(status)
        }
        said.removeLast()
        let parts = said.split(separator: hintMark, maxSplits: 1, omittingEmptySubsequences: false)
        StandardOutput.write(String(decoding: parts.first ?? [], as: UTF8.self))
        if let hint = parts.dropFirst().first, !hint.isEmpty { console.note(String(decoding: hint, as: UTF8.self)) }
        console.note("Running in the background as process \(pid); stop it with `acp down`.")
    }

    /// The status with which the process ends; it has closed its output already.
    private static func exitStatus(of pid: Int32) async throws -> Int32 {
        for _ in 0..<500 {
            var status: Int32 = 0
            if acp_reap(pid, &status) != 0 {
                let code = status >> 8 & 0xFF
                return status & 0x7F == 0 && code != 0 ? code : ExitStatus.failure
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        return ExitStatus.failure
    }

    private static func spawn(_ program: String, _ arguments: [String], output: Int32) throws -> Int32 {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var env: [UnsafeMutablePointer<CChar>?] =
            ProcessEnvironment.current.map { strdup("\($0.key)=\($0.value)") } + [nil]
        let directory = getcwd(nil, 0)
        defer {
            for pointer in argv + env { free(pointer) }
            free(directory)
        }
        let result = argv.withUnsafeMutableBufferPointer { argv in
            env.withUnsafeMutableBufferPointer { env in
                var options = acp_spawn_options()
                options.argv = UnsafePointer(argv.baseAddress)
                options.env = UnsafePointer(env.baseAddress)
                options.directory = UnsafePointer(directory)
                options.input = -1
                options.output = output
                return program.withCString { program in
                    options.program = program
                    return acp_spawn(&options)
                }
            }
        }
        guard result.stage == ACP_SPAWN_OK else {
            throw Failure(
                .internalError,
                "The background process could not be started: \(String(cString: strerror(result.error))).")
        }
        return result.pid
    }

    /// Everything that comes until the ready mark, or until the other end is closed.
    private static func output(_ descriptor: Int32, until deadline: MonotonicTime, _ pid: Int32) async throws -> [UInt8]
    {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { return bytes }
            if count > 0 {
                if bytes.count < outputBytesMax || buffer[count - 1] == readyMark { bytes += buffer[..<count] }
                // Processes that the other one started may hold the pipe open for as long as they live.
                if bytes.last == readyMark { return bytes }
                continue
            }
            guard errno == EAGAIN || errno == EINTR else { return bytes }
            guard MonotonicTime.now() < deadline else {
                kill(pid, SIGTERM)
                Console.writeError(String(decoding: bytes, as: UTF8.self))
                throw Failure(
                    .failedPrecondition, reason: "NOT_READY",
                    "The background process was not ready within \(startSecondsMax) s and was told to stop.",
                    remedy: "Look into logs/ of the data directory, or run `acp up` without --detach.")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    // MARK: In the background process

    /// What the background process says to the one that waits for it.
    final class Announcement: Sendable {
        private let descriptor: Int32

        /// Sends everything printed from now on to a file: programs started later inherit these descriptors, and must not
        /// write into a pipe that nobody reads any more.
        init(_ configuration: Configuration) throws {
            descriptor = fcntl(1, F_DUPFD_CLOEXEC, 3)
            try DataDirectoryHold.make("\(configuration[.dataDirectory])/logs")
            let path = Detached.logPath(configuration)
            let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            guard descriptor >= 0, file >= 0 else {
                throw Failure(.failedPrecondition, "\(path) could not be opened: \(String(cString: strerror(errno))).")
            }
            dup2(file, 1)
            dup2(file, 2)
            close(file)
        }

        /// - Parameter hint: for standard error of the process that waits.
        func ready(_ text: String, hint: String?) {
            let bytes = Array(text.utf8) + [Detached.hintMark] + Array((hint ?? "").utf8) + [Detached.readyMark]
            // Less than a pipe holds; if nobody waits any more, nobody needs it.
            _ = write(descriptor, bytes, bytes.count)
            close(descriptor)
        }
    }

    fileprivate static func logPath(_ configuration: Configuration) -> String {
        "\(configuration[.dataDirectory])/logs/acp.out"
    }

    /// What was added to the file of the background process since it had `offset` bytes.
    private static func logged(_ configuration: Configuration, from offset: Int) -> [UInt8] {
        let descriptor = open(logPath(configuration), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = pread(descriptor, &bytes, bytes.count, off_t(offset))
        return Array(bytes.prefix(max(0, count)))
    }

    private static func logSize(_ configuration: Configuration) -> Int {
        var status = stat()
        return stat(logPath(configuration), &status) == 0 ? Int(status.st_size) : 0
    }
}
