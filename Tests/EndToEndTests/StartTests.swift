import Foundation
import Glibc
import TestSupport
import Testing

/// Ways to start, and what is said when a start cannot work.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct StartTests {
    @Test func initPreparesADirectoryThatUpThenUses() async throws {
        try await withSystem { system in
            let first = try await system.acp("init")
            #expect(first.status == 0 && first.output.contains(system.data), "\(first.output) \(first.errors)")
            #expect(system.postmaster == nil, "it leaves nothing running")
            let again = try await system.acp("init")
            #expect(again.status == 0, "\(again.errors)")
            try await system.start()
            #expect(system.key.hasPrefix("acp_"), "the key is made by the first start, not before")
            let meanwhile = try await system.acp("init")
            #expect(meanwhile.status == 1 && meanwhile.errors.contains("in use by process"), "\(meanwhile.errors)")
            #expect(meanwhile.errors.contains("next:"), "\(meanwhile.errors)")
            #expect(try await system.acp("status").status == 0, "what runs goes on")
        }
    }

    @Test func initMigratesADatabaseElsewhereAndRemembersTheDirectory() async throws {
        try await withServices { system in
            let other = "\(system.directory)/other"
            let made = try await system.acp("init", "--data-dir", other)
            #expect(made.status == 0 && made.output.contains(other), "\(made.output) \(made.errors)")
            let known = try await system.acp("config", "show", "-o", "json", environment: ["ACP_DATA_DIR": ""])
            #expect(known.output.contains(other), "\(known.output)")
            #expect(!FileManager.default.fileExists(atPath: "\(other)/postgres"), "no cluster of our own")
        }
    }

    @Test func upMovesItsPortsAndUsesServersElsewhere() async throws {
        try await withServices { system in
            // The commands know the moved ports, the process the ones before.
            let ports = system.ports
            let offset = min(ports.ingest, ports.agents, ports.gateway, ports.worker) - 1
            let before = [
                "ACP_INGEST_PORT": "\(system.ports.ingest - offset)",
                "ACP_AGENTS_PORT": "\(system.ports.agents - offset)",
                "ACP_GATEWAY_PORT": "\(system.ports.gateway - offset)",
                "ACP_WORKER_PORT": "\(system.ports.worker - offset)",
            ]
            try await system.start("--port-offset", "\(offset)", environment: before)
            let server = try #require(system.server)
            #expect(server.output.contains(":\(system.ports.gateway)\n"), "\(server.output)")
            #expect(server.errors.contains("config set-service ingest"), "how commands find it: \(server.errors)")
            let names = Set(ProcessTable.descendants(of: server.pid).map(\.name))
            #expect(names.isDisjoint(with: ["postgres", "redis-server"]), "\(names)")

            let paste = try await system.acp("ingest", "paste", "Backups are kept for seven years.", "--title", "Note")
            #expect(paste.status == 0, "\(paste.errors)")
            let answer = try await system.acp("ask", "How long are backups kept?", "-o", "json")
            #expect(answer.output.contains("seven years"), "\(answer.output) \(answer.errors)")
            #expect(try await system.acp("cite", "verify", "-", input: answer.output).status == 0)

            #expect(try await system.acp("down").status == 0)
            #expect(try await server.wait(seconds: 5).status == 0)
            try await system.start("--port-offset", "\(offset)", environment: before)
            #expect(try await system.acp("search", "backups").output.contains("seven years"), "it is all there")
        }
    }

    @Test func onlyTheServerThatIsNotElsewhereIsStarted() async throws {
        let elsewhere = try await Elsewhere.shared()
        try await withSystem(settings: ["ACP_DATABASE_URL": elsewhere.databaseURL]) { system in
            try await system.start()
            let names = try ProcessTable.descendants(of: #require(system.server).pid).map(\.name)
            #expect(names.contains("redis-server") && !names.contains("postgres"), "\(names)")
            #expect(try await system.acp("status").status == 0)
        }
    }

    /// A start that cannot work, and what it says.
    private struct Refusal {
        var arguments: [String]
        var status: Int32
        var says: [String]
    }

    @Test func aStartThatCannotWorkNamesCauseAndRemedy() async throws {
        let elsewhere = try await Elsewhere.shared()
        let unencoded = try await TestPostgres.shared().unencodedURL()
        let missing = elsewhere.databaseURL.replacingOccurrences(of: "@/", with: "@/no_such_")
        let (postgres, redis) = (["--database-url", elsewhere.databaseURL], ["--redis-url", elsewhere.redisURL])
        let nowhere = ["--database-url", "postgresql://acp:hush@127.0.0.1:1/acp"]
        try await withSystem { system in
            let taken = try Listener()
            let cases: [Refusal] = [
                .init(arguments: ["serve", "ingest"], status: 1, says: ["needs PostgreSQL", "--database-url"]),
                .init(arguments: ["serve", "worker"] + postgres, status: 1, says: ["needs Redis", "--redis-url"]),
                .init(
                    arguments: ["serve", "ingest"] + nowhere + redis, status: 6,
                    says: ["PostgreSQL cannot be reached", "127.0.0.1", "port 1", "start this again"]),
                .init(arguments: ["up"] + nowhere + redis, status: 6, says: ["PostgreSQL cannot be reached"]),
                .init(arguments: ["init"] + nowhere + redis, status: 6, says: ["PostgreSQL cannot be reached"]),
                .init(
                    arguments: ["up", "--detach"] + nowhere + redis, status: 6,
                    says: ["PostgreSQL cannot be reached", "start this again"]),
                .init(
                    arguments: ["serve", "agents", "--database-url", missing], status: 6, says: ["no_such_", "exist"]),
                .init(
                    arguments: ["serve", "agents", "--database-url", unencoded], status: 1, says: ["UTF-8", "ENCODING"]
                ),
                .init(
                    arguments: ["serve", "agents", "--database-url", "mysql://h/d"], status: 64, says: ["postgresql"]),
                .init(
                    arguments: ["serve", "worker", "--redis-url", "http://h"] + postgres, status: 64, says: ["redis"]),
                .init(
                    arguments: ["serve", "worker", "--redis-url", "redis://h:99999"] + postgres, status: 1,
                    says: ["port", "redis://host:port"]),
                .init(
                    arguments: ["serve", "gateway", "--gateway-port", "\(taken.port)"], status: 1,
                    says: ["\(taken.port)", "gateway", "--gateway-port"]),
                .init(
                    arguments: ["serve", "gateway", "--gateway-port", "0", "--set", "gateway.port=0"], status: 64,
                    says: ["gateway.port", "leave one"]),
                .init(
                    arguments: ["up", "--set", "ingest.uploads-max=0"], status: 64,
                    says: ["ingest.uploads-max", "4096"]),
                .init(arguments: ["up", "--set", "colour=red"], status: 64, says: ["no setting colour"]),
                .init(arguments: ["up", "--port-offset", "65535"], status: 64, says: ["65535", "ingest.port"]),
                .init(
                    arguments: ["serve", "worker", "--extractor", "/nowhere/acp-extract"] + postgres + redis,
                    status: 1, says: ["/nowhere/acp-extract", "ingest.extractor-path"]),
                .init(
                    arguments: ["serve", "gateway", "--host", "0.0.0.0", "--gateway-port", "0"], status: 1,
                    says: ["0.0.0.0", "encrypted", "rpc.insecure-allow"]),
                .init(arguments: ["serve", "nothing"], status: 64, says: ["gateway"]),
            ]
            for refusal in cases {
                let ended = try await system.start(refusal.arguments).wait(seconds: 60)
                #expect(ended.status == refusal.status, "\(refusal.arguments): \(ended.output) \(ended.errors)")
                for word in refusal.says {
                    #expect(ended.errors.contains(word), "\(word) of \(refusal.arguments): \(ended.errors)")
                }
                #expect(!ended.errors.contains("hush"), "passwords are never shown")
            }
            #expect(system.postmaster == nil, "no refused start leaves a server")
        }
    }

    @Test func aMissingRedisIsNamedWithItsPackage() async throws {
        try await withSystem { system in
            for command in [["up"], ["up", "--detach"], ["init"]] {
                let ended = try await system.start(command, environment: ["PATH": "\(system.directory)/out"])
                    .wait(seconds: 30)
                #expect(ended.status == 1, "\(command): \(ended.output) \(ended.errors)")
                for word in ["redis-server was not found on the PATH", "apt-get install redis-server", "--redis-url"] {
                    #expect(ended.errors.contains(word), "\(word) of \(command): \(ended.errors)")
                }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: system.data) == ["logs"], "nothing was begun")
        }
    }

    /// In a view of the file system where PostgreSQL is not installed.
    @Test(
        .enabled(if: SmallDisk.missing == nil && access("/usr/bin/unshare", X_OK) == 0, "only root can hide PostgreSQL")
    )
    func aMissingPostgreSQLIsNamedWithItsPackage() async throws {
        try await withSystem { system in
            for command in ["up", "init"] {
                let hidden = "mount -t tmpfs none /usr/lib/postgresql && exec '\(Programs.acp)' \(command)"
                let ended = try await Child(
                    "/usr/bin/unshare", ["--mount", "/bin/sh", "-c", hidden],
                    environment: system.environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) { $1 },
                    directory: "\(system.directory)/out"
                ).wait(seconds: 30)
                #expect(ended.status == 1, "\(command): \(ended.output) \(ended.errors)")
                for word in ["postgres and initdb were not found", "apt-get install postgresql", "--database-url"] {
                    #expect(ended.errors.contains(word), "\(word) of \(command): \(ended.errors)")
                }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: system.data) == ["logs"], "nothing was begun")
        }
    }

    @Test func aProcessWithAnotherKeyFileIsRefused() async throws {
        try await withServices { system in
            try await system.serve("ingest")
            let other = "\(system.directory)/other"
            let refused = try await system.acp("serve", "agents", "--data-dir", other)
            #expect(refused.status == 1 && refused.errors.contains("\(other)/pepper"), "\(refused.errors)")
            #expect(!FileManager.default.fileExists(atPath: "\(other)/pepper"), "none is made up")
            try FileManager.default.copyItem(atPath: "\(system.data)/pepper", toPath: "\(other)/pepper")
            try await system.serve("agents", options: ["--data-dir", other])
            #expect(try await system.acp("ask", "Is this key good?").status == 0)

            // Lost for good: an administrator begins anew.
            system.services.first?.signal(SIGTERM)
            _ = try await system.services.first?.wait(seconds: 10)
            unlink("\(system.data)/pepper")
            let lost = try await system.acp("serve", "ingest")
            #expect(lost.status == 1 && lost.errors.contains("--new-admin-key"), "\(lost.errors)")
            let old = system.key
            try await system.start("--new-admin-key", "--agents-port", "0")
            #expect(system.key != old && system.key.hasPrefix("acp_"))
            #expect(try await system.acp("keys", "list").status == 0)
            #expect(try await system.acp("keys", "list", environment: ["ACP_API_KEY": old]).status == 4)
        }
    }
}

/// A port that is taken.
private final class Listener {
    let port: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        port = try LiveSystem.bindLoopback(descriptor)
        guard listen(descriptor, 1) == 0 else { throw Problem("no port to take") }
    }

    deinit { close(descriptor) }
}
