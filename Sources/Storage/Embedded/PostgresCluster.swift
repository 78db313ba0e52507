import CProcess
import Core
import Glibc

/// The cluster on disk: made whole or not at all, and freed of what a crash left.
struct PostgresCluster {
    var context: ServerContext

    static let programNames: Set<String> = ["postgres", "initdb"]
    /// How long `initdb` may take.
    static let initialiseSecondsMax = 120

    private var layout: EmbeddedLayout { context.layout }

    /// Makes the cluster if there is none: beside its place and then renamed, so that a crash leaves no half of one.
    func ensure(stop: StopSignal) throws {
        removeUnfinished()
        guard !ServerFiles.isDirectory(layout.cluster) else { return }
        context.log("Making a new PostgreSQL \(context.programs.major) cluster in \(layout.cluster).")
        let unfinished = "\(layout.root)/\(EmbeddedLayout.unfinishedPrefix)\(getpid())"
        guard mkdir(unfinished, 0o700) == 0 else { throw ServerFiles.failure(errno, "making", unfinished) }
        do {
            if context.identity.isAnotherUser, chown(unfinished, context.identity.uid, context.identity.gid) != 0 {
                throw ServerFiles.failure(errno, "giving away", unfinished)
            }
            try initialise(unfinished, stop: stop)
            guard rename(unfinished, layout.cluster) == 0 else {
                throw ServerFiles.failure(errno, "renaming", unfinished)
            }
            ServerFiles.syncDirectory(layout.root)
        } catch {
            removeUnfinished()
            throw error
        }
    }

    private func initialise(_ directory: String, stop: StopSignal) throws {
        let log = try ServerLog.open(layout.initialiseLog, truncating: true)
        defer { close(log.descriptor) }
        let arguments = [
            "--pgdata=\(directory)", "--username=\(PostgresDatabase.superuser)", "--no-locale", "--encoding=UTF8",
            "--auth-local=peer", "--auth-host=reject", "--data-checksums", "--no-instructions",
        ]
        let process = try ServerProcess.start(
            context.programs.initdb, arguments,
            with: .init(
                identity: context.identity, environment: ServerPrograms.environment(home: directory),
                output: log.descriptor, diesWithThread: true))
        let deadline = MonotonicTime.now().advanced(by: .seconds(Self.initialiseSecondsMax))
        while true {
            let event = stop.wait(milliseconds: 1000, process: process)
            if event.ended { break }
            if event.stopped || MonotonicTime.now() >= deadline {
                process.signal(SIGKILL)
                process.wait(milliseconds: 2000)
                process.reap()
                if event.stopped { throw StopSignal.cancelled }
                throw Failure(
                    .deadlineExceeded, reason: "POSTGRES_FAILED",
                    "Making a PostgreSQL cluster in \(layout.root) took more than \(Self.initialiseSecondsMax) s.",
                    remedy: "See \(layout.initialiseLog).")
            }
        }
        let end = process.reap()
        if end != "it exited with status 0" || ServerFiles.read("\(directory)/PG_VERSION", bytesMax: 64) == nil {
            throw ServerContext.failure(
                "PostgreSQL", "POSTGRES_FAILED", doing: "could not make a cluster", end: end, log: layout.initialiseLog,
                from: log.start)
        }
    }

    /// Clusters whose making was interrupted; only the holder of the lock makes any, so none of them is in use.
    private func removeUnfinished() {
        for name in ServerFiles.names(in: layout.root) where name.hasPrefix(EmbeddedLayout.unfinishedPrefix) {
            let path = "\(layout.root)/\(name)"
            for process in Self.processes(in: path, named: Self.programNames) {
                process.signal(SIGKILL)
                process.wait(milliseconds: 2000)
            }
            ServerFiles.removeTree(path)
            context.log("Removed the unfinished cluster \(path).")
        }
    }

    /// Frees the cluster from what a dead postmaster left: processes that still hold its shared memory, its id file, its socket.
    /// Call only when no postmaster serves the cluster.
    func clearRemains() throws {
        try endOrphans()
        let path = PostmasterFile.path(in: layout.cluster)
        if let file = PostmasterFile.read(cluster: layout.cluster), ProcessFacts.inspect(file.pid) != nil {
            // That id now belongs to somebody else (or is not reaped yet), which PostgreSQL cannot know and would refuse to start for.
            // The file of a pid that is free stays: PostgreSQL uses it to check the shared memory once more, then replaces it.
            unlink(path)
            context.log("Removed \(path): process \(file.pid) is not a server of this cluster.")
        }
        unlink(layout.postgresSocket)
        unlink("\(layout.postgresSocket).lock")
    }

    /// Backends notice within moments that their postmaster is dead; one that is busy must be told. Their work is undone by recovery either way.
    private func endOrphans() throws {
        let orphans = Self.processes(in: layout.cluster, named: Self.programNames)
        guard !orphans.isEmpty else { return }
        context.log("Ending \(orphans.count) processes that a dead PostgreSQL left on \(layout.cluster).")
        for (signal, milliseconds) in [(0, 500), (SIGQUIT, 1000), (SIGKILL, 3000)] as [(Int32, Int)] {
            for orphan in orphans where signal != 0 && !orphan.hasEnded { orphan.signal(signal) }
            let deadline = MonotonicTime.now().advanced(by: .milliseconds(milliseconds))
            for orphan in orphans {
                let left = MonotonicTime.now().duration(to: deadline).wholeNanoseconds / 1_000_000
                orphan.wait(milliseconds: Int(max(0, left)))
                orphan.reap()
            }
            if orphans.allSatisfy(\.hasEnded) { return }
        }
        throw Failure(
            .unavailable, reason: "POSTGRES_FAILED",
            "Processes of a dead PostgreSQL still use the cluster \(layout.cluster) and cannot be ended.",
            remedy: "They probably wait for the disk; look at the kernel's log.")
    }

    static func processes(in directory: String, named names: Set<String>) -> [ServerProcess] {
        ProcessFacts.allIDs().compactMap { pid in
            guard ProcessFacts.directory(of: pid) == directory else { return nil }
            return ServerProcess.find(pid) { $0.serves(directory, programNames: names) }
        }
    }
}

extension ServerContext {
    /// Why a server ended before it answered: its own last words, and where to read more.
    static func failure(
        _ name: String, _ reason: String, doing: String, end: String?, log: String, from start: off_t
    ) -> Failure {
        let words = ServerFiles.tail(log, from: start)
        let isFull = ServerFiles.saysDiskIsFull(words)
        let said = words.isEmpty ? "" : " It said: \(words)"
        return Failure(
            isFull ? .resourceExhausted : .unavailable, reason: isFull ? "DISK_FULL" : reason,
            "\(name) \(doing): \(end ?? "it ended").\(said)",
            remedy: isFull ? "Free space on the data directory's file system." : "See \(log).")
    }
}
