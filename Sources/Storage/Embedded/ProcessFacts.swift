import Glibc

/// What the kernel says about one process, read from `/proc`.
struct ProcessFacts {
    var pid: pid_t
    var parent: pid_t
    /// Ended and not yet reaped: no longer a process that serves anything.
    var isZombie: Bool
    /// Path of the program; nil when it may not be read (another user's process). Without the mark of a replaced file.
    var program: String?
    /// Current directory; nil as above.
    var directory: String?
    /// Start time in clock ticks since boot.
    var startTicks: UInt64

    /// nil when there is no such process.
    static func inspect(_ pid: pid_t) -> ProcessFacts? {
        guard pid > 0, let text = ServerFiles.read("/proc/\(pid)/stat", bytesMax: 4096) else { return nil }
        // The name in field 2 may contain anything, so the fields are counted from its closing parenthesis.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let parent = pid_t(fields[1]), let ticks = UInt64(fields[19]) else { return nil }
        return ProcessFacts(
            pid: pid, parent: parent, isZombie: fields[0] == "Z" || fields[0] == "X",
            program: link("/proc/\(pid)/exe"), directory: directory(of: pid), startTicks: ticks)
    }

    static func directory(of pid: pid_t) -> String? { link("/proc/\(pid)/cwd") }

    /// The ids of all processes we can see.
    static func allIDs() -> [pid_t] { ServerFiles.names(in: "/proc").compactMap { pid_t($0) } }

    /// Whether this is a live process that runs one of the programs named `names` in `directory`, given without symbolic links.
    ///
    /// The directory is the proof: only the server's user may enter it, and both servers stay in it. A process of another user whose
    /// directory we may not even read cannot be a server of ours, because we start them as ourselves unless we are root.
    func serves(_ directory: String, programNames names: Set<String>) -> Bool {
        guard !isZombie, self.directory == directory else { return false }
        guard let name = program?.split(separator: "/").last else { return false }
        return names.contains(String(name))
    }

    private static func link(_ path: String) -> String? {
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = max(0, readlink(path, buffer.baseAddress!, buffer.count))
        }
        guard !bytes.isEmpty else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        let mark = " (deleted)"
        return text.hasSuffix(mark) ? String(text.dropLast(mark.count)) : text
    }
}
