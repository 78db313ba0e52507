import Foundation
import Glibc
import TestSupport
import Testing

/// Each kind of bad input through the real programs: a clear error with cause and remedy, and nothing stored by halves.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct BadInputTests {
    @Test func documentsThatCannotBeReadSayWhyAndAreNotSearchable() async throws {
        try await withServices { system in
            try await system.serve("ingest", "worker")
            try system.write("bad/locked.pdf", tinyPDF("Secret lighthouse", isEncrypted: true))
            try system.write("bad/cut.pdf", Array(tinyPDF("Torn lighthouse").prefix(100)))
            let large = try system.write("bad/large.txt", "")
            // The real limit, by a file that takes no space.
            guard truncate(large, 100_000_001) == 0 else { throw Problem("no sparse file") }
            let upload = try await system.acp("ingest", "upload", "\(system.directory)/bad", "-o", "json")
            #expect(upload.status == 1, "\(upload.output) \(upload.errors)")
            let files = upload.json["files"] as? [[String: Any]] ?? []
            #expect(files.count == 3 && files.allSatisfy { $0["outcome"] as? String == "failed" }, "\(upload.output)")
            let reasons = files.compactMap { $0["reason"] as? String }.sorted()
            #expect(reasons == ["PDF_DAMAGED", "PDF_ENCRYPTED", "TOO_LARGE"], "\(upload.output)")
            for word in ["password", "100000000", "ingest.upload-bytes-max"] {
                #expect(upload.output.contains(word), "\(word): \(upload.output)")
            }
            let locked = try #require(files.first { $0["reason"] as? String == "PDF_ENCRYPTED" })
            let id = try #require(locked["jobId"] as? String)
            let job = try await system.acp("ingest", "status", id)
            #expect(job.status == 1 && job.output.contains("PDF_ENCRYPTED"), "\(job.output)")
            let failed = try await system.acp("ingest", "jobs", "--state", "failed", "-o", "json")
            #expect((failed.json["jobs"] as? [Any])?.count == 2, "\(failed.output)")
            let search = try await system.acp("search", "lighthouse", "-o", "json")
            #expect((search.json["hits"] as? [Any] ?? []).isEmpty, "\(search.output)")
        }
    }

    @Test func badRequestsOverHTTPAreProblemsThatNameTheCause() async throws {
        try await withServices { system in
            try await system.serve("ingest", "gateway")
            let picture = try system.write(
                "picture.png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13])
            let large = try system.write("large.txt", "")
            guard truncate(large, 101_000_001) == 0 else { throw Problem("no sparse file") }
            let json = "Content-Type: application/json"
            let path = "/v1/documents:upload?origin=x"
            let cases: [(path: String, arguments: [String], status: Int, says: String)] = [
                (path, ["--data-binary", ""], 400, "empty"),
                (path, ["--data-binary", "@\(picture)"], 400, "cannot be read"),
                // The body is only announced: the refusal comes before it.
                (path, ["-T", large, "-X", "POST", "-H", "Expect: 100-continue"], 413, "TOO_LARGE"),
                ("\(path)&size_bytes=9", ["--data-binary", "four"], 400, "4 of 9 bytes"),
                ("\(path)&colour=red", ["--data-binary", "four"], 400, "colour"),
                ("/v1/search", ["-H", json, "-d", #"{"query": "x", "colour": "red"}"#], 400, "colour"),
                ("/v1/search", ["-H", json, "-d", #"{"query": "#], 400, "JSON"),
                ("/v1/search?query=x&colour=red", [], 400, "colour"),
                ("/v1/search?query=x", ["-H", "Authorization: Bearer acp_live_wrong"], 401, "API_KEY_INVALID"),
                ("/v1/jobs/01936f0e-7a31-7c51-b8f4-6c2f0f6f7a10", [], 404, "01936f0e"),
                ("/v1/answers", ["-H", json, "-d", #"{"question": "x"}"#], 503, "the agents service"),
                ("/v1/nothing", [], 404, "/openapi.json"),
            ]
            for (path, arguments, status, says) in cases {
                let isNamed = arguments.contains { $0.hasPrefix("Authorization") }
                let answer = try await system.curl(path, (isNamed ? [] : ["-H", system.bearer]) + arguments)
                #expect(answer.status == status, "\(path) \(arguments): \(answer.body)")
                #expect(answer.body.contains(says), "\(path) \(arguments): \(answer.body)")
                let problem = Ended(status: 0, output: answer.body, errors: "").json
                for field in ["title", "detail", "requestId", "traceId"] {
                    #expect((problem[field] as? String)?.isEmpty == false, "\(field) of \(path): \(answer.body)")
                }
            }
            try Self.sendHalfAnUpload(system)
            // Whatever the half upload leads to comes before this upload is answered: the same spool, the same database.
            let whole = try await system.curl("/v1/documents:upload?origin=whole", ["-H", system.bearer, "-d", "text"])
            #expect(whole.status == 200, "\(whole.body)")
            let documents = try await system.acp("ingest", "documents", "-o", "json")
            let origins = (documents.json["documents"] as? [[String: Any]] ?? []).map { $0["origin"] as? String }
            #expect(origins == ["whole"], "\(documents.output)")
        }
    }

    /// Announces 1,000 bytes, sends 100 and hangs up; returns when the gateway has hung up too.
    private static func sendHalfAnUpload(_ system: LiveSystem) throws {
        let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(connection) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = in_port_t(system.ports.gateway).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        let request =
            "POST /v1/documents:upload?origin=half HTTP/1.1\r\nHost: localhost\r\n\(system.bearer)\r\n"
            + "Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\n" + String(repeating: "half ", count: 20)
        guard connected == 0, send(connection, request, request.utf8.count, Int32(MSG_NOSIGNAL)) > 0 else {
            throw Problem("the gateway takes no connection")
        }
        shutdown(connection, Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 4096)
        while read(connection, &buffer, buffer.count) > 0 {}
    }
}
