internal import Core
internal import Logging
internal import Storage

extension IngestWorker {
    /// One document from claim to outcome. Never throws: whatever happens is recorded with the job, or left to whoever holds it now.
    /// Returns false when the lease is to be given back.
    func process(_ input: IngestInput) async -> Bool {
        do {
            if input.isPublished {
                try await completeAgain(input)
                return true
            }
            let start = MonotonicTime.now()
            let content = try await extract(input)
            let extracted = MonotonicTime.now()
            let id = input.lease.jobID
            ledger.enter(.chunking, id)
            let revision = try PreparedRevision(content, input) { [ledger] done, total in
                ledger.advance(.chunking, id, done: done, total: total)
            }
            let chunked = MonotonicTime.now()
            try Task.checkCancellation()
            // All of them become visible at once, when it is done.
            ledger.enter(.publishing, id, total: revision.chunks.count)
            let outcome = try await publishing.publish(revision)
            IngestMetrics.stage("extracting", start, extracted)
            IngestMetrics.stage("chunking", extracted, chunked)
            IngestMetrics.stage("publishing", chunked, .now())
            report(outcome, revision, since: start)
            return true
        } catch {
            return await finish(input.lease, mediaType: input.mediaType, failedBy: error)
        }
    }

    private func extract(_ input: IngestInput) async throws -> ExtractedContent {
        let original =
            if let part = input.part {
                try OriginalReader.open(part: part, size: input.size, sha256: input.sha256)
            } else {
                try await dependencies.originals.open(sha256: input.sha256, size: input.size)
            }
        let id = input.lease.jobID
        return try await original.with { original in
            try await dependencies.pool.extract(original, mediaType: input.mediaType) { [ledger] progress in
                ledger.advance(.extracting, id, done: progress.done, total: progress.pagesTotal)
            }
        }
    }

    /// A job that was put back into the queue after its revision was published: revisions are immutable, so there is nothing to do.
    private func completeAgain(_ input: IngestInput) async throws {
        let transition = try await dependencies.database.transaction { connection in
            try JobQueue.complete(.succeeded(input.lease), on: connection)
        }
        await dependencies.queue.announce([transition])
    }

    private func report(_ outcome: RevisionPublisher.Outcome, _ revision: PreparedRevision, since start: MonotonicTime)
    {
        let input = revision.input
        var metadata: Logger.Metadata = [
            "job_id": "\(input.lease.jobID)", "document_id": "\(input.documentID)",
            "revision_id": "\(input.revisionID)",
            "duration_us": "\(start.duration(to: .now()).wholeNanoseconds / 1000)",
        ]
        switch outcome {
        case .published:
            metadata["chunks"] = "\(revision.chunks.count)"
            IngestMetrics.ended(revision.failure == nil ? "published" : "partial", input.mediaType)
            dependencies.logger.info("document published", metadata: metadata)
        case .superseded:
            IngestMetrics.ended("superseded", input.mediaType)
            dependencies.logger.info("document superseded before it was published", metadata: metadata)
        case .leaseLost:
            dependencies.logger.warning("lease lost; nothing was stored", metadata: metadata)
        }
    }

    // MARK: Failing

    /// Records a failure with the job; with the revision too when it is final. Returns false when the lease is to be given back instead,
    /// because the worker stops: that is no failure of the job.
    func finish(_ lease: JobLease, mediaType: MediaType?, failedBy error: any Error) async -> Bool {
        if ledger.isLost(lease.jobID) { return true }
        if ledger.isStopping, error is CancellationError || Task.isCancelled { return false }
        let failure = Failure(wrapping: error)
        let isRetryable = Self.isRetryable(failure)
        var metadata: Logger.Metadata = [
            "job_id": "\(lease.jobID)", "reason": "\(failure.reason)", "attempt": "\(lease.attempt)",
        ]
        if failure.code == .unknown || failure.code == .internalError { metadata["error"] = "\(error)" }
        do {
            guard let transition = try await record(lease, failure, isRetryable) else { return false }
            await dependencies.queue.announce([transition])
            metadata["state"] = "\(transition.state.rawValue)"
            IngestMetrics.ended(transition.state == .queued ? "retried" : transition.state.rawValue, mediaType)
            dependencies.logger.warning("document not processed", metadata: metadata)
        } catch {
            // Left to the sweeper: the lease ends by itself.
            metadata["error"] = "\(Failure(wrapping: error))"
            dependencies.logger.warning("failure of a job was not recorded", metadata: metadata)
        }
        return true
    }

    /// Records a failure, again and again while the database is away: that is often the reason of the failure, and the job need not wait for
    /// its lease to end once the database is back. Returns nil when the worker stops meanwhile.
    private func record(_ lease: JobLease, _ failure: Failure, _ isRetryable: Bool) async throws -> JobTransition? {
        var backoffMs = 100
        let progress = ledger.progress(of: lease.jobID)
        while true {
            do {
                return try await dependencies.database.transaction { connection in
                    try RevisionFailure.record(
                        lease, failure, isRetryable: isRetryable, progress: progress, on: connection)
                }
            } catch let away as Failure where away.code == .unavailable && !ledger.isLost(lease.jobID) {
                if ledger.isStopping { return nil }
                try? await Task.sleep(for: .milliseconds(Int.random(in: backoffMs / 2...backoffMs)))
                backoffMs = min(backoffMs * 2, Self.recordBackoffMsMax)
            }
        }
    }

    /// Whether trying again may help; false when the document itself is the reason.
    static func isRetryable(_ failure: Failure) -> Bool {
        switch failure.code {
        case .invalidArgument, .failedPrecondition, .outOfRange, .notFound, .alreadyExists, .unimplemented, .dataLoss:
            false
        case .resourceExhausted: failure.reason != Failure.tooLarge && failure.reason != "TEXT_TOO_LARGE"
        case .internalError: failure.reason != "PARSER_OUTPUT_INVALID" && failure.reason != "CHUNKS_INCOMPLETE"
        case .ok, .cancelled, .unknown, .deadlineExceeded, .permissionDenied, .aborted, .unavailable, .unauthenticated:
            true
        }
    }
}
