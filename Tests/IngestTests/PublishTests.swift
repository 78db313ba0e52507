import Core
import RPC
import Storage
import TestSupport
import Testing

@testable import Ingest

/// Publishing without parsers: what they would have found is given.
@Suite struct PublishTests {
    /// Uploads, claims and prepares documents, in the order of `texts`.
    private func prepare(_ system: TestSystem, _ texts: [(origin: String, text: String)]) async throws
        -> [PreparedRevision]
    {
        var prepared: [PreparedRevision] = []
        for (origin, text) in texts {
            _ = try await system.upload(origin, text)
            let claimed = try await system.system.jobs.claim(owner: "test", kinds: [DocumentStore.jobKind], limit: 1)
            let inputs = try await system.database.run { try IngestInput.load(claimed, on: $0) }
            var content = ExtractedContent(mediaType: .plainText)
            content.parserName = "given"
            content.blocks = [Block(kind: .paragraph, text: text)]
            prepared.append(try PreparedRevision(content, try #require(inputs.first)))
        }
        return prepared
    }

    private func publisher(_ system: TestSystem) -> RevisionPublisher { RevisionPublisher(database: system.database) }

    @Test func aRevisionIsPublishedWithEverythingThatBelongsToIt() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "Some words.")])
            let result = try await publisher(system).publish(prepared)
            #expect(result.outcomes.values.map { $0 } == [.published])
            try await system.expectRows([1, 1, 1, 1, 1, 1, 1])
            let job = try await system.ingest.getJob(GetJobRequest(id: prepared[0].input.lease.jobID.description))
            #expect(job.state == .succeeded && job.stage == "published")
        }
    }

    @Test func aLostLeasePublishesNothing() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "Some words."), ("b.txt", "Other words.")])
            _ = try await system.database.run { connection in
                try connection.execute(
                    "UPDATE jobs SET fencing = fencing + 1, lease_owner = 'thief' WHERE id = $1",
                    [.uuid(prepared[0].input.lease.jobID)])
            }
            let result = try await publisher(system).publish(prepared)
            #expect(result.outcomes[prepared[0].input.lease.jobID] == .leaseLost)
            #expect(result.outcomes[prepared[1].input.lease.jobID] == .published)
            try await system.expectRows([2, 2, 2, 2, 2, 1, 1])
            let document = try await system.ingest.getDocument(
                GetDocumentRequest(id: prepared[0].input.documentID.description))
            #expect(document.revisionID == "" && document.receipt == nil)
        }
    }

    @Test func aFailureInTheMiddleLeavesNothingHalfVisible() async throws {
        try await withSystem { system in
            var prepared = try await prepare(system, [("a.txt", "Some words.")])
            // The database refuses the chunk, after the job was ended and before the log was written.
            prepared[0].chunks[0].hash[0] ^= 1
            let refused = await failure { _ = try await publisher(system).publish(prepared) }
            #expect(refused?.reason == DatabaseReason.checkViolation)
            try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
            let job = try await system.system.jobs.get(prepared[0].input.lease.jobID)
            #expect(job.state == .running)
            prepared[0].chunks[0].hash[0] ^= 1
            let result = try await publisher(system).publish(prepared)
            #expect(result.outcomes.values.map { $0 } == [.published])
        }
    }

    @Test func aDatabaseThatGoesAwayLeavesNothingHalfVisible() async throws {
        let postgres = try await TestPostgres.shared()
        let url = try await postgres.freshURL()
        let system = try await TestSystem(database: Database(Database.Configuration(url: url)))
        let prepared = try await prepare(system, [("a.txt", "Some words.")])
        let doomed = Database(Database.Configuration(url: url))
        let lost = await failure {
            try await doomed.transaction { connection in
                _ = try JobQueue.completeMany(prepared.map(\.completion), on: connection)
                // The server ends the very connection that publishes.
                try connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            }
        }
        #expect(lost?.code == .unavailable)
        doomed.close()
        try await system.expectRows([1, 1, 1, 1, 1, 0, 0])
        let result = try await publisher(system).publish(prepared)
        #expect(result.outcomes.values.map { $0 } == [.published])
        try await system.stop()
    }

    @Test func oneDocumentThatIsRefusedDoesNotKeepOthersOut() async throws {
        try await withSystem { system in
            var prepared = try await prepare(system, (0..<6).map { ("\($0).txt", "Words of document \($0).") })
            prepared[3].chunks[0].hash[0] ^= 1
            let queue = PublishQueue(publisher: publisher(system)) { _ in }
            let revisions = prepared
            let outcomes = await withTaskGroup(of: (Int, RevisionPublisher.Outcome?).self) { group in
                for (index, revision) in revisions.enumerated() {
                    group.addTask { (index, try? await queue.publish(revision)) }
                }
                return await group.reduce(into: [Int: RevisionPublisher.Outcome?]()) { $0[$1.0] = $1.1 }
            }
            for index in 0..<6 { #expect(outcomes[index] == (index == 3 ? .some(nil) : .published)) }
            try await system.expectRows([6, 6, 6, 6, 6, 5, 5])
        }
    }

    @Test func anOlderRevisionNeverReplacesANewerOne() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "First words."), ("a.txt", "Second words.")])
            let newer = try await publisher(system).publish([prepared[1]])
            let older = try await publisher(system).publish([prepared[0]])
            #expect(newer.outcomes.values.map { $0 } == [.published])
            #expect(older.outcomes.values.map { $0 } == [.superseded])
            let document = try await system.ingest.getDocument(
                GetDocumentRequest(id: prepared[0].input.documentID.description))
            #expect(document.revisionID == prepared[1].input.revisionID.description)
            try await system.expectRows([1, 2, 2, 2, 2, 2, 1])
        }
    }

    @Test func twoRevisionsOfOneDocumentInOneGroupLeaveTheNewerCurrent() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "First words."), ("a.txt", "Second words.")])
            let result = try await publisher(system).publish(prepared)
            #expect(result.outcomes[prepared[0].input.lease.jobID] == .superseded)
            #expect(result.outcomes[prepared[1].input.lease.jobID] == .published)
        }
    }

    @Test func deletingCancelsWhatIsBeingProcessed() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "Some words.")])
            let id = prepared[0].input.documentID.description
            let deleted = try await system.ingest.deleteDocument(DeleteDocumentRequest(id: id))
            #expect(deleted.deleted)
            let job = try await system.ingest.getJob(GetJobRequest(id: prepared[0].input.lease.jobID.description))
            #expect(job.state == .jobCancelled)
            let result = try await publisher(system).publish(prepared)
            #expect(result.outcomes.values.map { $0 } == [.leaseLost])
            // Deleting again changes nothing; uploading again is a new document.
            let again = try await system.ingest.deleteDocument(DeleteDocumentRequest(id: id))
            #expect(again.updatedAt == deleted.updatedAt)
            let uploaded = try await system.upload("a.txt", "Some words.")
            #expect(uploaded.document?.id != id && !uploaded.unchanged)
        }
    }

    @Test func aFinalFailureIsToldToTheRevisionAndATransientOneIsNot() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "Some words."), ("b.txt", "Other words.")])
            let final = Failure(.invalidArgument, reason: "PDF_DAMAGED", "It is damaged.", remedy: "Save it anew.")
            let transient = Failure(.unavailable, reason: "EXTRACTOR_UNAVAILABLE", "No parser runs.")
            for (revision, failure) in zip(prepared, [final, transient]) {
                _ = try await system.database.transaction { connection in
                    try RevisionFailure.record(
                        revision.input.lease, failure, isRetryable: IngestWorker.isRetryable(failure), on: connection)
                }
            }
            let first = try await system.ingest.getJob(GetJobRequest(id: prepared[0].input.lease.jobID.description))
            #expect(first.state == .failed && first.reason == "PDF_DAMAGED")
            #expect(first.message == "It is damaged. Save it anew.")
            let second = try await system.ingest.getJob(GetJobRequest(id: prepared[1].input.lease.jobID.description))
            #expect(second.state == .queued && second.nextAttemptAt != nil)
            // A failed upload may be repeated, one that waits is a repeat.
            let repeated = try await system.upload("a.txt", "Some words.")
            let waiting = try await system.upload("b.txt", "Other words.")
            #expect(!repeated.unchanged && waiting.unchanged)
        }
    }

    @Test func leasesThatAreGivenBackAreNoAttempt() async throws {
        try await withSystem { system in
            let prepared = try await prepare(system, [("a.txt", "Some words.")])
            try await system.database.run { try RevisionFailure.release([prepared[0].input.lease], on: $0) }
            let job = try await system.system.jobs.get(prepared[0].input.lease.jobID)
            #expect(job.state == .queued && job.attempt == 0)
        }
    }
}
