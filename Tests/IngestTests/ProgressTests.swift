import Core
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

/// How far a job is, as its watchers see it: counts of what happened, never taken back.
@Suite struct ProgressTests {
    private func lease() -> JobLease { JobLease(jobID: UUIDv7(), fencing: 1, attempt: 1) }

    /// What a ledger tells now: `stage done/total`, or nothing when there is no news.
    private func told(_ ledger: WorkLedger) -> [String] {
        ledger.heartbeats(all: false, quietFor: .zero).compactMap(\.progress).map {
            "\($0.stage) \($0.done)/\($0.total)"
        }
    }

    @Test func countsOnlyRiseWithinAStageAndBeginAnewWithTheNext() {
        let (ledger, lease) = (WorkLedger(), lease())
        let id = lease.jobID
        ledger.add([lease])
        #expect(told(ledger).isEmpty, "nothing was begun")
        #expect(ledger.begin(id, cost: 1))
        #expect(told(ledger) == ["extracting 0/0"])
        #expect(told(ledger).isEmpty, "no news")
        ledger.advance(.extracting, id, done: 7, total: 40)
        #expect(told(ledger) == ["extracting 7/40"])
        ledger.advance(.extracting, id, done: 5, total: 40)
        #expect(told(ledger).isEmpty, "what is done stays done")
        ledger.enter(.chunking, id)
        ledger.advance(.extracting, id, done: 40, total: 40)
        #expect(told(ledger) == ["chunking 0/0"], "news of a stage that has passed is none")
        ledger.advance(.chunking, id, done: 10, total: 99)
        ledger.enter(.publishing, id, total: 3)
        #expect(told(ledger) == ["publishing 0/3"])
        #expect(ledger.progress(of: id) == JobProgress(stage: "publishing", done: 0, total: 3))
        ledger.remove(id)
        #expect(ledger.progress(of: id) == nil)
    }

