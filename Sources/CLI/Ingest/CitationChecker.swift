internal import Core
internal import Crypto
internal import RPC

/// Checks citations here, against text fetched from the ingest service: no verdict of a service is taken on trust.
struct CitationChecker: Sendable {
    /// A citation, or a sentence that has none.
    struct Claim: Sendable {
        var citation: Citation?
        var sentence: String
    }

    enum Result: String, Sendable {
        case valid
        case invalid
        case notChecked = "not checked"
    }

    struct Check: Sendable {
        var claim: Claim
        var result: Result
        /// Why it does not hold or could not be checked; empty otherwise.
        var problem: String

        var json: JSONValue {
            let citation = claim.citation
            return .fields(
                ("result", .string(result.rawValue)), ("problem", .string(problem)), ("quote", .string(claim.sentence)),
                ("documentId", .string(citation?.documentID ?? "")),
                ("revisionId", .string(citation?.revisionID ?? "")),
                ("start", .string(String(citation?.start ?? 0))), ("end", .string(String(citation?.end ?? 0))))
        }
    }

    let client: IngestClient
    let options: CallOptions

    static func claims(of answer: Answer) -> [Claim] {
        answer.sentences.flatMap { sentence in
            sentence.citations.isEmpty
                ? [Claim(citation: nil, sentence: sentence.text)]
                : sentence.citations.map { Claim(citation: $0, sentence: $0.quote) }
        }
    }

    /// - Throws: `Failure` when the caller may not read the text; anything else is a check that could not be made.
    func check(_ claims: [Claim]) async throws -> [Check] {
        var checks: [Check] = []
        for claim in claims { checks.append(try await check(claim)) }
        return checks
    }

    private func check(_ claim: Claim) async throws -> Check {
        guard let citation = claim.citation else {
            return Check(claim: claim, result: .invalid, problem: "The sentence has no citation.")
        }
        let proof = CitationProof(
            quote: citation.quote, start: citation.start, end: citation.end, chunkStart: citation.chunkStart,
            chunkEnd: citation.chunkEnd, chunkHash: citation.chunkHash)
        // What is malformed in itself is not worth a call.
        if let problem = proof.formProblem { return Check(claim: claim, result: .invalid, problem: problem.message) }
        do {
            let part = try await client.getText(
                GetTextRequest(revisionID: citation.revisionID, start: citation.chunkStart, end: citation.chunkEnd),
                options: options)
            if !citation.documentID.isEmpty, part.documentID != citation.documentID {
                return Check(
                    claim: claim, result: .invalid, problem: "The revision belongs to the document \(part.documentID).")
            }
            let problem = proof.problem(in: Array(part.text.utf8), at: part.start) { bytes in
                var hash = SHA256()
                bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
                return Array(hash.finalize())
            }
            return Check(claim: claim, result: problem == nil ? .valid : .invalid, problem: problem?.message ?? "")
        } catch let failure as Failure {
            switch failure.code {
            case .unauthenticated, .permissionDenied: throw failure
            case .notFound, .invalidArgument, .outOfRange:
                return Check(claim: claim, result: .invalid, problem: failure.message)
            default: return Check(claim: claim, result: .notChecked, problem: failure.message)
            }
        }
    }
}
