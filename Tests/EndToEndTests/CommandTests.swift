import Foundation
import Glibc
import Testing

/// The commands that the main job does not use, and what all of them have in common.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct CommandTests {
    @Test func documentsAreFollowedFilteredAndDeleted() async throws {
        try await withServices { system in
            try await system.serveAll()
            let paste = try await system.acp(
                "ingest", "paste", "-", "--title", "Zoo", "--origin", "zoo", "--metadata", "team=animals", "-o", "json",
                input: "The zebra lives in the northern enclosure.")
            #expect(paste.status == 0, "\(paste.errors)")
            let pasted = try #require((paste.json["files"] as? [[String: Any]])?.first)
            #expect(pasted["outcome"] as? String == "published")
            let file = try system.write("farm.md", "# Farm\n\nThe zebra lives in the southern barn.\n")
            let upload = try await system.acp(
                "ingest", "upload", file, "--collection", "farms", "--metadata", "team=plants", "--no-wait", "-o",
                "json")
            #expect(MainJobTests.outcomes(upload) == ["farm.md": "stored"], "\(upload.output)")

            let job = try #require((upload.json["files"] as? [[String: Any]])?.first?["jobId"] as? String)
            let watched = try await system.acp("ingest", "status", job, "--watch", "-o", "jsonl")
            let states = watched.output.split(separator: "\n").map {
                Ended(status: 0, output: String($0), errors: "").json
            }
            #expect(watched.status == 0 && states.last?["state"] as? String == "SUCCEEDED", "\(watched.output)")
            let told = try await system.acp("ingest", "status", job)
            #expect(told.output.contains("state      succeeded"), "\(told.output)")
            let jobs = try await system.acp("ingest", "jobs")
            #expect(jobs.output.contains(job) && jobs.output.contains("zoo"), "\(jobs.output)")

            // The index follows by itself; `status --watch` does not wait for it.
            try await system.settle()
            for (options, place) in [
                (["--collection", "farms"], "southern"), (["--filter", "team=animals"], "northern"),
            ] {
                let search = try await system.start(["search", "zebra", "-o", "json"] + options).wait(seconds: 30)
                let texts = (search.json["hits"] as? [[String: Any]] ?? []).compactMap { $0["text"] as? String }
                #expect(texts.count == 1 && texts[0].contains(place), "\(options): \(search.output)")
                let ask = try await system.start(["ask", "Where does the zebra live?"] + options).wait(seconds: 30)
                #expect(ask.output.contains(place), "\(options): \(ask.output) \(ask.errors)")
            }

            let id = try #require(pasted["documentId"] as? String)
            #expect(try await system.acp("ingest", "delete", id, "--yes").status == 0)
            #expect(try await system.acp("ingest", "delete", id).status == 64, "nobody can be asked")
            #expect(try await system.acp("ingest", "delete", job, "--yes").status == 5, "a job is no document")
            let isGone = try await eventually(seconds: 10) {
                try await !system.acp("search", "zebra").output.contains("northern")
            }
            #expect(isGone)
        }
    }

    @Test func resultsComeInEveryForm() async throws {
        try await withServices { system in
            try await system.serve("ingest", "worker", "agents")
            #expect(try await system.acp("ingest", "paste", "Backups are kept for seven years.").status == 0)
            let beginnings = [
                "table": "SCORE", "wide": "SCORE", "json": "{", "jsonl": "{", "yaml": "hits:",
            ]
            for (form, beginning) in beginnings {
                let search = try await system.acp("search", "backups", "-o", form)
                #expect(search.output.hasPrefix(beginning), "\(form): \(search.output) \(search.errors)")
                #expect(search.output.contains("seven"))
                #expect(!search.output.contains("\u{1B}"), "no colours where nobody looks")
            }
            let events = try await system.acp("ask", "How long are backups kept?", "-o", "jsonl")
            let kinds = events.output.split(separator: "\n").flatMap {
                Ended(status: 0, output: String($0), errors: "").json.keys
            }
            #expect(Set(kinds).isSuperset(of: ["retrieval", "sentence", "answer"]), "\(events.output)")
            let quiet = try await system.acp("search", "nothingofthiskind", "--quiet")
            #expect(quiet.status == 0 && quiet.output.isEmpty && quiet.errors.isEmpty, "\(quiet.errors)")
            let version = try await system.acp("--version")
            #expect(version.status == 0 && version.output.hasPrefix("acp "))
        }
    }

    @Test func settingsAreShownWithTheirOriginAndSecretsHidden() async throws {
        try await withServices { system in
            try await system.serve("ingest")
            let key = system.key
            try FileManager.default.removeItem(atPath: "\(system.directory)/config.toml")
            #expect(try await system.acp("search", "x").status == 4, "no key, no answer")
            let set = try await system.acp(
                "config", "set-service", "ingest", "--url", "http://localhost:\(system.ports.ingest)",
                "--api-key-stdin", input: "\(key)\n")
            #expect(set.status == 0, "\(set.errors)")
            #expect(try await system.acp("search", "x").status == 0)
            let shown = try await system.acp("config", "show", "-o", "json")
            #expect(!shown.output.contains(key))
            let settings = shown.json["settings"] as? [[String: Any]] ?? []
            func origin(_ name: String) -> String? {
                settings.first { $0["key"] as? String == name }?["origin"] as? String
            }
            #expect(origin("ingest.url")?.contains("config.toml:") == true, "\(shown.output)")
            #expect(origin("ingest.port") == "environment ACP_INGEST_PORT")
            #expect(origin("timeout") == "default")
            #expect(try await system.acp("config", "validate").status == 0)

            // Each place overrules those behind it.
            try system.write("config.toml", "timeout = \"11s\"\n[ingest]\nworkers = 3\n")
            func resolved(_ arguments: [String], _ environment: [String: String] = [:]) async throws -> [String] {
                let ended = try await system.start(
                    ["config", "show", "-o", "json"] + arguments, environment: environment
                ).wait(seconds: 20)
                let settings = ended.json["settings"] as? [[String: Any]] ?? []
                return settings.filter { ["timeout", "ingest.workers"].contains($0["key"] as? String) }.map {
                    let place = $0["origin"] as? String ?? ""
                    let origin = place.replacingOccurrences(of: "\(system.directory)/", with: "")
                    return "\($0["key"] ?? "") \($0["value"] ?? "") \(origin)"
                }
            }
            #expect(try await resolved([]) == ["timeout 11s config.toml:1", "ingest.workers 3 config.toml:3"])
            let environment = ["ACP_TIMEOUT": "12s", "ACP_INGEST_WORKERS": "4"]
            #expect(
                try await resolved([], environment) == [
                    "timeout 12s environment ACP_TIMEOUT", "ingest.workers 4 environment ACP_INGEST_WORKERS",
                ])
            #expect(
                try await resolved(["--timeout", "13s", "--set", "ingest.workers=5"], environment)
                    == ["timeout 13s flag", "ingest.workers 5 flag"])
            let unknown = try await system.acp("status", "--set", "ingest.wokers=5")
            #expect(unknown.status == 64 && unknown.errors.contains("did you mean ingest.workers"), "\(unknown.errors)")

            try system.write(
                "config.toml", "[ingest]\nurl = \"acp://localhost:1\"\nworkers = \"many\"\ncolour = \"red\"\n")
            let invalid = try await system.acp("config", "validate")
            #expect(invalid.status == 1, "\(invalid.output)")
            for word in ["config.toml:3", "many", "config.toml:4", "ingest.colour"] {
                #expect(invalid.errors.contains(word), "\(word): \(invalid.errors)")
            }
            #expect(try await system.acp("serve", "ingest").status == 1, "nothing starts on wrong settings")
        }
    }

    /// A terminal that types what the test writes into a pipe.
    @Test(.enabled(if: access("/usr/bin/script", X_OK) == 0, "there is no `script` to make a terminal"))
    func aSecretIsAskedForOnATerminalAndNotShown() async throws {
        try await withSystem { system in
            for (keys, status) in [
                ("acp_live_wrong\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}right\r", Int32(0)), ("acp_live_x\u{03}", 130),
            ] {
                let pipe = "\(system.directory)/keys-\(status)"
                guard mkfifo(pipe, 0o600) == 0 else { throw Problem("no pipe") }
                let end = open(pipe, O_RDWR | O_CLOEXEC)
                defer { close(end) }
                let command = "'\(Programs.acp)' config set-service ingest --api-key-stdin"
                let script = "exec /usr/bin/script --quiet --return --command \"\(command)\" /dev/null < '\(pipe)'"
                let child = try Child(
                    "/bin/sh", ["-c", script], environment: system.environment.merging(["TERM": "xterm"]) { $1 },
                    directory: "\(system.directory)/out")
                let isAsked = try await eventually(seconds: 20) { child.output.contains("API key: ") || child.hasEnded }
                #expect(isAsked && !child.hasEnded, "\(child.output)")
                #expect(write(end, keys, keys.utf8.count) == keys.utf8.count)
                let ended = try await child.wait(seconds: 20)
                #expect(ended.status == status, "\(ended.output)")
                #expect(!ended.output.contains("acp_live"), "\(ended.output)")
            }
            let file = try String(contentsOfFile: "\(system.directory)/config.toml", encoding: .utf8)
            #expect(file.contains("\"acp_live_right\""), "\(file)")
        }
    }

    @Test func commandsEndWithTheStatusThatSaysWhy() async throws {
        try await withServices { system in
            // Without a worker, so that waiting lasts.
            try await system.serve("ingest")
            let file = try system.write("slow.md", "# Slow\n\nNobody works on this.\n")
            let upload = try system.start(["ingest", "upload", file, "-o", "json"])
            var job = ""
            let isStored = try await eventually(seconds: 20) {
                let jobs = try await system.acp("ingest", "jobs", "--state", "queued", "-o", "json")
                job = (jobs.json["jobs"] as? [[String: Any]])?.first?["id"] as? String ?? ""
                return !job.isEmpty
            }
            #expect(isStored)
            upload.signal(SIGINT)
            let interrupted = try await upload.wait(seconds: 10)
            #expect(interrupted.status == 130, "\(interrupted.output) \(interrupted.errors)")
            #expect(interrupted.output.contains(#""stored""#), "what is acknowledged is said: \(interrupted.output)")
            #expect(interrupted.errors.contains("interrupted"))

            let document = try await system.acp("ingest", "status", job, "-o", "json").json["documentId"] as? String
            let deleted = try await system.acp("ingest", "delete", try #require(document), "--yes")
            #expect(deleted.status == 0, "\(deleted.errors)")
            let cancelled = try await system.acp("ingest", "status", job)
            #expect(cancelled.status == 2 && cancelled.output.contains("cancelled"), "\(cancelled.output)")

            let unreachable = try await system.acp("ask", "anything")
            #expect(unreachable.status == 6, "\(unreachable.errors)")
            for word in ["agents", ":\(system.ports.agents)", "UNREACHABLE", "next:", "request", "trace"] {
                #expect(unreachable.errors.contains(word), "\(word): \(unreachable.errors)")
            }
        }
    }
}
