internal import Glibc

/// Okapi BM25 with weighted fields: frequencies and lengths are sums over fields times the fields' weights.
///
/// Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; idf with the 1 inside the logarithm, so that no term
/// counts against a chunk. Statistics are those of all live chunks, whatever the filters, so that a chunk's score does not depend on who asks or
/// on how chunks are spread over segments.
struct BM25 {
    static let k1 = 1.5
    static let b = 0.75

    private let constant: Double
    private let perLength: Double
    private let chunkCount: Double

    /// - Parameter length: weighted length of all live chunks in half tokens.
    init(chunkCount: Int, length: UInt64) {
        self.chunkCount = Double(chunkCount)
        let average = chunkCount > 0 && length > 0 ? Double(length) / Double(chunkCount) : 1
        // Frequencies and lengths are in halves, hence the 2.
        constant = 2 * Self.k1 * (1 - Self.b)
        perLength = 2 * Self.k1 * Self.b / average
    }

    func idf(documentFrequency: Int) -> Double {
        log(1 + (chunkCount - Double(documentFrequency) + 0.5) / (Double(documentFrequency) + 0.5))
    }

    /// The largest contribution of a term.
    func bound(idf: Double) -> Double { idf * (Self.k1 + 1) }

    /// A term's contribution to a chunk. `bound` is the term's largest one; frequency and length are in halves.
    @inline(__always)
    func score(bound: Double, frequency: UInt32, length: UInt32) -> Double {
        let frequency = Double(frequency)
        return bound * (frequency / (frequency + (constant + perLength * Double(length))))
    }
}
