import Core
import RPC
import Synchronization
import Testing

@testable import CLI

/// What people are shown of uploads and of what failed.
@Suite struct IngestDisplayTests {
    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (64_512, "64.5 kB"), (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"), (123_456_789, "123.4 MB"), (1_000_000_000, "1.0 GB"), (5_000_000_000_000, "5.0 TB"),
        ] as [(UInt64, String)])
    func bytesAreShownInAUnitThatFits(_ bytes: UInt64, _ shown: String) { #expect(shownBytes(bytes) == shown) }

    @Test(arguments: [
        ("docs/a.md", "docs/a.md"), ("two words", "'two words'"), ("it's", #"'it'\''s'"#), ("", "''"),
        ("$HOME", "'$HOME'"),
    ])
    func wordsOfCommandsAreQuotedWhenTheyMustBe(_ word: String, _ quoted: String) {
        #expect(shellQuoted(word) == quoted)
    }

    @Test func stagesShowWhatTheyCount() {
        let shown = [
            Job(stage: "received"), Job(stage: "extracting", done: 3, total: 120, unit: "pages"),
            Job(stage: "extracting", done: 64_000, unit: "bytes"),
            Job(stage: "chunking", done: 500, total: 2000, unit: "bytes"),
            Job(stage: "published", done: 12, total: 12, unit: "chunks"), Job(),
        ].map(JobTable.stage)
        #expect(
            shown == [
                "received", "extracting 3 of 120 pages", "extracting 64.0 kB", "chunking 500 B of 2.0 kB",
                "published 12 chunks", "-",
            ])
    }

    @Test func aFailedDocumentComesWithItsReasonAndTheNextCommand() {
        var list = FailureList()
        list.add(Document(collection: "default", origin: "/srv/fine.pdf", state: .published))
        #expect(list.rendered.isEmpty)
        list.add(
            Document(
                collection: "plans", origin: "/srv/my plan.pdf", state: .failed, reason: "PDF_ENCRYPTED",
                message: "It is protected.\u{1B} Save it without a password."))
        #expect(
            list.rendered == """

                PDF_ENCRYPTED  /srv/my plan.pdf
                    It is protected.\u{FFFD} Save it without a password.
                    next: acp ingest upload '/srv/my plan.pdf' --collection plans

                """)
        let pasted = Document(collection: "default", origin: "paste:00ff", state: .failed)
        #expect(NextStep.repeating(pasted) == "acp ingest paste -")
        #expect(NextStep.after(Job(state: .dead), pasted) == "acp ingest paste -")
        #expect(NextStep.after(Job(state: .failed), pasted) == "correct it, then acp ingest paste -")
        #expect(NextStep.after(Job(state: .running), pasted) == "")
    }

    @Test func uploadedBytesAreCountedOnceHoweverOftenTheyAreSent() {
        let lines = Mutex<[String]>([])
        let files = [("a", 1000), ("b", 3000)].map { FileTree.File(path: $0.0, origin: $0.0, bytes: $0.1) }
        let progress = UploadProgress(files) { line in lines.withLock { $0.append(line) } }
        progress.sent(600, of: 0)
        progress.sent(1000, of: 0)
        // It is sent again from its beginning.
        progress.sent(600, of: 0)
        progress.sent(1000, of: 0)
        progress.finished()
        // It has grown.
        progress.sent(4000, of: 1)
        progress.finished()
        #expect(
            lines.withLock { $0 } == [
                "uploaded 0 of 2 files, 600 B of 4.0 kB", "uploaded 0 of 2 files, 1.0 kB of 4.0 kB",
                "uploaded 1 of 2 files, 1.0 kB of 4.0 kB", "uploaded 1 of 2 files, 5.0 kB of 5.0 kB",
                "uploaded 2 of 2 files, 5.0 kB of 5.0 kB",
            ])
    }
}

/// Refusals of a busy service.
@Suite struct BusyRetryTests {
    private func busy(_ code: StatusCode = .resourceExhausted, _ reason: String = "UPLOADS_BUSY", afterMs: UInt32 = 2)
        -> Failure
    { Failure(code, reason: reason, "Too many.", retryAfterMs: afterMs) }

    /// How often a call was made that is refused so many times, and what was said on standard error.
    private func run(
        _ failure: Failure, refusals: Int, timeout: Duration = .seconds(60)
    ) async -> (calls: Int, failed: Bool, said: String) {
        let said = Mutex("")
        let calls = Mutex(0)
        let failed = await Console.$sink.withValue({ text in said.withLock { $0 += text } }) {
            let retry = BusyRetry(timeout: timeout, console: Console(isQuiet: false))
            do {
                try await retry.run {
                    let call = calls.withLock { calls in
                        calls += 1
                        return calls
                    }
                    if call <= refusals { throw failure }
                }
                return false
            } catch {
                return true
            }
        }
        return (calls.withLock { $0 }, failed, said.withLock { $0 })
    }

    @Test func aBusyServiceIsAskedAgainAndThatIsSaidOnce() async {
        let outcome = await run(busy(), refusals: 3)
        #expect(outcome.calls == 4 && !outcome.failed)
        #expect(outcome.said == "acp: warning: Too many. Trying again for 60 s (--timeout).\n")
    }

    @Test func theRefusalIsTheResultWhenNoTimeIsLeft() async {
        let outcome = await run(busy(afterMs: 5000), refusals: .max, timeout: .seconds(1))
        #expect(outcome.calls == 1 && outcome.failed && outcome.said.isEmpty)
    }

    @Test func otherFailuresAreNotRepeated() async {
        let others = [
            busy(.unavailable), busy(.resourceExhausted, Failure.diskFull), busy(afterMs: 0),
            busy(.invalidArgument, "EMPTY_FILE"),
        ]
        for failure in others {
            let outcome = await run(failure, refusals: 1)
            #expect(outcome.calls == 1 && outcome.failed, "\(failure)")
        }
    }
}
