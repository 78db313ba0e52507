import Foundation
import Testing

/// The main job as a newcomer does it, with the programs that were built.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct MainJobTests {
    @Test func documentsBecomeACitedAnswerAndSurviveARestart() async throws {
        try await withSystem { system in
            try await system.start()
            #expect(system.key.hasPrefix("acp_"))
            try Self.writeSamples(system)

            let upload = try await system.acp("ingest", "upload", "\(system.directory)/docs", "-o", "json")
            #expect(upload.status == 0, "\(upload.errors)")
            let outcomes = Self.outcomes(upload)
            #expect(outcomes["retention.md"] == "published")
            #expect(outcomes["notes.txt"] == "published")
            #expect(outcomes["page.html"] == "published")
            #expect(outcomes["picture.png"] == "skipped")
            #expect(outcomes["link.md"] == "skipped")
            #expect(outcomes[".hidden.md"] == nil)

            let search = try await system.acp("search", "retention of backups", "-o", "json")
            #expect(search.status == 0, "\(search.errors)")
            let hits = search.json["hits"] as? [[String: Any]] ?? []
            #expect((hits.first?["text"] as? String)?.contains("seven years") == true)

            let answer = try await system.acp("ask", "How long are backups kept?", "-o", "json")
            #expect(answer.status == 0, "\(answer.errors)")
            #expect(answer.json["outcome"] as? String == "ANSWERED")
            #expect(answer.output.contains("seven years"))
            try await Self.checkCitations(system, answer)

            let again = try await system.acp("ingest", "upload", "\(system.directory)/docs", "-o", "json")
            #expect(Self.outcomes(again)["retention.md"] == "unchanged")

            let status = try await system.acp("status")
            #expect(status.status == 0, "\(status.output) \(status.errors)")
            #expect(status.output.contains("everything is searchable"))

            let down = try await system.acp("down")
            #expect(down.status == 0, "\(down.errors)")
            #expect(try await system.acp("down").status == 0, "nothing runs: that is fine")
            _ = try await system.server?.wait(seconds: 5)

            try await system.start(seconds: 20)
            #expect(system.server?.output.contains("api key") == false, "the key is printed once")
            let found = try await system.acp("search", "retention of backups")
            #expect(found.status == 0 && found.output.contains("seven years"), "\(found.output) \(found.errors)")
        }
    }

    /// Genuine citations verify, from a file and by id; a changed quote does not.
    private static func checkCitations(_ system: LiveSystem, _ answer: Ended) async throws {
        let file = try system.write("answer.json", answer.output)
        let genuine = try await system.acp("cite", "verify", file)
        #expect(genuine.status == 0, "\(genuine.output) \(genuine.errors)")
        let id = try #require(answer.json["id"] as? String)
        let stored = try await system.acp("cite", "verify", id)
        #expect(stored.status == 0, "\(stored.output) \(stored.errors)")
        let forged = answer.output.replacingOccurrences(of: "seven years", with: "eight years")
        let refused = try await system.acp("cite", "verify", "-", input: forged)
        #expect(refused.status == 1, "\(refused.output) \(refused.errors)")
        let nothing = try await system.acp("cite", "verify", "-", input: "[]")
        #expect(nothing.status == 3)
    }

    @Test func aQuestionWithoutSupportAbstains() async throws {
        try await withSystem { system in
            try await system.start()
            let paste = try await system.acp(
                "ingest", "paste", "The archive keeps backups for seven years.", "--title", "Note")
            #expect(paste.status == 0, "\(paste.errors)")
            let answer = try await system.acp("ask", "Which zebra won the chess tournament in Reykjavik?")
            #expect(answer.status == 0, "\(answer.errors)")
            #expect(answer.output.contains("ABSTAINED"))
        }
    }

    @Test func rolesAreCheckedAndTheGatewayAnswers() async throws {
        try await withSystem { system in
            try await system.start()
            let file = try system.write("a.md", "# Alpha\n\nThe alpha release ships on Monday.\n")
            let created = try await system.acp("keys", "create", "reader", "--role", "viewer")
            #expect(created.status == 0, "\(created.errors)")
            let viewer = created.output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try await system.acp("ingest", "upload", file, environment: ["ACP_API_KEY": viewer]).status == 4)
            #expect(try await system.acp("keys", "list", environment: ["ACP_API_KEY": viewer]).status == 4)
            #expect(try await system.acp("ingest", "upload", file).status == 0)
            #expect(try await system.acp("search", "alpha", environment: ["ACP_API_KEY": viewer]).status == 0)

            for path in ["/healthz", "/readyz", "/version", "/metrics", "/openapi.json", "/"] {
                #expect(try await system.curl(path).status == 200, "\(path)")
            }
            #expect(try await system.curl("/metrics").body.contains("acp_requests_total"))
            #expect(try await system.curl("/v1/search?query=alpha").status == 401)
            let found = try await system.curl("/v1/search?query=alpha", "-H", "Authorization: Bearer \(viewer)")
            #expect(found.status == 200 && found.body.contains("Monday"), "\(found.body)")

            let list = try await system.acp("keys", "list", "-o", "json")
            let keys = list.json["keys"] as? [[String: Any]] ?? []
            let id = try #require(keys.first { $0["name"] as? String == "reader" }?["id"] as? String)
            #expect(try await system.acp("keys", "revoke", id).status == 64, "nobody can be asked")
            #expect(try await system.acp("keys", "revoke", id, "--yes").status == 0)
            let gone = try await eventually(seconds: 5) {
                try await system.acp("search", "alpha", environment: ["ACP_API_KEY": viewer]).status == 4
            }
            #expect(gone, "a revoked key stops working")
        }
    }

    @Test func methodsAreCalledByWhatServersSayOfThemselves() async throws {
        try await withSystem { system in
            try await system.start()
            let list = try await system.acp("rpc", "list", "-o", "json")
            let services = (list.json["services"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
            #expect(Set(services).isSuperset(of: ["acp.v1.Ingest", "acp.v1.Answers", "acp.v1.Reflection"]))
            let shown = try await system.acp("rpc", "describe", "GetJob")
            #expect(shown.output.contains(#"option (google.api.http) = {get: "/v1/jobs/{id}"};"#), "\(shown.output)")

            let text = Data("# Alpha\n\nThe alpha release ships on Monday.\n".utf8).base64EncodedString()
            let upload = try await system.acp(
                "rpc", "call", "Ingest/UploadDocument", "-d", "-",
                input: #"{"start":{"origin":"alpha.md"}} {"data":"\#(text)"}"#)
            #expect(upload.status == 0, "\(upload.errors)")
            let job = try #require((upload.json["job"] as? [String: Any])?["id"] as? String)
            let watch = try await system.acp("rpc", "call", "WatchJob", "-d", #"{"id":"\#(job)"}"#)
            #expect(watch.status == 0 && watch.output.contains(#""state":"SUCCEEDED""#), "\(watch.output)")

            let key = try await system.acp("rpc", "call", "CreateKey", "-d", #"{"name":"reader","role":"viewer"}"#)
            let viewer = try #require(key.json["secret"] as? String)
            #expect(try await system.acp("rpc", "call", "ListKeys", environment: ["ACP_API_KEY": viewer]).status == 4)
            let overHTTP = try await system.curl("/v1/reflection/services")
            #expect(overHTTP.status == 200 && overHTTP.body.contains("acp.v1.Answers"), "\(overHTTP.body)")
            let gateway = try await system.acp("rpc", "call", "acp.v1.Health/Check", "--server", "gateway")
            #expect(gateway.status == 0 && gateway.output.contains("SERVING"), "\(gateway.errors)")
        }
    }

    @Test func badInputIsNamedAndNothingIsHalfStored() async throws {
        try await withSystem(settings: ["ACP_INGEST_UPLOAD_BYTES_MAX": "20000"]) { system in
            #expect(try await system.acp("search", "anything").status == 6, "nothing runs yet")
            try await system.start()
            let empty = try system.write("empty.txt", "")
            let large = try system.write("large.txt", String(repeating: "many words ", count: 3000))
            let binary = try system.write(
                "binary.bin", "PK\u{03}\u{04}" + String(repeating: "\u{01}\u{00}", count: 200))
            let cases: [(arguments: [String], status: Int32, says: String)] = [
                (["ingest", "upload", empty], 1, "empty"),
                (["ingest", "upload", large], 1, "20000"),
                (["ingest", "upload", binary], 1, "cannot be read"),
                (["ingest", "upload", "\(system.directory)/missing.md"], 1, "No such file"),
                (
                    ["ingest", "status", "01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10"], 5,
                    "01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10"
                ),
                (["ingest", "status", "no-id"], 1, "id"),
                (["search", "word", "--limit", "0"], 64, "1 to 100"),
                (["serch", "word"], 64, "acp search"),
                (["search", "word", "--colection", "x"], 64, "--collection"),
                (["search", "word", "-o", "xml"], 64, "xml"),
                (["search", "word", "--timeout", "soon"], 64, "timeout"),
                (["search"], 64, "query"),
                (["cite", "verify", "\(system.directory)/missing.json"], 5, "No such file"),
                (["up"], 1, "in use"),
            ]
            for (arguments, status, says) in cases {
                let ended = try await system.start(arguments).wait(seconds: 30)
                #expect(ended.status == status, "\(arguments): \(ended.output) \(ended.errors)")
                #expect((ended.output + ended.errors).contains(says), "\(arguments): \(ended.output) \(ended.errors)")
            }
            let wrongKey = "acp_live_" + String(repeating: "x", count: 36)
            let refused = try await system.acp("search", "word", environment: ["ACP_API_KEY": wrongKey])
            #expect(refused.status == 4)
            #expect(!refused.errors.contains(wrongKey), "keys are never shown")
            let documents = try await system.acp("ingest", "documents", "-o", "json")
            #expect((documents.json["documents"] as? [Any])?.isEmpty == true, "\(documents.output)")
        }
    }

    /// What became of each file, by its name.
    static func outcomes(_ upload: Ended) -> [String: String] {
        var outcomes: [String: String] = [:]
        for file in upload.json["files"] as? [[String: Any]] ?? [] {
            let name = ((file["path"] as? String ?? "") as NSString).lastPathComponent
            outcomes[name] = file["outcome"] as? String
        }
        return outcomes
    }

    private static func writeSamples(_ system: LiveSystem) throws {
        try system.write(
            "docs/retention.md",
            """
            # Retention policy

            ## Backups

            Backups are kept for seven years. They are encrypted with AES-256 before they leave the server.

            ## Logs

            Access logs are deleted after thirty days.
            """)
        try system.write("docs/notes.txt", "Meeting of 3 March.\n\nMaria will write the migration plan until Friday.\n")
        try system.write(
            "docs/page.html",
            "<html><head><title>Roadmap</title></head><body><h1>Roadmap</h1><p>The pilot starts in October.</p></body></html>"
        )
        try system.write("docs/picture.png", "\u{89}PNG")
        try system.write("docs/.hidden.md", "# Hidden\n")
        try FileManager.default.createSymbolicLink(
            atPath: "\(system.directory)/docs/link.md", withDestinationPath: "/etc/hostname")
    }
}
