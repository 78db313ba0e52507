internal import Core
internal import RPC
internal import Storage

/// Checks citations against the stored text, read through the ingest service with the caller's rights.
struct CitationVerifier: Sendable {
    /// Citations of one revision that are near each other are checked with one read of at most this many bytes (what
    /// GetText returns at most).
    private static let windowBytesMax: UInt64 = 1_048_576
    /// Reads under way at once.
    private static let readsMax = 4

    /// A range of one revision's text and the citations whose chunks lie in it.
    private struct Window: Sendable {
        var revision: String
        var start: UInt64
        var end: UInt64
        var members: [Int]
    }

    let ingest: IngestClient
    let timeout: Duration

    /// For each citation what does not hold, for people; nil for those that hold.
    /// - Throws: `Failure` when the text service cannot be asked: then nothing is known about any citation.
    func problems(of citations: [Citation]) async throws -> [String?] {
        var problems: [String?] = citations.map(Self.formProblem)
        var pending = Self.windows(citations, of: citations.indices.filter { problems[$0] == nil })[...]
        try await withThrowingTaskGroup(of: [(Int, String?)].self) { group in
            for window in pending.prefix(Self.readsMax) {
                group.addTask { try await check(window, citations) }
            }
            pending = pending.dropFirst(Self.readsMax)
            while let results = try await group.next() {
                for (index, problem) in results { problems[index] = problem }
                if let window = pending.popFirst() { group.addTask { try await check(window, citations) } }
            }
        }
        return problems
    }

    // MARK: Windows

    private static func formProblem(_ citation: Citation) -> String? {
        guard UUIDv7(citation.revisionID) != nil else { return "The revision id is not a UUID." }
        return citation.proof.formProblem?.message
    }

    private static func windows(_ citations: [Citation], of indices: [Int]) -> [Window] {
        let ordered = indices.sorted { one, other in
            let (one, other) = (citations[one], citations[other])
            return (one.revisionID, one.chunkStart, one.chunkEnd) < (other.revisionID, other.chunkStart, other.chunkEnd)
        }
        var windows: [Window] = []
        for index in ordered {
            let citation = citations[index]
            if let last = windows.last, last.revision == citation.revisionID,
                max(last.end, citation.chunkEnd) - last.start <= windowBytesMax
            {
                windows[windows.count - 1].end = max(last.end, citation.chunkEnd)
                windows[windows.count - 1].members.append(index)
            } else {
                windows.append(
                    Window(
                        revision: citation.revisionID, start: citation.chunkStart, end: citation.chunkEnd,
                        members: [index]))
            }
        }
        return windows
    }

    // MARK: Checking

    private func check(_ window: Window, _ citations: [Citation]) async throws -> [(Int, String?)] {
        let text: GetTextResponse
        do {
            text = try await ingest.getText(
                GetTextRequest(revisionID: window.revision, start: window.start, end: window.end),
                options: CallOptions(timeout: timeout))
        } catch let failure as Failure {
            switch failure.code {
            case .notFound, .permissionDenied:
                return window.members.map { ($0, "There is no such revision, or you may not read it.") }
            case .invalidArgument, .outOfRange, .failedPrecondition:
                // The range of one citation is wrong: the others must not suffer for it.
                guard window.members.count > 1 else { return [(window.members[0], failure.message)] }
                var results: [(Int, String?)] = []
                let middle = window.members.count / 2
                for half in [window.members[..<middle], window.members[middle...]] {
                    for part in Self.windows(citations, of: Array(half)) { results += try await check(part, citations) }
                }
                return results
            default: throw failure
            }
        }
        return try await offLoop {
            let bytes = Array(text.text.utf8)
            return window.members.map { ($0, Self.problem(of: citations[$0], bytes, text, window)) }
        }
    }

    private static func problem(
        of citation: Citation, _ bytes: [UInt8], _ text: GetTextResponse, _ window: Window
    ) -> String? {
        guard text.revisionID.isEmpty || text.revisionID == citation.revisionID, text.start == window.start else {
            return "The stored text could not be read at byte \(window.start)."
        }
        guard text.documentID == citation.documentID else { return "The revision belongs to another document." }
        return citation.proof.problem(in: bytes, at: text.start, sha256: Self.sha256)?.message
    }

    static func sha256(_ bytes: ArraySlice<UInt8>) -> [UInt8] { bytes.withUnsafeBytes { ContentHash.of($0) } }
}

extension Citation {
    /// What of the citation can be proven from the text alone.
    var proof: CitationProof {
        CitationProof(
            quote: quote, start: start, end: end, chunkStart: chunkStart, chunkEnd: chunkEnd, chunkHash: chunkHash)
    }
}
