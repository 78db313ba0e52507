internal import Core
internal import Storage
internal import Synchronization

/// Gathers revisions that become ready while a transaction runs and publishes them together in the next: one commit for many documents
/// under load, no waiting when there is only one.
final class PublishQueue: Sendable {
    /// Revisions, and bytes of text, in one transaction.
    static let groupMax = 64
    static let groupBytesMax = 8 << 20

    typealias Outcome = RevisionPublisher.Outcome

    private struct Entry: Sendable {
        let revision: PreparedRevision
        let continuation: CheckedContinuation<Outcome, any Error>
    }

    private struct State {
        var waiting: [Entry] = []
        var isRunning = false
    }

    private let publisher: RevisionPublisher
    /// Called after each commit with what it changed.
    private let committed: @Sendable (RevisionPublisher.Result) async -> Void
    private let state = Mutex(State())

    init(publisher: RevisionPublisher, committed: @escaping @Sendable (RevisionPublisher.Result) async -> Void) {
        self.publisher = publisher
        self.committed = committed
    }

    /// Publishes one revision; returns when it is committed.
    func publish(_ revision: PreparedRevision) async throws -> Outcome {
        try await withCheckedThrowingContinuation { continuation in
            let starts = state.withLock { state in
                state.waiting.append(Entry(revision: revision, continuation: continuation))
                defer { state.isRunning = true }
                return !state.isRunning
            }
            if starts { Task { await self.run() } }
        }
    }

    private func run() async {
        while let group = next() {
            await publish(group)
        }
    }

    private func next() -> [Entry]? {
        state.withLock { state in
            var count = 0
            var bytes = 0
            while count < min(state.waiting.count, Self.groupMax) {
                bytes += state.waiting[count].revision.textBytes
                if count > 0, bytes > Self.groupBytesMax { break }
                count += 1
            }
            guard count > 0 else {
                state.isRunning = false
                return nil
            }
            defer { state.waiting.removeFirst(count) }
            return Array(state.waiting.prefix(count))
        }
    }

    private func publish(_ group: [Entry]) async {
        do {
            let result = try await publisher.publish(group.map(\.revision))
            for entry in group {
                entry.continuation.resume(returning: result.outcomes[entry.revision.input.lease.jobID] ?? .leaseLost)
            }
            await committed(result)
        } catch  where group.count > 1 && !Self.concernsAll(error) {
            // One of them is the reason; the others must not pay for it.
            for entry in group { await publish([entry]) }
        } catch {
            for entry in group { entry.continuation.resume(throwing: error) }
        }
    }

    /// Whether every other transaction would fail too.
    private static func concernsAll(_ error: any Error) -> Bool {
        let failure = Failure(wrapping: error)
        return failure.code == .unavailable || failure.reason == DatabaseReason.diskFull
    }
}
