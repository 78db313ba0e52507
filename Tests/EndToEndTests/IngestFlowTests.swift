import Foundation
import Glibc
import TestSupport
import Testing

/// What a person sees of documents on their way: progress, waiting for a busy service, and what failed.
@Suite(.serialized, .enabled(if: Programs.missing == nil, "\(Programs.missing ?? "")"), .timeLimit(.minutes(3)))
struct IngestFlowTests {
    /// Runs a command on a terminal of its own and returns all that it would show.
    private static func onTerminal(_ system: LiveSystem, _ command: String) async throws -> Ended {
        try await Child(
            "/usr/bin/script", ["--quiet", "--return", "--command", "\(Programs.acp) \(command)", "/dev/null"],
            environment: system.environment.merging(["TERM": "xterm"]) { $1 }, directory: "\(system.directory)/out"
        ).wait(seconds: 60)
    }

    @Test(.enabled(if: access("/usr/bin/script", X_OK) == 0, "there is no `script` to make a terminal"))
    func progressIsShownOnATerminalAndNowhereElse() async throws {
        try await withServices { system in
            try await system.serve("ingest", "worker")
            for number in 1...3 {
                try system.write("docs/\(number).txt", String(repeating: "Line \(number) of granite. ", count: 10_000))
            }
            let shown = try await Self.onTerminal(system, "ingest upload \(system.directory)/docs")
            #expect(shown.status == 0, "\(shown.output)")
            // One line that is written over: the last count of each kind is complete, and none ever falls.
            let files = shown.output.matches(of: #/uploaded (\d) of 3 files, /#).compactMap { Int($0.1) }
            #expect(files.last == 3 && files == files.sorted() && files.count >= 3, "\(files)")
            #expect(shown.output.contains("uploaded 3 of 3 files, 570.0 kB of 570.0 kB"), "\(shown.output)")
            let processed = shown.output.matches(of: #/processed (\d) of 3 files/#).compactMap { Int($0.1) }
            #expect(processed.last == 3 && processed == processed.sorted(), "\(processed)")
            #expect(shown.output.contains("3 published"))
            let piped = try await system.acp("ingest", "upload", "\(system.directory)/docs")
            #expect(piped.status == 0 && piped.errors == "3 unchanged\n", "\(piped.errors)")

            let id = try #require(
                (try await system.acp("ingest", "jobs", "-o", "json").json["jobs"] as? [[String: Any]])?.first)
            let job = try await system.acp("ingest", "status", try #require(id["id"] as? String))
            let chunks = try #require(job.output.firstMatch(of: #/stage +published (\d+) chunks/#), "\(job.output)")
            #expect(try #require(Int(chunks.1)) > 100)
        }
    }

    @Test func documentsThatFailedAreListedWithTheirReasonAndTheNextCommand() async throws {
        try await withServices { system in
            try await system.serve("ingest", "worker")
            try system.write("docs/fine.txt", "The lighthouse is made of granite.")
            let locked = try system.write("docs/my plan.pdf", tinyPDF("Secret lighthouse", isEncrypted: true))
            let origin = try #require(realpath(locked, nil).map { String(cString: $0) })
            let upload = try await system.acp("ingest", "upload", "\(system.directory)/docs", "--collection", "plans")
            #expect(upload.status == 1, "\(upload.output)")
            let next = "acp ingest upload '\(origin)' --collection plans"

            let documents = try await system.acp("ingest", "documents")
            #expect(documents.status == 0)
            for words in [" published ", " failed ", "PDF_ENCRYPTED  \(origin)", "without a password", "next: \(next)"]
            {
                #expect(documents.output.contains(words), "\(words): \(documents.output)")
            }
            let failed = try await system.acp("ingest", "documents", "--state", "failed", "-o", "json")
            let listed = failed.json["documents"] as? [[String: Any]] ?? []
            #expect(listed.map { $0["origin"] as? String } == [origin], "\(failed.output)")
            #expect(listed.first?["reason"] as? String == "PDF_ENCRYPTED")

            let jobs = try await system.acp("ingest", "jobs", "--state", "failed")
            let id = try #require(jobs.output.firstMatch(of: #/next: acp ingest status ([0-9a-f-]+)/#)?.1)
            #expect(jobs.output.contains("PDF_ENCRYPTED  \(origin)"), "\(jobs.output)")
            let job = try await system.acp("ingest", "status", String(id))
            #expect(job.status == 1)
            for words in ["stage      extracting", "reason     PDF_ENCRYPTED", "next       correct it, then \(next)"] {
                #expect(job.output.contains(words), "\(words): \(job.output)")
            }
            let overHTTP = try await system.acp("ingest", "documents", "--state", "published", "-o", "json")
            #expect(overHTTP.output.contains("fine.txt") && !overHTTP.output.contains("my plan"), "\(overHTTP.output)")

            // What is said next works, once it is corrected.
            try system.write("docs/my plan.pdf", tinyPDF("Open lighthouse"))
            let again = try await Child(
                "/bin/sh", ["-c", "PATH='\(Programs.directory)':$PATH && \(next)"], environment: system.environment,
                directory: "\(system.directory)/out"
            ).wait(seconds: 60)
            #expect(again.status == 0, "\(again.errors)")
            let none = try await system.acp("ingest", "documents", "--state", "failed")
            #expect(none.status == 0 && none.output.isEmpty && none.errors == "No documents.\n", "\(none.output)")
        }
    }

    @Test func aServiceThatReceivesEnoughAlreadyIsAskedAgain() async throws {
        try await withServices(settings: ["ACP_INGEST_UPLOADS_MAX": "1"]) { system in
            try await system.serve("ingest", "worker")
            // An upload that has begun and goes on when the test says.
            let pipe = "\(system.directory)/pipe"
            guard mkfifo(pipe, 0o600) == 0 else { throw Problem("no pipe") }
            let end = open(pipe, O_RDWR | O_CLOEXEC)
            var isOpen = true
            defer { if isOpen { close(end) } }
            let start = #"{"start": {"origin": "slow", "sizeBytes": "5"}}"# + "\n"
            guard write(end, start, start.utf8.count) == start.utf8.count else { throw Problem("no pipe") }
            let slow = try system.start(["rpc", "call", "acp.v1.Ingest/UploadDocument", "-d", "@\(pipe)"])
            let isBusy = try await eventually(seconds: 30) {
                let calls = try await system.acp("rpc", "call", "acp.v1.Debug/ListConnections", "--server", "ingest")
                return calls.output.contains("UploadDocument")
            }
            #expect(isBusy && !slow.hasEnded, "\(slow.output) \(slow.errors)")
            let probe = try await system.acp(
                "rpc", "call", "acp.v1.Ingest/PasteDocument", "-d", #"{"origin": "probe", "text": "probe"}"#)
            for word in ["UPLOADS_BUSY", "ingest.uploads-max"] {
                #expect(probe.status == 1 && probe.errors.contains(word), "\(probe.errors)")
            }

            let file = try system.write("next.txt", "The next upload waits for its turn.")
            let refused = try await system.acp("ingest", "upload", file, "--timeout", "500ms")
            #expect(refused.status == 1 && refused.output.contains("as many uploads as it may"), "\(refused.output)")
            #expect(!refused.errors.contains("Trying again"), "no time to")

            let waiting = try system.start(["ingest", "upload", file])
            let isTold = try await eventually(seconds: 20) { waiting.errors.contains("Trying again for 60 s") }
            #expect(isTold && !waiting.hasEnded, "\(waiting.output) \(waiting.errors)")
            let rest = #"{"data": "Z3Jhbml0ZQ=="}"#
            // Two bytes more than were announced: that upload ends, and its place is free.
            _ = write(end, rest, rest.utf8.count)
            close(end)
            isOpen = false
            let ended = try await slow.wait(seconds: 30)
            #expect(ended.status != 0 && ended.errors.contains("SIZE_MISMATCH"), "\(ended.errors)")
            let uploaded = try await waiting.wait(seconds: 60)
            #expect(uploaded.status == 0, "\(uploaded.output) \(uploaded.errors)")
            #expect(uploaded.output.contains("published"), "\(uploaded.output)")
            #expect(uploaded.errors.components(separatedBy: "Trying again").count == 2, "said once: \(uploaded.errors)")
        }
    }
}
