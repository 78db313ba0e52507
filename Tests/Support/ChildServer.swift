import Core
import Glibc

/// A server that a test process starts and that never outlives it, however the process ends.
///
/// A small shell stands between: it starts the server, takes orders on its standard input, whose other end only this process holds, and at
/// its end of file stops the server by its pid and removes the directory.
final class ChildServer: Sendable {
    /// Private to this server, removed with it; its path is short enough for a Unix socket.
    let directory: String
    /// The user that the server runs as: an unprivileged one when the tests run as root, because PostgreSQL refuses root.
    let runAs: (uid: uid_t, gid: gid_t)?
    private let lifeline: Int32
    private let shell: pid_t

    /// Starts `command` (its words quoted by the caller) as a child of the shell; `$0` in it is the directory.
    init(
        directory: String, runAs: (uid: uid_t, gid: gid_t)?, prepare: String = "", command: String, stopSignal: String
    ) throws {
        self.directory = directory
        self.runAs = runAs
        let user = runAs.map { "setpriv --reuid=\($0.uid) --regid=\($0.gid) --clear-groups " } ?? ""
        let script = """
            cd "$0" || exit 1
            \(prepare.isEmpty ? "" : "\(user)\(prepare) >prepare.log 2>&1 || exit 1")
            exec 2>/dev/null
            begin() { \(user)\(command) >>server.log 2>&1 </dev/null & child=$!; }
            begin
            while read -r order; do
                if [ "$order" = begin ]; then begin; else kill -"$order" $child; wait $child; fi
                echo done >&0
            done
            # Again and again: a server that is still starting has no handler yet and would miss it.
            tries=0
            while kill -\(stopSignal) $child; do
                tries=$((tries + 1))
                [ $tries -gt 100 ] && kill -KILL $child
                sleep 0.05
            done
            wait $child
            cd / && rm -rf "$0"
            """
        var ends: [Int32] = [-1, -1]
        // Close-on-exec from the start: another child must not keep this server alive.
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw Failure(.resourceExhausted, "no socket for a test server")
        }
        shell = try Self.spawn(["/bin/sh", "-c", script, directory], standardInput: ends[0])
        close(ends[0])
        lifeline = ends[1]
    }

    /// Stops the server, waits for it and removes its directory.
    func stop() {
        close(lifeline)
        var status: Int32 = 0
        while waitpid(shell, &status, 0) < 0, errno == EINTR {}
    }

    /// Ends the server by `signal`, e.g. `INT`, and returns when it has ended; its directory stays.
    func suspend(_ signal: String) throws { try order(signal) }

    /// Starts the server again; it may take a moment until it answers.
    func resume() throws { try order("begin") }

    private func order(_ text: String) throws {
        var answer = [UInt8](repeating: 0, count: 16)
        guard write(lifeline, "\(text)\n", text.utf8.count + 1) == text.utf8.count + 1,
            read(lifeline, &answer, answer.count) > 0
        else { throw Failure(.unavailable, "the shell of a test server has ended") }
    }

    /// True while the shell, and so the server, has not ended.
    var isRunning: Bool {
        var status: Int32 = 0
        return waitpid(shell, &status, WNOHANG) == 0
    }

    /// Blocks until `probe` succeeds, for at most 60 s.
    func waitUntilReady(_ probe: () -> Bool) throws {
        let deadline = MonotonicTime.now().advanced(by: .seconds(60))
        while MonotonicTime.now() < deadline, isRunning {
            if probe() { return }
            usleep(5000)
        }
        throw Failure(.unavailable, "a test server in \(directory) did not start: see its server.log and prepare.log")
    }

    /// A new private directory, owned by the user that the server will run as.
    static func makeDirectory(for user: (uid: uid_t, gid: gid_t)?) throws -> String {
        var template = Array("/tmp/acp-test-XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw Failure(.resourceExhausted, "no temporary directory for a test server")
        }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if let user { chown(path, user.uid, user.gid) }
        return path
    }

    /// The account called `name` when the tests run as root, nil otherwise.
    static func unprivilegedUser(_ name: String) throws -> (uid: uid_t, gid: gid_t)? {
        guard geteuid() == 0 else { return nil }
        guard let account = getpwnam(name) ?? getpwnam("nobody") else {
            throw Failure(.failedPrecondition, "no unprivileged account to run a test server as")
        }
        return (account.pointee.pw_uid, account.pointee.pw_gid)
    }

    /// Runs a command to its end; its standard output and error go to the null device.
    static func run(_ arguments: [String]) throws {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        let pid = try spawn(arguments, standardInput: null, output: null)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else { throw Failure(.internalError, "\(arguments[0]) failed with status \(status)") }
    }

    private static func spawn(_ arguments: [String], standardInput: Int32, output: Int32? = nil) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, standardInput, 0)
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            posix_spawn_file_actions_adddup2(&actions, output, 2)
        }
        // A process group of its own: Ctrl-C of the test run must not reach the servers before their shell does.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        // Threads of this process block signals; a shell that inherited that would never hear of its children's end.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        let words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, arguments[0], &actions, &attributes, words, environ)
        guard status == 0 else { throw Failure(.internalError, "could not start \(arguments[0]): error \(status)") }
        return pid
    }
}
