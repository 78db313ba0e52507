import Core
import Glibc

/// Starts, adopts and ends the embedded PostgreSQL.
struct PostgresDriver: ServerDriver {
    var context: ServerContext

    let name = "PostgreSQL"
    var logPath: String { context.layout.postgresLog }
    var isReachable: Bool { access(context.layout.postgresSocket, F_OK) == 0 }

    /// A ready server that does not answer for this long is taken for hung.
    static let answerMsMax = 3000
    /// The steps of stopping: clients are thrown out and a checkpoint is written; then at once, with recovery at the next start; then by force.
    static let fastMsMax = 5000
    static let immediateMsMax = 1000
    static let killMsMax = 1000
    static let pollMs = 10

    private var layout: EmbeddedLayout { context.layout }
    private var settings: PostgresSettings { PostgresSettings(layout: layout, identity: context.identity) }
    private var cluster: PostgresCluster { PostgresCluster(context: context) }

    func bringUp(stop: StopSignal) throws -> ServerProcess {
        try stop.check()
        try settings.write()
        try cluster.ensure(stop: stop)
        if let process = try adopt(stop: stop) { return process }
        try cluster.clearRemains()
        try stop.check()
        let process = try start(stop: stop)
        do {
            try PostgresDatabase.prepare(in: layout.run)
        } catch {
            shutDown(process)
            throw error
        }
        return process
    }

    /// The server that an earlier `acp` left running, once it answers; nil when there is none or it had to be ended.
    private func adopt(stop: StopSignal) throws -> ServerProcess? {
        guard let file = PostmasterFile.read(cluster: layout.cluster),
            let process = ServerProcess.find(
                file.pid,
                where: {
                    $0.serves(layout.cluster, programNames: PostgresCluster.programNames)
                })
        else { return nil }
        let deadline = MonotonicTime.now().advanced(by: .seconds(context.startSeconds))
        var readySince: MonotonicTime?
        while true {
            let now = MonotonicTime.now()
            let file = PostmasterFile.read(cluster: layout.cluster)
            if let directory = file?.socketDirectory, directory != layout.run {
                return end(process, because: "its socket is in \(directory), not in \(layout.run)")
            }
            if file?.status == "ready" {
                if PostgresDatabase.answers(in: layout.run) {
                    try PostgresDatabase.prepare(in: layout.run)
                    return process
                }
                let since = readySince ?? now
                readySince = since
                if since.duration(to: now) >= .milliseconds(Self.answerMsMax) {
                    return end(process, because: "it does not answer")
                }
            }
            if now >= deadline { return end(process, because: "it is not ready after \(context.startSeconds) s") }
            let event = stop.wait(milliseconds: Self.pollMs, process: process)
            if event.ended {
                process.reap()
                return nil
            }
            // It was not ours to start, so a cancelled start leaves it as it was.
            if event.stopped { throw StopSignal.cancelled }
        }
    }

    private func end(_ process: ServerProcess, because reason: String) -> ServerProcess? {
        context.log("Ending the PostgreSQL found running (process \(process.pid)): \(reason).")
        shutDown(process)
        return nil
    }

    private func start(stop: StopSignal) throws -> ServerProcess {
        let log = try ServerLog.open(layout.postgresLog)
        defer { close(log.descriptor) }
        // The kernel is asked to spare the postmaster when memory runs out (as root, who may ask), and told that its backends are fair game.
        let environment =
            ServerPrograms.environment(home: layout.cluster) + [
                ("PG_OOM_ADJUST_FILE", "/proc/self/oom_score_adj"), ("PG_OOM_ADJUST_VALUE", "0"),
            ]
        let process = try ServerProcess.start(
            context.programs.postgres,
            [
                "-D", layout.cluster, "-c", "config_file=\(settings.mainPath)",
                "-c", "hba_file=\(settings.hostAccessPath)", "-c", "ident_file=\(settings.userMapPath)",
            ],
            with: .init(
                identity: context.identity, environment: environment, output: log.descriptor, oomScoreAdjust: -800))
        let deadline = MonotonicTime.now().advanced(by: .seconds(context.startSeconds))
        while true {
            // Its own file tells as soon as it is ready, without the cost of connections that are refused until then.
            if let file = PostmasterFile.read(cluster: layout.cluster), file.pid == process.pid, file.status == "ready"
            {
                return process
            }
            let event = stop.wait(milliseconds: Self.pollMs, process: process)
            if event.ended {
                throw ServerContext.failure(
                    name, "POSTGRES_FAILED", doing: "did not start", end: process.reap(), log: layout.postgresLog,
                    from: log.start)
            }
            if event.stopped || MonotonicTime.now() >= deadline {
                shutDown(process)
                if event.stopped { throw StopSignal.cancelled }
                throw Failure(
                    .deadlineExceeded, reason: "POSTGRES_FAILED",
                    "PostgreSQL was not ready after \(context.startSeconds) s: \(ServerFiles.tail(layout.postgresLog, from: log.start))",
                    remedy: "See \(layout.postgresLog).")
            }
        }
    }

    func shutDown(_ process: ServerProcess) {
        let steps: [(signal: Int32, milliseconds: Int, name: String)] = [
            (SIGINT, Self.fastMsMax, "a fast shutdown"), (SIGQUIT, Self.immediateMsMax, "an immediate shutdown"),
            (SIGKILL, Self.killMsMax, "a kill"),
        ]
        for step in steps {
            process.signal(step.signal)
            if process.wait(milliseconds: step.milliseconds) {
                process.reap()
                return
            }
            context.log(
                "PostgreSQL (process \(process.pid)) did not end within \(step.milliseconds) ms of \(step.name).")
        }
    }
}
