import Foundation
import Glibc
import TestSupport
import Testing

/// `acp serve`: each service a process of its own, over a PostgreSQL and a Redis that somebody else runs.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct SeparateServicesTests {
    private static let fields = [
        "timestamp", "level", "service", "request_id", "correlation_id", "user_id", "trace_id", "span_id", "message",
    ]

    private static let metrics = [
        "requests_total", "request_duration_seconds", "errors_total", "active_connections", "processing_time_seconds",
        "queue_size", "ingestion_total", "vector_operations_total",
    ]

    @Test func theMainJobRunsThroughFourProcesses() async throws {
        try await withServices { system in
            try await system.serveAll()
            try system.write("docs/retention.md", "# Retention\n\n## Backups\n\nBackups are kept for seven years.\n")
            try system.write("docs/notes.txt", "Maria will write the migration plan until Friday.\n")
            let upload = try await system.acp("ingest", "upload", "\(system.directory)/docs", "-o", "json")
            #expect(upload.status == 0, "\(upload.errors)")
            #expect(MainJobTests.outcomes(upload) == ["retention.md": "published", "notes.txt": "published"])
            let search = try await system.acp("search", "retention of backups", "-o", "json")
            #expect((search.json["hits"] as? [[String: Any]])?.first?["title"] as? String == "Retention")

            let answer = try await system.acp("ask", "How long are backups kept?", "-o", "json")
            #expect(answer.status == 0 && answer.output.contains("seven years"), "\(answer.output) \(answer.errors)")
            let proof = try await system.acp("cite", "verify", "-", input: answer.output)
            #expect(proof.status == 0, "\(proof.output) \(proof.errors)")
            let id = try #require(answer.json["id"] as? String)
            #expect(try await system.acp("cite", "verify", id).status == 0)

            let status = try await system.acp("status")
            #expect(status.status == 0 && status.output.contains("everything is searchable"), "\(status.output)")
            #expect(try await system.curl("/v1/documents/none", "-H", system.bearer).status == 400)
            let ports = [system.ports.ingest, system.ports.agents, system.ports.gateway, system.ports.worker]
            var samples: [Substring] = []
            for port in ports {
                let metrics = try await system.curl("/metrics", port: port).body
                for name in Self.metrics {
                    #expect(metrics.contains("# TYPE acp_\(name) "), "\(name) of port \(port)")
                }
                samples += metrics.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.hasSuffix(" 0") }
                #expect(try await system.curl("/version", port: port).body.contains("version"))
                _ = try await system.readiness(200, port: port)
            }
            // Vectors come with embeddings; nothing is queued any more.
            for name in Self.metrics where name != "vector_operations_total" && name != "queue_size" {
                #expect(samples.contains { $0.hasPrefix("acp_\(name)") }, "nothing was counted as \(name)")
            }
            for sample in [
                #"acp_ingestion_total{outcome="published""#, #"acp_processing_time_seconds_count{stage="answering"}"#,
                #"acp_active_connections{service="ingest",protocol="acp"}"#,
            ] { #expect(samples.contains { $0.hasPrefix(sample) }, "\(sample) in \(samples)") }
            let isEmpty = try await eventually(seconds: 20) {
                try await system.curl("/metrics", port: system.ports.worker).body
                    .contains(#"acp_queue_size{queue="ingest",state="ready"} 0"#)
            }
            #expect(isEmpty, "a queue that nothing waits in is seen to be empty")
            for service in system.services {
                service.signal(SIGTERM)
                let ended = try await service.wait(seconds: 10)
                #expect(ended.status == 0, "\(ended.errors)")
            }
        }
    }

    @Test func oneTraceGoesThroughGatewayServiceAndWorker() async throws {
        // At this level every call leaves a record.
        try await withServices(settings: ["ACP_LOG_LEVEL": "debug"]) { system in
            try await system.serveAll()
            let trace = "0af7651916cd43dd8448eb211c80319c"
            let parent = "traceparent: 00-\(trace)-b7ad6b7169203331-01"
            let file = try system.write("page.html", "<title>Roadmap</title><p>The pilot starts in October.</p>")
            let upload = try await system.curl(
                "/v1/documents:upload?origin=page.html", "-H", system.bearer, "-H", parent, "-F", "file=@\(file)")
            #expect(upload.status == 200, "\(upload.body)")
            let stored = Ended(status: 0, output: upload.body, errors: "").json
            let job = try #require((stored["job"] as? [String: Any])?["id"] as? String)
            let watched = try await system.acp("ingest", "status", job, "--watch", "-o", "json")
            #expect(watched.status == 0 && watched.json["state"] as? String == "SUCCEEDED", "\(watched.output)")
            #expect(watched.json["traceId"] as? String == trace)

            let body = #"{"question": "When does the pilot start?"}"#
            let json = "Content-Type: application/json"
            let answer = try await system.curl("/v1/answers", "-H", system.bearer, "-H", parent, "-H", json, "-d", body)
            #expect(answer.status == 200 && answer.body.contains("October"), "\(answer.body)")
            let events = try await system.curl(
                "/v1/answers", "-H", system.bearer, "-H", json, "-H", "Accept: text/event-stream", "-d", body)
            #expect(events.status == 200 && events.body.contains("event: "), "\(events.body)")
            #expect(events.body.contains("data: {"), "\(events.body)")

            // Records are written a moment after what they tell of.
            for service in ["gateway", "ingest", "worker", "agents"] {
                let isThere = try await eventually(seconds: 5) {
                    system.logged(service).contains { $0.record["trace_id"] as? String == trace }
                }
                #expect(isThere, "no record of \(service) has the trace")
                for (fields, record) in system.logged(service) {
                    #expect(fields == Self.fields && record["service"] as? String == service, "\(record)")
                }
            }
        }
    }

    @Test func aGatewayNamesTheServicesItWaitsFor() async throws {
        try await withServices { system in
            try await system.serve("gateway")
            #expect(try await system.curl("/healthz").status == 200, "it lives")
            let waiting = try await system.readiness(503, port: system.ports.gateway)
            #expect(waiting.contains(#""name":"ingest""#) && waiting.contains(#""name":"agents""#), "\(waiting)")
            let refused = try await system.curl("/v1/search?query=x", "-H", "Authorization: Bearer acp_live_x")
            #expect(refused.status == 503, "\(refused.body)")
            for word in ["the ingest service", "\(system.ports.ingest)", "remedy"] {
                #expect(refused.body.contains(word), "\(word): \(refused.body)")
            }
            let status = try await system.acp("status")
            #expect(status.status == 6 && status.output.contains("unreachable"), "\(status.output)")

            try await system.serve("agents", "ingest")
            _ = try await system.readiness(200, port: system.ports.agents)
            _ = try await system.readiness(200, port: system.ports.gateway)
            #expect(try await system.acp("status").status == 0)
        }
    }

    @Test func withoutRedisDocumentsAreStillPublishedAndReadinessSaysSo() async throws {
        let redis = try await TestRedis.start()
        do {
            try await withServices(settings: ["ACP_REDIS_URL": redis.url]) { system in
                try await system.serveAll()
                let paste = try await system.acp("ingest", "paste", "The alpha release ships on Monday.")
                #expect(paste.status == 0, "\(paste.errors)")

                try await redis.suspend()
                let failing = try await system.readiness(503, port: system.ports.ingest)
                #expect(failing.contains("Redis cannot be used"), "\(failing)")
                _ = try await system.readiness(503, port: system.ports.gateway)
                let status = try await system.acp("status")
                #expect(status.status == 1 && status.output.contains("redis: Redis cannot be used"), "\(status.output)")
                let without = try await system.acp("ingest", "paste", "The beta release ships on Tuesday.")
                #expect(without.status == 0, "\(without.output) \(without.errors)")
                let search = try await system.acp("search", "release", "-o", "json")
                #expect((search.json["hits"] as? [Any])?.count == 2, "\(search.output) \(search.errors)")

                try await redis.resume()
                _ = try await system.readiness(200, port: system.ports.ingest)
                #expect(try await system.acp("ingest", "paste", "The gamma release ships on Friday.").status == 0)
                #expect(system.services.allSatisfy { !$0.hasEnded }, "nothing had to be started again")
            }
        } catch {
            try await redis.stop()
            throw error
        }
        try await redis.stop()
    }

    @Test func aDatabaseThatStopsInTheMiddleLosesNothingAcknowledged() async throws {
        let postgres = try await TestPostgres.start()
        do {
            try await withServices(settings: ["ACP_DATABASE_URL": try await postgres.emptyURL()]) { system in
                try await Self.stopInTheMiddle(postgres, system)
            }
        } catch {
            try await postgres.stop()
            throw error
        }
        try await postgres.stop()
    }

    private static func stopInTheMiddle(_ postgres: TestPostgres, _ system: LiveSystem) async throws {
        try await system.serveAll()
        for index in 0..<300 {
            try system.write("docs/file-\(index).md", "# File \(index)\n\nThe interrupted text number \(index).\n")
        }
        let upload = try system.start(["ingest", "upload", "\(system.directory)/docs", "--no-wait", "-o", "json"])
        let hasBegun = try await eventually(seconds: 20) {
            let documents = try await system.acp("ingest", "documents", "-o", "json")
            return (documents.json["documents"] as? [Any])?.isEmpty == false
        }
        #expect(hasBegun)
        try await postgres.suspend()
        let failing = try await system.readiness(503, port: system.ports.agents)
        #expect(failing.contains("PostgreSQL cannot be reached"), "\(failing)")
        // Not a search: the index answers those who proved their key less than a second ago.
        let refused = try await system.acp("ingest", "jobs")
        #expect(refused.status == 6, "\(refused.output) \(refused.errors)")
        #expect(refused.errors.contains("PostgreSQL cannot be reached") && refused.errors.contains("next:"))
        let stopped = try await upload.wait(seconds: 60)
        #expect(stopped.status == 6 && stopped.errors.contains("PostgreSQL"), "\(stopped.status) \(stopped.errors)")
        let files = stopped.json["files"] as? [[String: Any]] ?? []
        let acknowledged = files.filter { $0["outcome"] as? String == "stored" }.compactMap { $0["path"] as? String }

        try await postgres.resume()
        try await system.settle()
        print("\(acknowledged.count) of 300 were acknowledged before the database stopped")
        let documents = try await system.acp("ingest", "documents", "--limit", "1000", "-o", "json")
        let origins = (documents.json["documents"] as? [[String: Any]] ?? []).compactMap { $0["origin"] as? String }
        #expect(Set(origins).count == origins.count && Set(acknowledged).isSubset(of: origins))
        let again = try await system.acp("ingest", "upload", "\(system.directory)/docs", "-o", "json")
        #expect(again.status == 0, "\(again.errors)")
        let search = try await system.acp("search", "interrupted", "--limit", "100", "-o", "json")
        #expect(search.json["candidates"] as? String == "300", "\(search.output.prefix(300))")
        #expect(system.services.allSatisfy { !$0.hasEnded }, "nothing had to be started again")
    }
}