    /// Nothing about the worker but its heartbeats, so that every step is seen.
    @Test func watchersSeeWhatWorkersTell() async throws {
        try await withSystem { system in
            let job = try #require(try await system.upload("a.pdf.txt", "granite").job)
            #expect(job.done == 0 && job.total == 0 && job.unit == "")
            let queue = system.system.jobs
            let lease = try #require(
                try await queue.claim(owner: "test", kinds: [DocumentStore.jobKind], limit: 1).first
            ).lease
            let steps = [
                JobProgress(stage: "extracting"), JobProgress(stage: "extracting", done: 2, total: 9),
                JobProgress(stage: "extracting", done: 9, total: 9), JobProgress(stage: "chunking", done: 5, total: 70),
                JobProgress(stage: "publishing", total: 4),
            ]
            let updates = try await system.ingest.watchJob(GetJobRequest(id: job.id))
            var iterator = updates.makeAsyncIterator()
            var seen: [String] = []
            func see() async throws {
                let job = try #require(try await iterator.next())
                seen.append("\(job.stage) \(job.done)/\(job.total) \(job.unit)")
            }
            try await see()
            for step in steps {
                _ = try await queue.heartbeat([JobHeartbeat(lease, progress: step)])
                try await see()
            }
            #expect(
                seen == [
                    "received 0/0 ", "extracting 0/0 ", "extracting 2/9 pages", "extracting 9/9 pages",
                    "chunking 5/70 bytes", "publishing 0/4 chunks",
                ])
            let failure = Failure(.invalidArgument, reason: "PDF_DAMAGED", "It is damaged.", remedy: "Mend it.")
            let transition = try await system.database.transaction { connection in
                try RevisionFailure.record(
                    lease, failure, isRetryable: false, progress: JobProgress(stage: "extracting", done: 3, total: 9),
                    on: connection)
            }
            await queue.announce([transition])
            try await see()
            #expect(seen.last == "extracting 3/9 pages", "where it ended")
            #expect(try await iterator.next() == nil)
        }
    }

    @Test func aPublishedDocumentCountsItsChunks() async throws {
        try await withSystem { system in
            _ = try await system.upload("long.txt", "waits")
            let claimed = try await system.system.jobs.claim(owner: "test", kinds: [DocumentStore.jobKind], limit: 1)
            let input = try #require(try await system.database.run { try IngestInput.load(claimed, on: $0) }.first)
            var content = ExtractedContent(mediaType: .plainText)
            content.parserName = "given"
            content.blocks = (1...20).map { number in
                Block(kind: .paragraph, text: Array(repeating: "word\(number)", count: 90).joined(separator: " "))
            }
            var counts: [Int] = []
            var totals: Set<Int> = []
            let revision = try PreparedRevision(content, input) { done, total in
                counts.append(done)
                totals.insert(total)
            }
            #expect(counts.count == 20 && counts == counts.sorted())
            #expect(totals == [try #require(counts.last)], "all bytes in the end")
            _ = try await RevisionPublisher(database: system.database).publish([revision])
            let job = try await system.ingest.getJob(GetJobRequest(id: input.lease.jobID.description))
            #expect(job.state == .succeeded && job.unit == "chunks")
            #expect(job.done == UInt64(revision.chunks.count) && job.total == job.done && job.done > 1)
        }
    }

    /// Through parser, worker, database and stream. Telling often, so that a document which takes a second is seen on its way.
    @Test(.enabled(if: TestSystem.extractorPath != nil, "acp-extract is not built, or ACP_BIN_DIR does not name it"))
    func thePagesOfALongDocumentAreSeenPassing() async throws {
        try await withSystem(adjust: { $0.progress = .milliseconds(2) }) { system in
            let pages = 2000
            let job = try #require(
                try await system.upload("long.pdf", tinyPDF("A line of granite.", pages: pages)).job)
            let updates = try await system.ingest.watchJob(GetJobRequest(id: job.id))
            try await system.system.startWorker()
            var seen: [RPC.Job] = []
            for try await job in updates { seen.append(job) }
            #expect(seen.last?.state == .succeeded && seen.last?.unit == "chunks")
            let pagesSeen = seen.filter { $0.stage == "extracting" && $0.unit == "pages" }
            #expect(pagesSeen.contains { $0.done > 0 && $0.done < $0.total }, "\(seen.map(\.stage))")
            #expect(pagesSeen.allSatisfy { $0.total == UInt64(pages) && $0.done <= $0.total })
            let order = ["received", "extracting", "chunking", "publishing", "published"]
            for (before, after) in zip(seen, seen.dropFirst()) {
                let stages = [before, after].compactMap { order.firstIndex(of: $0.stage) }
                #expect(stages.count == 2 && stages[0] <= stages[1], "\(before.stage), then \(after.stage)")
                if before.stage == after.stage { #expect(before.done <= after.done && before.total <= after.total) }
            }
        }
    }

    @Test(.enabled(if: TestSystem.extractorPath != nil, "acp-extract is not built, or ACP_BIN_DIR does not name it"))
    func aDocumentThatFailsSaysWhereAndStaysInTheList() async throws {
        try await withSystem { system in
            try await system.system.startWorker()
            let good = try await system.end(of: try await system.upload("good.txt", "granite and gneiss").job)
            #expect(good.state == .succeeded && good.done == 1 && good.total == 1 && good.unit == "chunks")
            let bad = try await system.end(
                of: try await system.upload("locked.pdf", tinyPDF("secret", isEncrypted: true)).job)
            #expect(bad.state == .failed && bad.stage == "extracting" && bad.unit == "")
            let failed = try await system.ingest.listDocuments(ListDocumentsRequest(state: .failed)).documents
            #expect(failed.map(\.origin) == ["locked.pdf"])
            #expect(failed.first?.reason == "PDF_ENCRYPTED")
            #expect(failed.first?.message.contains("without a password") == true, "\(failed.map(\.message))")
            let all = try await system.ingest.listDocuments(ListDocumentsRequest()).documents
            #expect(all.map(\.state) == [.published, .failed])
            let refused = await failure {
                _ = try await system.ingest.listDocuments(ListDocumentsRequest(state: .unrecognized(99)))
            }
            #expect(refused?.fields.map(\.field) == ["state"])
            // A readable revision of the same document ends the failure.
            _ = try await system.end(of: try await system.upload("locked.pdf", tinyPDF("open")).job)
            #expect(try await system.ingest.listDocuments(ListDocumentsRequest(state: .failed)).documents.isEmpty)
        }
    }
}
