import Foundation
import Glibc

/// The built programs and how tests run them.
enum Programs {
    /// $ACP_BIN_DIR, or where this test was built.
    static let directory: String = {
        if let directory = ProcessInfo.processInfo.environment["ACP_BIN_DIR"], !directory.isEmpty { return directory }
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return (own as NSString).deletingLastPathComponent
    }()

    /// The folder of the checkout that these tests are part of.
    static let checkout = URL(fileURLWithPath: #filePath).appending(path: "../../../..").standardizedFileURL.path

    static var acp: String { "\(directory)/acp" }

    /// nil when everything is there; otherwise why the tests cannot run.
    static let missing: String? = {
        for program in ["acp", "acp-extract"] where access("\(directory)/\(program)", X_OK) != 0 {
            return "\(directory)/\(program) is not built; set ACP_BIN_DIR"
        }
        return nil
    }()
}

/// How a program ended.
struct Ended {
    /// Exit status; 128 and the signal's number when a signal ended it.
    var status: Int32
    var output: String
    var errors: String

    /// The output as JSON.
    var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any] ?? [:]
    }
}

/// One process started by a test.
final class Child: @unchecked Sendable {
    let pid: pid_t
    private let outputPath: String
    private let errorsPath: String
    private var ended: Int32?

    /// Starts `program` with its output in files of `directory`.
    init(
        _ program: String, _ arguments: [String], environment: [String: String], directory: String, input: String? = nil
    ) throws {
        let name = UUID().uuidString
        outputPath = "\(directory)/\(name).out"
        errorsPath = "\(directory)/\(name).err"
        var inputPath = "/dev/null"
        if let input {
            inputPath = "\(directory)/\(name).in"
            try Data(input.utf8).write(to: URL(fileURLWithPath: inputPath))
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorsPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        Self.keepDescriptorsToOurselves()
        var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        // Threads of this process block signals, a terminal's shell does not.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var child: pid_t = 0
        let code = posix_spawn(&child, program, &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw Problem("\(program) could not be started: \(String(cString: strerror(code)))") }
        pid = child
    }

    /// A server that outlives the test must not keep the test runner's pipes open.
    private static func keepDescriptorsToOurselves() {
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(entry), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
    }

    var output: String { Self.text(outputPath) }
    var errors: String { Self.text(errorsPath) }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    /// Whether it has ended; reaps it.
    var hasEnded: Bool {
        if ended != nil { return true }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return false }
        ended = status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
        return true
    }

    func signal(_ number: Int32) {
        if !hasEnded { kill(pid, number) }
    }

    /// Waits for its end; kills it when that takes too long.
    func wait(seconds: Double) async throws -> Ended {
        guard try await eventually(seconds: seconds, { self.hasEnded }) else {
            signal(SIGKILL)
            _ = try await eventually(seconds: 5) { self.hasEnded }
            throw Problem("the process did not end within \(seconds) s; it said: \(output) \(errors)")
        }
        return Ended(status: ended ?? -1, output: output, errors: errors)
    }
}

struct Problem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Asks until `condition` holds, at most `seconds`.
func eventually(seconds: Double, _ condition: () async throws -> Bool) async throws -> Bool {
    let start = ContinuousClock.now
    while true {
        if try await condition() { return true }
        if start.duration(to: .now) > .seconds(seconds) { return false }
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// The processes of this machine, as far as the tests look at them.
enum ProcessTable {
    /// Ids of all live descendants of a process, with their names.
    static func descendants(of root: pid_t) -> [(pid: pid_t, name: String)] {
        var children: [pid_t: [(pid_t, String)]] = [:]
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = pid_t(entry), let facts = facts(pid), facts.state != "Z" else { continue }
            children[facts.parent, default: []].append((pid, facts.name))
        }
        var found: [(pid: pid_t, name: String)] = []
        var open = [root]
        while let next = open.popLast() {
            for (pid, name) in children[next] ?? [] {
                found.append((pid, name))
                open.append(pid)
            }
        }
        return found
    }

    static func isAlive(_ pid: pid_t) -> Bool { facts(pid).map { $0.state != "Z" } ?? false }

    private static func facts(_ pid: pid_t) -> (name: String, state: String, parent: pid_t)? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 1, let parent = pid_t(fields[1]) else { return nil }
        return (String(text[text.index(after: open)..<close]), String(fields[0]), parent)
    }
}

/// Random numbers that a printed seed brings back (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
